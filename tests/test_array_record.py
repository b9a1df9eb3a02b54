"""The same dataset as TFRecord and as ArrayRecord: the same batches, the same weights."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.conftest import run_command
from tests.support import small_dataset
from tests.support.trainings import assert_same_run
from trainer.data.example_stream import read_examples
from trainer.data.examples import load_split
from trainer.data.opening import open_dataset
from trainer.errors import UserError

FORMATS = "tfrecord", "array_record"


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    made = {}
    for name in FORMATS:
        made[name] = tmp_path_factory.mktemp(name)
        builder = small_dataset.SmallImages(data_dir=made[name], file_format=name)
        # In other numbers of files, for the order to depend on none of them.
        config = tfds.download.DownloadConfig(num_shards=1 + FORMATS.index(name))
        builder.download_and_prepare(download_config=config)
    return made


@pytest.fixture
def datasets(directories, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    return [open_dataset("small_images", str(directories[name])) for name in FORMATS]


def test_examples_are_the_same(datasets):
    streams = [
        read_examples(dataset, "train", cache="auto", shuffle_seed=3) for dataset in datasets
    ]
    assert [stream.cache for stream in streams] == ["off", "disk"]
    ours, theirs = (list(stream.one_pass(7).as_numpy_iterator()) for stream in streams)
    for batch, other in zip(ours, theirs, strict=True):
        for key in ("image", "label", "id"):
            np.testing.assert_array_equal(batch[key], other[key])
    one, other = (load_split(dataset, "test") for dataset in datasets)
    np.testing.assert_array_equal(one.images, other.images)


def test_what_cannot_be_mapped_has_to_be_decoded_once(datasets):
    with pytest.raises(UserError, match="stored as array_record, .* use --cache=auto"):
        read_examples(datasets[1], "train", cache="off", shuffle_seed=0)


def test_trainings_end_with_the_same_weights(directories, tmp_path):
    for name, directory in directories.items():
        flags = small_dataset.flags(directory)
        run_command("trainer.main", *flags, "--epochs=2", f"--workdir={tmp_path / name}")
    assert_same_run(*(tmp_path / name for name in FORMATS))
