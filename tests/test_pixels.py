import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from trainer.data import pixels


@pytest.mark.parametrize(
    "size",
    [(299, 299), (256, 256), (224, 224), (1024, 700), (100, 224), (37, 1500), (448, 223), (1, 5)],
)
def test_resizing_gives_pillows_pixels(size):
    image = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    expected = PIL.Image.fromarray(image).resize((224, 224), PIL.Image.Resampling.BILINEAR)
    resize = tf.function(lambda image: pixels.resize(image, (224, 224, 1)))
    np.testing.assert_array_equal(resize(image[..., None])[..., 0], np.asarray(expected))


def test_a_size_that_is_not_square_is_height_by_width():
    image = np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)
    expected = PIL.Image.fromarray(image).resize((50, 40), PIL.Image.Resampling.BILINEAR)
    resized = pixels.resize(image[..., None], (40, 50, 1))
    np.testing.assert_array_equal(resized[..., 0], np.asarray(expected))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_colour_becomes_luma_and_transparency_is_dropped(channels):
    image = np.random.default_rng(0).integers(0, 256, (8, 9, channels), dtype=np.uint8)
    luma = image[..., :3] @ np.array([0.299, 0.587, 0.114]) if channels > 1 else image[..., 0]
    gray = pixels.to_gray(tf.constant(image))
    assert gray.shape == (8, 9, 1)
    assert np.abs(gray[..., 0] - luma).max() <= 1
