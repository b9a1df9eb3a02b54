"""Folds as a training takes them: `--fold=K/N`, `fold 0 of 5`."""

import json
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from cxr_command import split_table
from cxr_tfds import dataset_flags
from cxr_tfds import folds as dataset_folds
from tests.conftest import run_command
from tests.support import other_dataset, small_dataset
from tests.support.settings import SETTINGS
from trainer.data.example_stream import read_examples
from trainer.data.folds import splits_of
from trainer.data.opening import open_dataset
from trainer.data.selection import is_split, select
from trainer.errors import Damaged, UserError
from trainer.training import config


class Patients(small_dataset.SmallImages):
    """Images of patients, some in several splits, and some of unknown class."""

    def _info(self):
        features = dict(super()._info().features) | {"group": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, split):
        for number, (key, example) in enumerate(super()._generate_examples(split)):
            label = -1 if number % 11 == 5 else example["label"]
            yield key, example | {"group": f"patient {number // 3}", "label": label}


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    directory = tmp_path_factory.mktemp("patients")
    Patients(data_dir=directory).download_and_prepare()
    return open_dataset("patients", str(directory))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    directory = tmp_path_factory.mktemp("small")
    small_dataset.build(directory)
    return open_dataset("small_images", str(directory))


def known_ids(dataset):
    indices = [dataset.index(split) for split in ("train", "validation", "test")]
    return sorted(np.concatenate([index["id"][index["label"] >= 0] for index in indices]))


@pytest.mark.parametrize("number", [3, 5])
@pytest.mark.parametrize("name", ["patients", "small", "dataset"])
def test_each_example_is_held_out_once_and_never_seen_by_the_run_that_does(name, number, request):
    dataset = request.getfixturevalue(name)
    everything, held_out = known_ids(dataset), []
    for fold in range(number):
        train, validation, test = (select(dataset, one) for one in splits_of(f"{fold}/{number}"))
        parts = [set(part.index["id"]) for part in (train, validation, test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(everything)
        assert train.shares_with(test) == validation.shares_with(test) == 0
        if name != "small":
            groups = [set(part.index["group"]) for part in (train, validation, test)]
            assert sum(map(len, groups)) == len(set.union(*groups))
        held_out += parts[2]
    assert sorted(held_out) == everything


def test_every_class_is_in_every_fold_in_the_same_proportion(small):
    for fold in range(5):
        labels = select(small, f"fold {fold} of 5").index["label"]
        counts = np.bincount(labels, minlength=4)
        assert np.abs(counts - 132 / 4 / 5).max() < 1 and abs(len(labels) - 132 / 5) < 1


def test_folds_are_those_of_the_datasets_own_command(dataset, data_dir):
    rows = split_table.read(dataset_flags.find_folder(data_dir, "224x224"))
    fold_of = dataset_folds.assign(rows, 4)
    for fold in range(4):
        ids = {one.decode() for one in select(dataset, f"fold {fold} of 4").index["id"]}
        assert ids == {one for one, dealt in fold_of.items() if dealt == fold}


def test_a_table_of_splits_that_is_not_the_one_built_is_refused(dataset, tmp_path):
    shutil.copytree(dataset.data_dir, tmp_path / "data")
    copied = open_dataset(dataset.name, str(tmp_path / "data"))
    (table,) = (tmp_path / "data").rglob("splits.csv")
    table.write_text(table.read_text().replace("COVID-1,", "COVID-1x,"))
    with pytest.raises(Damaged, match=r"cannot be dealt \(splits.csv is not the file that was"):
        select(copied, "fold 0 of 5")
    table.unlink()
    with pytest.raises(Damaged, match="cannot be dealt .*splits.csv.*build the dataset again"):
        select(copied, "fold 0 of 5")


def pixels_of(dataset, split, **how):
    examples = read_examples(dataset, split, shuffle_seed=None, **how)
    (batch,) = examples.one_pass(examples.size)
    order = np.argsort(batch["id"].numpy())
    return batch["image"].numpy()[order], batch["label"].numpy()[order]


def test_folds_are_the_same_mapped_on_data_hosts_and_decoded_to_the_disk(
    small, tmp_path, monkeypatch
):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    other_dataset.OtherImages(data_dir=tmp_path).download_and_prepare()
    encoded = open_dataset("other_images", str(tmp_path))
    for dataset, ways in (
        (small, ({"cache": "off"}, {"cache": "off", "on_hosts": True})),
        (encoded, ({"cache": "off"}, {"cache": "disk"})),
    ):
        ours, theirs = (pixels_of(dataset, "folds 0,2 of 4", **way) for way in ways)
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


@pytest.mark.parametrize(
    ("spec", "said"),
    [("fold 5 of 5", "folds from 0 to 4"), ("fold 0 of 1", "choose from 2"),
     ("folds 0,1 of 999", "into 999 folds"), ("fold x of 5", "no split")],
)  # fmt: skip
def test_folds_that_there_are_not_are_refused(small, spec, said):
    assert is_split(small, "folds 0,1 of 5")
    with pytest.raises(UserError, match=said):
        select(small, spec)


@pytest.mark.parametrize("fold", ["0", "5/5", "0/2", "-1/5", "a/b", "0/1000", "0/5 "])
def test_a_fold_that_is_none_is_named(fold):
    with pytest.raises(UserError, match=f"--fold={fold}: expected K/N.*3 to 999"):
        config.make("seed", "lenet", SETTINGS | {"fold": fold})


def test_a_fold_sets_both_splits_and_the_last_is_validated_on_the_first():
    made = config.make("seed", "lenet", SETTINGS | {"fold": "3/4"})
    assert made.source.train_split == "folds 1,2 of 4"
    assert made.source.validation_split == "fold 0 of 4"
    assert config.make("seed", "lenet", SETTINGS | {"fold": "0/3"}).source.train_split == (
        "fold 2 of 3"
    )


def test_a_run_is_evaluated_on_the_fold_that_it_holds_out(small, tmp_path):
    run = tmp_path / "run"
    flags = small_dataset.flags(small.data_dir)
    run_command("trainer.main", *flags, "--epochs=1", "--fold=1/3", f"--workdir={run}")
    stored = json.loads((run / "config.json").read_text())["config"]
    assert (stored["fold"], stored["validation_split"]) == ("1/3", "fold 2 of 3")
    run_command("trainer.main", *flags, "--epochs=1", "--fold=1/3", f"--workdir={run}")
    report = tmp_path / "report"
    run_command("trainer.evaluate", f"--workdir={run}", f"--output_dir={report}", "--resamples=100")
    found = json.loads((report / "report.json").read_text())
    assert (found["split"], found["examples"]) == ("fold 1 of 3", 44)
    assert not [remark for remark in found["remarks"] if "were made with" in remark]
    assert json.loads((run / "calibration.json").read_text())["split"] == "fold 2 of 3"
    gallery = tmp_path / "gallery"
    run_command(
        "trainer.export_gradcam", f"--workdir={run}", "--split=fold 1 of 3", "--max_images=2",
        "--nocurves", f"--output_dir={gallery}",
    )  # fmt: skip
    assert (gallery / "index.html").exists()
