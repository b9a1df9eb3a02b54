import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.fft import dctn

from cxr_command.radiograph import fingerprints
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
    found = np.unpackbits(np.frombuffer(fingerprints.fingerprint(radiograph), np.uint8))
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
    distance = bits_between(fingerprints.fingerprint(radiograph), fingerprints.fingerprint(copy))
    assert distance <= fingerprints.THRESHOLD


def test_drawn_strangers_are_far_apart():
    prints = [
        fingerprints.fingerprint(phantom.draw(label, number).image)
        for label in phantom.CLASSES
        for number in range(1, 16)
    ]
    nearest = min(bits_between(*pair) for pair in itertools.combinations(prints, 2))
    assert nearest > fingerprints.THRESHOLD


def flipped(fingerprint, count, rng):
    bits = np.unpackbits(np.frombuffer(fingerprint, np.uint8))
    bits[rng.choice(1024, count, replace=False)] ^= 1
    return np.packbits(bits).tobytes()


@pytest.fixture(scope="module")
def prints():
    """Strangers, pictures that resemble one template, and near copies across all blocks."""
    rng = np.random.default_rng(0)
    template = rng.bytes(128)
    prints = [rng.bytes(128) for _ in range(40)]
    prints += [flipped(template, rng.integers(100, 300), rng) for _ in range(40)]
    for count in (0, 1, 35, 36, 37, 38, 255, 256, 257, 258, 319, 320, 321):
        prints += [flipped(one, count, rng) for one in (prints[5], prints[45])]
    return [prints[i] for i in rng.permutation(len(prints))]


@pytest.mark.parametrize("threshold", [0, 36, 37, 256, 320, 1024])
def test_blocks_find_the_pairs_that_a_plain_loop_finds(threshold, prints, monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 7)
    monkeypatch.setattr(duplicates, "_MOST_COUNTED", 5)
    expected = [
        (i, j, bits_between(prints[i], prints[j]))
        for i, j in itertools.combinations(range(len(prints)), 2)
        if bits_between(prints[i], prints[j]) <= threshold
    ]
    assert sorted(duplicates.near_pairs(prints, threshold)) == expected
    distances = {bits for _, _, bits in expected}
    assert threshold in distances or threshold == 1024


def test_a_pair_is_found_wherever_its_bits_differ():
    def differing(first_half, second_half):
        position = np.arange(512)
        return np.packbits([position < first_half, position < second_half]).tobytes()

    for first, second in [(256, 0), (0, 256), (128, 128), (127, 129), (129, 127)]:
        pair = [bytes(128), differing(first, second)]
        assert list(duplicates.near_pairs(pair, 256)) == [(0, 1, 256)]
        assert not list(duplicates.near_pairs(pair, 255))


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_than_two_have_no_pairs(number):
    assert not list(duplicates.near_pairs([bytes(128)] * number, 256))


def test_groups_join_equal_pixels_and_chains_of_near_ones():
    def first(count):
        return np.packbits(np.arange(1024) < count).tobytes()

    far = np.packbits(np.arange(1024) % 2).tobytes()
    prints = {"a": first(0), "b": far, "c": first(250), "d": first(500), "e": first(900)}
    pixels = {"a": "1", "b": "2", "c": "3", "d": "4", "e": "2"}
    # a-c-d are a chain, though a and d are 500 bits apart; b and e have equal pixels.
    assert duplicates.group(pixels, prints) == {"a": "a", "b": "b", "c": "a", "d": "a", "e": "b"}


def test_groups_join_equal_fingerprints_of_different_pixels():
    blank, other = bytes(128), b"\x55" * 128
    prints = {"a": blank, "b": other, "c": blank, "d": other[:-1] + b"\x54"}
    pixels = {name: name for name in prints}
    assert duplicates.group(pixels, prints) == {"a": "a", "b": "b", "c": "a", "d": "b"}
