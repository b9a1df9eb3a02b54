import numpy as np
import PIL.Image
import pytest

from trainer.data.mask_folder import MaskFolder
from trainer.errors import UserError


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


def test_a_damaged_mask_is_reported_and_counts_as_none(tmp_path, caplog):
    path = tmp_path / "COVID" / "masks" / "COVID-1.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no image")
    assert MaskFolder(tmp_path, (4, 6)).lungs("COVID-1") is None
    assert f"{path} is not a readable PNG mask" in caplog.text


def test_a_folder_without_masks_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="holds no mask; expected CLASS/masks/ID.png"):
        MaskFolder(tmp_path, (4, 6))
