import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.conftest import run_command
from tests.support import small_dataset
from trainer.data.example_stream import read_examples
from trainer.data.examples import load_split
from trainer.data.opening import open_dataset
from trainer.data.selection import require_apart, select
from trainer.errors import UserError
from trainer.training.objective import require_all_classes


class GroupedImages(small_dataset.SmallImages):
    """Images of a few patients each; of one in eight the class is unknown."""

    def _info(self):
        features = dict(super()._info().features) | {"group": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, split):
        for number, (key, example) in enumerate(super()._generate_examples(split)):
            known = {"group": f"patient-{number * number % 31}"}
            yield key, example | known | ({"label": -1} if number % 8 == 5 else {})


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    directory = tmp_path_factory.mktemp("grouped")
    GroupedImages(data_dir=directory).download_and_prepare()
    return open_dataset("grouped_images", str(directory))


def ids_of(dataset, spec):
    return set(select(dataset, spec).index["id"].tolist())


def test_slices_that_touch_share_no_group_and_lose_none(grouped):
    whole = select(grouped, "train").index
    for cut, share in (("50%", 0.5), ("80%", 0.8), ("24", 0.25)):
        parts = [select(grouped, spec).index for spec in (f"train[:{cut}]", f"train[{cut}:]")]
        assert not set(parts[0]["group"]) & set(parts[1]["group"])
        # A group holds one example in 16.
        assert len(parts[0]) / len(whole) == pytest.approx(share, abs=1 / 12)
        assert sorted(np.concatenate([part["id"] for part in parts])) == sorted(whole["id"])


def test_slices_without_groups_are_those_of_tfds(tmp_path):
    small_dataset.build(tmp_path)
    dataset = open_dataset("small_images", str(tmp_path))
    for spec in ("train[:80%]", "train[80%:]", "train[10:20]+test", "validation"):
        expected = tfds.load("small_images", split=spec, data_dir=tmp_path).as_numpy_iterator()
        assert ids_of(dataset, spec) == {example["id"] for example in expected}
        assert select(dataset, spec).digest != select(dataset, "train").digest
    both = read_examples(dataset, "train[90:]+test", cache="off", shuffle_seed=None)
    (batch,) = both.one_pass(both.size)
    stored = tfds.load("small_images", split="train+test", data_dir=tmp_path).as_numpy_iterator()
    pixels = {example["id"]: example["image"] for example in stored}
    for name, image in zip(batch["id"].numpy(), batch["image"].numpy(), strict=True):
        np.testing.assert_array_equal(image, pixels[name])


def test_examples_of_unknown_class_are_left_out_with_a_count(grouped, caplog):
    all_labels = grouped.index("train")["label"]
    unknown = int((all_labels == -1).sum())
    assert unknown == 12
    examples = read_examples(grouped, "train", cache="off", shuffle_seed=0)
    assert f"{unknown} examples of unknown class (label -1) are excluded" in caplog.text
    assert examples.size == len(all_labels) - unknown
    counts = np.bincount(all_labels[all_labels >= 0], minlength=4)
    np.testing.assert_array_equal(examples.count_labels(4), counts)
    assert set(load_split(grouped, "test").labels) <= {0, 1, 2, 3}


@pytest.mark.parametrize("spec", ["training", "train[:x]", "train[", "", "train[:0]"])
def test_what_names_no_example_is_refused(grouped, spec):
    with pytest.raises(UserError, match="split|holds no example"):
        select(grouped, spec)


def test_slices_that_overlap_are_refused(grouped):
    require_apart(grouped, "train[:50%]", "train[50%:]")
    shared = ids_of(grouped, "train[:60%]") & ids_of(grouped, "train[50%:]")
    assert shared
    assert select(grouped, "train").shares_with(select(grouped, "test")) == 0
    with pytest.raises(UserError, match=f"have {len(shared)} examples in common"):
        require_apart(grouped, "train[:60%]", "train[50%:]")


def test_a_class_without_examples_has_no_balanced_weight():
    require_all_classes(np.array([1, 2]), ["COVID", "Normal"])
    with pytest.raises(UserError, match="no training example of Normal, whose"):
        require_all_classes(np.array([3, 0]), ["COVID", "Normal"])


class OneSplit(small_dataset.SmallImages):
    """Images that are all for training."""

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples("train")}


def test_a_dataset_of_one_split_is_trained_on_validated_and_tested(tmp_path):
    OneSplit(data_dir=tmp_path).download_and_prepare()
    flags = small_dataset.flags(tmp_path, "one_split")
    run_command(
        "trainer.main", *flags, "--epochs=1", "--train_split=train[:60%]",
        "--validation_split=train[60%:80%]", f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    said = run_command(
        "trainer.evaluate", f"--workdir={tmp_path / 'run'}", "--split=train[80%:]",
        f"--output_dir={tmp_path / 'report'}", "--resamples=100",
    )  # fmt: skip
    assert "accuracy" in said
    page = (tmp_path / "report" / "report.html").read_text()
    assert "this is not a test" not in page
    assert (tmp_path / "run" / "calibration.json").exists()
