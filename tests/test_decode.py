import io

import numpy as np
import pytest
import tensorflow as tf
from etils import epath
from PIL import Image

from cxr_command.radiograph import reading
from cxr_tfds.covid19_radiography import decode


def smooth(height, width, channels=1, seed=0):
    """Draws `[height, width, channels]` uint8 blobs, as smooth as radiographs are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, channels), np.uint8)
    planes = [Image.fromarray(coarse[..., c]) for c in range(channels)]
    return np.stack([np.array(p.resize((width, height), Image.BICUBIC)) for p in planes], axis=-1)


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def gray(image):
    return reading.decode(png(image)).pixels


def libpng(image):
    return tf.io.decode_png(png(image), channels=1).numpy()[..., 0]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_files_of_8_bits_decode_to_libpngs_gray(channels):
    image = np.random.default_rng(0).integers(0, 256, (299, 280, channels), np.uint8)
    np.testing.assert_array_equal(gray(image), libpng(image))


def test_sixteen_bits_become_the_upper_eight():
    image = np.random.default_rng(0).integers(0, 1 << 16, (50, 40), np.uint16)
    np.testing.assert_array_equal(gray(image), image >> 8)
    np.testing.assert_array_equal(gray(image), libpng(image))


@pytest.mark.parametrize("shape", [(299, 299), (1024, 700), (100, 224), (224, 224)])
def test_resizing_agrees_with_tensorflows_antialiasing(shape):
    image = smooth(*shape)
    expected = tf.image.resize(image, (224, 224), antialias=True)
    resized = decode.resize(image[..., 0])
    assert resized.shape == (224, 224, 1)
    assert resized.dtype == np.uint8
    assert np.abs(resized - expected.numpy()).max() <= 1.5  # Rounded twice.


def test_a_resized_mask_is_lung_where_half_of_it_is_lung():
    mask = np.zeros((448, 448), np.uint8)
    mask[100:300, 50:200] = mask[100:300, 250:400] = 255
    np.testing.assert_array_equal(decode.resize_mask(mask)[..., 0], mask[::2, ::2] // 255)


def test_a_pair_is_resized_as_its_files_are_read(tmp_path):
    image, mask = smooth(299, 280), smooth(256, 256, seed=9) // 128 * 255
    paths = epath.Path(tmp_path / "image.png"), epath.Path(tmp_path / "mask.png")
    for path, pixels in zip(paths, (image, mask), strict=True):
        path.write_bytes(png(pixels))
    expected = decode.resize(image[..., 0]), decode.resize_mask(mask[..., 0])
    for pair in (decode.resize_pair(image[..., 0], mask[..., 0]), decode.read_pair(*paths)):
        for found, wanted in zip(pair, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_a_missing_mask_is_all_zero(tmp_path):
    image = smooth(299, 280)
    path = epath.Path(tmp_path / "image.png")
    path.write_bytes(png(image))
    pairs = decode.resize_pair(image[..., 0], None), decode.read_pair(path, None)
    for small, mask in pairs:
        assert small.shape == mask.shape == (224, 224, 1)
        assert not np.any(mask)
