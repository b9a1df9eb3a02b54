import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from cxr_tfds import phantom
from tests.support import small_dataset
from trainer.data.examples import Examples, load_split
from trainer.data.opening import open_dataset
from trainer.evaluation.seen import find_seen, what_was_seen

SPLITS = ("train", "validation")


def changed(image):
    """A copy that was scaled, compressed and brightened anew."""
    smaller = Image.fromarray(image[..., 0]).resize((180, 180), Image.Resampling.LANCZOS)
    gray = np.array(smaller.resize((224, 224), Image.Resampling.BICUBIC)).astype(float)
    return (0.8 * gray + 40).astype(np.uint8)[..., None]


def mirrored_upside_down(image):
    return np.ascontiguousarray(image[::-1, ::-1])


def test_copies_are_found_and_strangers_are_not(dataset):
    trained = load_split(dataset, "train")
    images = np.array(
        [trained.images[3], changed(trained.images[5]), mirrored_upside_down(trained.images[5])]
    )
    found = find_seen(images, dataset, "train")
    assert found == [(0, trained.ids[3]), (1, trained.ids[5])]


def examples_of(images):
    return Examples(
        class_names=phantom.CLASSES,
        ids=np.array([f"own/{n}.png" for n in range(len(images))]),
        labels=np.zeros(len(images), int),
        images=images,
    )


def test_it_is_said_for_each_split_with_examples(dataset, data_dir):
    images = load_split(dataset, "validation").images
    run = {"config": {"dataset": "covid19_radiography/224x224", "data_dir": str(data_dir)}}
    *_, said = what_was_seen(examples_of(images), {"a": run, "b": run}, SPLITS, None)
    assert said.startswith(f"{len(images)} of {len(images)} radiographs match one in")
    assert "split validation" in said and "own/0.png is " in said


def test_a_dataset_that_is_gone_is_said(dataset):
    images = load_split(dataset, "validation").images[:1]
    run = {"config": {"dataset": "covid19_radiography/224x224", "data_dir": "/gone"}}
    (said,) = what_was_seen(examples_of(images), {"a": run}, SPLITS, None)
    assert said.startswith("Not checked whether covid19_radiography/224x224 contains these")


def test_copies_are_found_in_a_dataset_that_stores_no_ids(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))

    class NamelessImages(small_dataset.SmallImages):
        """Small images without ids."""

        def _info(self):
            features = dict(super()._info().features)
            del features["id"]
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _generate_examples(self, split):
            for key, example in super()._generate_examples(split):
                yield key, {name: example[name] for name in ("image", "label")}

    NamelessImages(data_dir=tmp_path).download_and_prepare()
    nameless = open_dataset("nameless_images", str(tmp_path))
    trained = load_split(nameless, "train")
    assert find_seen(trained.images[7:8], nameless, "train") == [(0, trained.ids[7])]
