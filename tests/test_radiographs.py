import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from trainer.data.radiographs import read_radiograph
from trainer.errors import UserError

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
