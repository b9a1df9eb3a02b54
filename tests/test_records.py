import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.support import small_dataset
from tests.support.other_dataset import CLASSES, SIZES, OtherImages, draw
from trainer.data import disk_cache
from trainer.data.example_stream import read_examples
from trainer.data.examples import load_split
from trainer.data.opening import open_dataset
from trainer.data.pixels import resize, to_gray
from trainer.errors import UserError


@pytest.fixture(scope="module")
def other_data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("other")
    OtherImages(data_dir=directory).download_and_prepare()
    return directory


@pytest.fixture(scope="module")
def other(other_data_dir):
    return open_dataset("other_images", str(other_data_dir))


@pytest.fixture(scope="module")
def full(phantom_database, tmp_path_factory):
    """The phantoms as covid19_radiography/full: PNG files, some of them RGB."""
    directory = tmp_path_factory.mktemp("full")
    builder = tfds.builder("covid19_radiography/full", data_dir=directory)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(phantom_database))
    )
    return open_dataset("covid19_radiography/full", str(directory))


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def columns(dataset, split, cache):
    """All examples of a split, by id."""
    examples = read_examples(dataset, split, cache=cache, shuffle_seed=None)
    rows = examples.one_pass(5).unbatch().as_numpy_iterator()
    return {row["id"]: (row["label"], row["image"]) for row in rows}


@pytest.mark.parametrize("cache", ["auto", "disk", "off"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_encoded_radiographs_give_the_pixels_of_the_decoded_dataset(full, dataset, split, cache):
    encoded, decoded = columns(full, split, cache), columns(dataset, split, "off")
    assert encoded.keys() == decoded.keys()
    for name, (label, image) in decoded.items():
        assert encoded[name][0] == label
        np.testing.assert_array_equal(encoded[name][1], image, err_msg=str(name))


def test_any_other_dataset_of_labelled_images_is_read(other):
    assert other.class_names == CLASSES
    assert other.image_shape == (224, 224, 1)
    found = columns(other, "train", "auto")
    assert len(found) == SIZES["train"]
    expected = {
        resize(to_gray(tf.constant(draw(index))), (224, 224, 1)).numpy().tobytes(): index % 3
        for index in range(SIZES["train"])
    }
    assert {image.tobytes(): label for label, image in found.values()} == expected


def test_names_go_with_the_examples_wherever_they_lie(other):
    anew, disk = columns(other, "train", "off"), columns(other, "train", "disk")
    assert anew.keys() == disk.keys()
    for name in anew:
        np.testing.assert_array_equal(anew[name][1], disk[name][1])


def test_any_other_dataset_is_judged(other):
    examples = load_split(other, "test")
    assert examples.class_names == CLASSES
    assert len(set(examples.ids)) == SIZES["test"]
    assert not set(examples.ids) & set(load_split(other, "train").ids)
    assert set(examples.ids) == {name.decode() for name in columns(other, "test", "off")}
    assert examples.images.shape == (SIZES["test"], 224, 224, 1)
    assert (examples.sources, examples.groups, examples.masks) == (None, None, None)


def test_the_disk_cache_is_filled_once_and_used_again(other, cache_dir):
    columns(other, "train", "disk")
    (folder,) = cache_dir.glob("*-images-*[0-9a-f]")
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert times
    columns(other, "train", "disk")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    columns(other, "test", "disk")
    assert len(list(cache_dir.glob("*-images-*[0-9a-f]"))) == 2


def test_a_flipped_byte_of_a_decoded_image_is_set_aside_and_decoded_anew(other, cache_dir):
    expected = columns(other, "train", "disk")
    (folder,) = cache_dir.glob("*-images-*[0-9a-f]")
    file = next(folder.glob("*.npy"))
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    found = columns(other, "train", "disk")
    assert found.keys() == expected.keys()
    for name, (label, image) in expected.items():
        assert found[name][0] == label
        np.testing.assert_array_equal(found[name][1], image)
    assert (folder / f"damaged-{file.name}").read_bytes() == content


def test_auto_takes_the_disk_where_it_has_twice_the_room(other, monkeypatch):
    assert read_examples(other, "train", cache="auto", shuffle_seed=0).cache == "disk"
    monkeypatch.setattr(disk_cache, "free_bytes", lambda: 1000)
    assert read_examples(other, "test", cache="auto", shuffle_seed=0).cache == "off"


def test_a_full_disk_is_said_before_it_is_filled(other, monkeypatch, cache_dir):
    monkeypatch.setattr(disk_cache, "free_bytes", lambda: 1000)
    with pytest.raises(UserError, match="--cache=disk needs 1 MB .* CXR_CACHE_DIR"):
        read_examples(other, "train", cache="disk", shuffle_seed=0)
    assert not list(cache_dir.glob("*-images-*[0-9a-f]"))


def test_decoded_files_need_no_disk_cache(dataset):
    assert read_examples(dataset, "train", cache="disk", shuffle_seed=0).cache == "off"


@pytest.mark.parametrize("rows", [1, 5, 6])
def test_every_example_is_written_however_many_fit_a_file(rows, other, monkeypatch, cache_dir):
    monkeypatch.setattr(disk_cache, "_SHARD", rows)
    assert len(columns(other, "train", "disk")) == SIZES["train"]
    assert len(list(cache_dir.glob("*-images-*/*.npy"))) == -(-SIZES["train"] // rows)


class LargeNumbers(OtherImages):
    """Images of 16 bits."""

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 1), dtype=np.uint16),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, split):
        yield 0, {"image": np.zeros((9, 9, 1), np.uint16), "label": 0}


def test_images_that_are_not_of_eight_bits_are_refused(tmp_path):
    LargeNumbers(data_dir=tmp_path).download_and_prepare()
    with pytest.raises(UserError, match="large_numbers cannot be trained on.*uint8 images"):
        open_dataset("large_numbers", str(tmp_path))


class UnnamedPixels(small_dataset.SmallImages):
    """Raw pixels without ids."""

    def _features(self):
        features = dict(small_dataset.SmallImages._info(self).features)
        del features["id"]
        return features

    def _info(self):
        features = tfds.features.FeaturesDict(self._features())
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _generate_examples(self, split):
        for number, (key, example) in enumerate(super()._generate_examples(split)):
            known = {name: example[name] for name in self._features()} | {"id": number}
            yield key, {name: known[name] for name in self._features()}


class NumberedPixels(UnnamedPixels):
    """Raw pixels with numbers as ids."""

    def _features(self):
        return super()._features() | {"id": tfds.features.Scalar(np.int64)}


@pytest.mark.parametrize("builder", [UnnamedPixels, NumberedPixels])
def test_raw_pixels_are_read_whatever_their_ids(builder, tmp_path):
    for made in (builder, small_dataset.SmallImages):
        made(data_dir=tmp_path).download_and_prepare()
    name = builder.name
    named, other = (open_dataset(n, str(tmp_path)) for n in ("small_images", name))
    assert other.image_shape == named.image_shape == (32, 32, 1)
    expected, found = columns(named, "train", "off"), columns(other, "train", "off")
    assert len(found) == small_dataset.SIZES["train"]
    assert columns(other, "train", "off").keys() == found.keys()

    def pixels(rows):
        return sorted((label, image.tobytes()) for label, image in rows.values())

    assert pixels(found) == pixels(expected)
    ids = load_split(other, "test").ids
    assert len(set(ids)) == small_dataset.SIZES["test"]
    assert set(ids) == {name.decode() for name in columns(other, "test", "off")}
