import io
import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from cxr_command.largest_image import MOST_PIXELS
from cxr_command.radiograph import reading
from cxr_command.radiograph.refusal import NotARadiograph
from tests.support import radiograph_file
from trainer.data.radiographs import pixels_claimed

SHAPE = (224, 224, 1)


def written(image, kind, **options):
    """A file's bytes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


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
        np.testing.assert_array_equal(radiograph_file.read(path, SHAPE), pixels, err_msg=example_id)
    assert not paths, "not every file was compared"
    assert modes == {"L", "RGB"}


def test_a_radiograph_of_the_right_size_keeps_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "image.png")
    read = radiograph_file.read(tmp_path / "image.png", (40, 30, 1))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read[:, :, 0], pixels)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_read_as_gray(mode, tmp_path):
    y, x = np.mgrid[:64, :48]
    image = PIL.Image.fromarray((2 * x + y).astype(np.uint8)).convert(mode)
    image.save(tmp_path / "image.jpg", quality=95)
    read = radiograph_file.read(str(tmp_path / "image.jpg"), (64, 48, 1))
    expected = PIL.Image.open(tmp_path / "image.jpg").convert("L")
    np.testing.assert_allclose(read[:, :, 0].astype(int), np.asarray(expected, int), atol=2)


def test_what_claims_too_many_pixels_is_refused_by_its_header():
    side = math.isqrt(MOST_PIXELS) + 1
    for kind in ("PNG", "JPEG"):
        encoded = written(PIL.Image.new("L", (side, side)), kind)
        with pytest.raises(NotARadiograph, match="of more than 25,000,000 pixels"):
            reading.decode(encoded)
        with pytest.raises(tf.errors.InvalidArgumentError):
            pixels_claimed(tf.constant(encoded))
    encoded = tf.constant(written(PIL.Image.new("L", (40, 30)), "PNG"))
    assert pixels_claimed(encoded).numpy() == 40 * 30
