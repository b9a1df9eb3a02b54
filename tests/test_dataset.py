import pathlib

import pytest

from trainer.data.opening import open_dataset
from trainer.data.source import DEFAULT_DATASET
from trainer.errors import UserError

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")


def test_a_built_dataset_knows_its_classes_and_the_shape_of_its_images(dataset, data_dir):
    assert dataset.class_names == CLASSES
    assert dataset.image_shape == (224, 224, 1)
    assert dataset.name == "covid19_radiography/224x224:1.0.0"
    assert dataset.data_dir == str(data_dir)


def test_its_splits_hold_every_radiograph_of_the_database(dataset, phantom_database):
    sizes = [dataset.num_examples(split) for split in ("train", "validation", "test")]
    assert sum(sizes) == len(list(phantom_database.glob("*/*/images/*.png")))
    assert sizes[0] > sizes[1] > 0


def test_its_files_exist_and_belong_to_the_split(dataset):
    files = {split: dataset.files(split) for split in ("train", "test")}
    for split, paths in files.items():
        assert paths
        assert all(pathlib.Path(path).is_file() and f"-{split}." in path for path in paths)


def test_it_is_found_by_its_full_name_too(dataset, data_dir):
    assert open_dataset(dataset.name, str(data_dir)).name == dataset.name


def test_a_missing_directory_is_named(tmp_path):
    missing = tmp_path / "missing"
    with pytest.raises(UserError, match=f"{missing} does not exist.*tfds build"):
        open_dataset(DEFAULT_DATASET, str(missing))


@pytest.mark.parametrize(
    "name", [DEFAULT_DATASET, f"{DEFAULT_DATASET}:9.9.9", "mnist", "no_such_dataset"]
)
def test_a_dataset_that_was_not_built_is_refused_with_how_to_build_it(name, tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} has no built dataset {name}.*tfds build"):
        open_dataset(name, str(tmp_path))


def test_a_missing_split_is_refused_with_those_there_are(dataset):
    with pytest.raises(UserError, match="no split 'holdout'.*test, train, validation"):
        dataset.num_examples("holdout")
