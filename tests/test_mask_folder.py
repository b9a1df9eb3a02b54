import dataclasses
import pathlib

import numpy as np
import PIL.Image
import pytest

from trainer.data.examples import Example
from trainer.data.mask_folder import MaskFolder
from trainer.errors import Unreadable, UserError


def draw(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(255 * mask.astype(np.uint8)).save(path)


def test_masks_are_found_by_id_and_halved_by_majority(tmp_path):
    mask = np.zeros((8, 12), bool)
    mask[2:5, 4:9] = True
    draw(tmp_path / "db" / "COVID" / "masks" / "COVID-1.png", mask)
    draw(tmp_path / "db" / "COVID" / "findings" / "COVID-1.png", mask & False)
    folder = MaskFolder(tmp_path, (4, 6))
    halved = mask.reshape(4, 2, 6, 2).mean(axis=(1, 3)) >= 0.5
    np.testing.assert_array_equal(folder.lungs("COVID-1"), halved)
    assert folder.finding("COVID-1") is None  # Nothing is drawn in it.
    assert folder.lungs("COVID-2") is None


def test_an_example_gets_what_is_drawn_of_it_and_keeps_its_own_lungs(tmp_path):
    mask = np.arange(24).reshape(4, 6) > 9
    draw(tmp_path / "masks" / "a.png", mask)
    draw(tmp_path / "findings" / "a.png", ~mask)
    folder, plain = MaskFolder(tmp_path, (4, 6)), Example("a", "", 0, np.zeros((4, 6, 1), np.uint8))
    found = folder.add_to(plain, "a")
    np.testing.assert_array_equal(found.lungs, mask)
    np.testing.assert_array_equal(found.finding, ~mask)
    own = dataclasses.replace(plain, lungs=mask & False)
    np.testing.assert_array_equal(folder.add_to(own, "a").lungs, mask & False)
    without = folder.add_to(plain, "b")
    assert without.lungs is without.finding is None
    assert without.image is plain.image


def test_a_damaged_mask_is_reported_and_counts_as_none(tmp_path, caplog):
    path = tmp_path / "COVID" / "masks" / "COVID-1.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no image")
    assert MaskFolder(tmp_path, (4, 6)).lungs("COVID-1") is None
    assert f"{path} is not a readable mask" in caplog.text


def test_a_mask_that_claims_too_many_pixels_counts_as_damaged(tmp_path, caplog):
    path = tmp_path / "COVID" / "masks" / "COVID-1.png"
    path.parent.mkdir(parents=True)
    PIL.Image.new("L", (6000, 6000), 255).save(path)
    assert MaskFolder(tmp_path, (4, 6)).lungs("COVID-1") is None
    assert f"{path} is not a readable mask" in caplog.text


def test_a_mask_that_cannot_be_read_stops_the_command(tmp_path, monkeypatch):
    draw(tmp_path / "lr[1]" / "masks" / "COVID-1.png", np.ones((8, 12), bool))
    folder = MaskFolder(tmp_path / "lr[1]", (4, 6))

    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
    with pytest.raises(Unreadable, match="COVID-1.png cannot be read .Input/output error"):
        folder.lungs("COVID-1")


def test_a_folder_without_masks_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="has no mask; expected CLASS/masks/ID.png"):
        MaskFolder(tmp_path, (4, 6))
    with pytest.raises(UserError, match="has no mask"):
        MaskFolder(tmp_path / ("x" * 300), (4, 6))
