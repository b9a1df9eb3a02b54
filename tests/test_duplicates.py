import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.fft import dctn

from cxr_tfds import phantom
from cxr_tfds.covid19_radiography import duplicates


@pytest.fixture(scope="module")
def radiograph():
    return phantom.draw("Normal", 1).image


def bits_between(one, other):
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def test_the_fingerprint_holds_the_signs_of_a_cosine_transform(radiograph):
    small = Image.fromarray(radiograph).resize((64, 64), Image.Resampling.BOX)
    spectrum = dctn(np.asarray(small, float), norm="ortho")[:32, :32]
    clear = np.abs(spectrum) > 1  # Rounded cosines may turn a coefficient that is nearly zero.
    found = np.unpackbits(np.frombuffer(duplicates.fingerprint(radiograph), np.uint8))
    np.testing.assert_array_equal(found.reshape(32, 32)[clear], spectrum[clear] > 0)
    assert clear.mean() > 0.9


def altered(image):
    picture = Image.fromarray(image)
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    return {
        "smaller": np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC)),
        "larger": np.asarray(picture.resize((1024, 1024), Image.Resampling.BICUBIC)),
        "darker": np.asarray(ImageEnhance.Brightness(picture).enhance(0.8)),
        "less contrast": np.asarray(ImageEnhance.Contrast(picture).enhance(0.8)),
        "noisy": np.clip(image + noise, 0, 255).astype(np.uint8),
    }


@pytest.mark.parametrize("how", ["smaller", "larger", "darker", "less contrast", "noisy"])
def test_a_copy_that_was_processed_is_near(radiograph, how):
    copy = altered(radiograph)[how]
    distance = bits_between(duplicates.fingerprint(radiograph), duplicates.fingerprint(copy))
    assert distance <= duplicates.THRESHOLD


def test_drawn_strangers_are_far_apart():
    prints = [
        duplicates.fingerprint(phantom.draw(label, number).image)
        for label in phantom.CLASSES
        for number in range(1, 16)
    ]
    nearest = min(bits_between(*pair) for pair in itertools.combinations(prints, 2))
    assert nearest > duplicates.THRESHOLD


def test_blocks_find_the_pairs_that_a_plain_loop_finds(monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 7)
    rng = np.random.default_rng(0)
    prints = [rng.bytes(128) for _ in range(20)]
    for source, target, flips in [(0, 3, 5), (6, 7, 36), (13, 14, 37), (2, 19, 1)]:
        bits = np.unpackbits(np.frombuffer(prints[source], np.uint8))
        bits[rng.choice(1024, flips, replace=False)] ^= 1
        prints[target] = np.packbits(bits).tobytes()
    expected = {
        (i, j, bits_between(prints[i], prints[j]))
        for i, j in itertools.combinations(range(20), 2)
        if bits_between(prints[i], prints[j]) <= 36
    }
    assert set(duplicates.near_pairs(prints, 36)) == expected
    assert (6, 7, 36) in expected and len(expected) == 3


def test_groups_join_equal_pixels_and_chains_of_near_ones():
    def flipped(count):
        return np.packbits(np.arange(1024) < count).tobytes()

    far = np.packbits(np.arange(1024) % 2).tobytes()
    prints = {"a": flipped(0), "b": far, "c": flipped(250), "d": flipped(500), "e": flipped(900)}
    pixels = {"a": "1", "b": "2", "c": "3", "d": "4", "e": "2"}
    # a-c-d are a chain, though a and d are 500 bits apart; b and e have equal pixels.
    assert duplicates.group(pixels, prints) == {"a": "a", "b": "b", "c": "a", "d": "a", "e": "b"}
