import math
import os
import pathlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from cxr_command.largest_image import MOST_PIXELS
from trainer.data.radiographs import (
    list_labelled,
    list_radiographs,
    pixels_claimed,
    read_radiograph,
    read_radiographs,
)
from trainer.errors import Damaged, Unreadable, UserError

SHAPE = (224, 224, 1)


def stored_images(dataset):
    """Id to pixels, read from the records with no part of the trainer."""
    for split in ("train", "validation", "test"):
        for record in tf.data.TFRecordDataset(dataset.files(split)).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            pixels = np.frombuffer(feature["image"].bytes_list.value[0], np.uint8)
            yield feature["id"].bytes_list.value[0].decode(), pixels.reshape(SHAPE)


def test_a_png_gives_bit_for_bit_what_the_dataset_holds(phantom_database, dataset):
    paths = {path.stem: path for path in phantom_database.glob("*/*/images/*.png")}
    modes = set()
    for example_id, pixels in stored_images(dataset):
        path = paths.pop(example_id)
        modes.add(PIL.Image.open(path).mode)
        np.testing.assert_array_equal(read_radiograph(path, SHAPE), pixels, err_msg=example_id)
    assert not paths, "not every file was compared"
    assert modes == {"L", "RGB"}


def test_a_radiograph_of_the_right_size_keeps_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "image.png")
    read = read_radiograph(tmp_path / "image.png", (40, 30, 1))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read[:, :, 0], pixels)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_read_as_gray(mode, tmp_path):
    y, x = np.mgrid[:64, :48]
    image = PIL.Image.fromarray((2 * x + y).astype(np.uint8)).convert(mode)
    image.save(tmp_path / "image.jpg", quality=95)
    read = read_radiograph(str(tmp_path / "image.jpg"), (64, 48, 1))
    expected = PIL.Image.open(tmp_path / "image.jpg").convert("L")
    np.testing.assert_allclose(read[:, :, 0].astype(int), np.asarray(expected, int), atol=2)


def test_what_is_no_image_is_named(tmp_path):
    whole = tmp_path / "whole.png"
    PIL.Image.fromarray(np.eye(90, dtype=np.uint8)).save(whole)
    contents = {
        "garbage.png": b"not an image",
        "empty.png": b"",
        "cut.png": whole.read_bytes()[:80],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            read_radiograph(tmp_path / name, SHAPE)
    for path in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(UserError, match=path.name):
            read_radiograph(path, SHAPE)


def draw(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.eye(*size, dtype=np.uint8) * 200).save(path, "png")
    return path


@pytest.mark.parametrize("name", ["scan[1].png", "a*.png", "é.png", b"no\xff.png", "$a.png", "n\n"])
def test_a_file_of_any_name_is_read(name, tmp_path):
    path = draw(tmp_path / os.fsdecode(name))
    assert read_radiograph(path, (40, 30, 1)).max() == 200


def test_what_claims_too_many_pixels_is_refused_by_its_header(tmp_path):
    side = math.isqrt(MOST_PIXELS) + 1
    for suffix in ("png", "jpg"):
        path = tmp_path / f"large.{suffix}"
        PIL.Image.new("L", (side, side)).save(path)
        with pytest.raises(Damaged, match="of at most 25,000,000 pixels"):
            read_radiograph(path, SHAPE)
        with pytest.raises(tf.errors.InvalidArgumentError):
            pixels_claimed(tf.constant(path.read_bytes()))
    encoded = tf.constant(draw(tmp_path / "small.png").read_bytes())
    assert pixels_claimed(encoded).numpy() == 40 * 30


def test_damaged_files_are_left_out_and_one_that_cannot_be_read_stops(tmp_path, monkeypatch):
    paths = [draw(tmp_path / "a.png"), tmp_path / "b.png", draw(tmp_path / "c.png")]
    paths[1].write_bytes(b"no image")
    images, kept, left_out = read_radiographs(paths, (40, 30, 1))
    assert (len(images), kept, left_out) == (2, [0, 2], [paths[1]])
    read = pathlib.Path.read_bytes

    def fail(path):
        if path.name == "c.png":
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
    with pytest.raises(Unreadable, match="c.png cannot be read .Input/output error"):
        read_radiographs(paths, (40, 30, 1))


def listed(*patterns):
    return [str(path) for path in list_radiographs(patterns)]


def test_a_part_of_a_pattern_that_exists_is_taken_literally(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a[1]/x.png", "a[1]/deep/y.png", "a1/z.png", "b*.png", "b1.png"):
        draw(tmp_path / name)
    assert listed("a[1]/*.png") == ["a[1]/x.png"]
    assert listed("a[1]/**/*.png") == ["a[1]/deep/y.png", "a[1]/x.png"]
    assert listed("a[1]") == ["a[1]/deep/y.png", "a[1]/x.png"]
    assert listed("b*.png") == ["b*.png"]
    assert listed("b?.png") == ["b*.png", "b1.png"]
    assert listed(f"{tmp_path}/a[1]/*.png") == [f"{tmp_path}/a[1]/x.png"]
    assert listed("a?/*") == ["a1/z.png"]
    for pattern in ("c[1]/*.png", "x" * 300, f"{'x' * 300}/*.png"):
        with pytest.raises(UserError, match="no file matches"):
            listed(pattern)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    draw(tmp_path / "a" / "x.png")
    draw(tmp_path / "a" / "deep" / "y.png")
    scan = os.scandir

    def fail(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(Unreadable, match="the folder .*deep cannot be listed .Permission denied"):
        list_radiographs([str(tmp_path / "a")])


def test_what_lies_among_the_images_and_is_none_is_told(tmp_path, caplog):
    for name in ("COVID/a.png", "COVID/deeper/b.png"):
        draw(tmp_path / name)
    (tmp_path / "COVID" / "c.dcm").touch()
    with caplog.at_level("WARNING"):
        assert list_labelled(tmp_path, ["COVID"]) == [(tmp_path / "COVID" / "a.png", 0)]
    assert "left out: 2 entries of the folders" in caplog.text
