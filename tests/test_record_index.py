import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from cxr_command import record_index
from trainer.data.opening import open_dataset
from trainer.errors import Damaged


def beside(dataset, split):
    folder = pathlib.Path(dataset.files(split)[0]).parent
    return folder / record_index.name_of("covid19_radiography", split)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_builder_writes_what_a_reading_of_the_shards_finds(dataset, split):
    written = record_index.read(beside(dataset, split))
    made = record_index.make(dataset.files(split), record_index.TFRECORD)
    np.testing.assert_array_equal(written, made)
    row, path = written[-1], dataset.files(split)[-1]
    *_, record = tf.data.TFRecordDataset(path).as_numpy_iterator()
    assert pathlib.Path(path).read_bytes()[row["offset"] :][: row["length"]] == record
    feature = tf.train.Example.FromString(record).features.feature
    for name in ("id", "group"):
        assert feature[name].bytes_list.value == [row[name]]


def test_images_begin_where_tensorflow_takes_them_without_a_copy(dataset):
    index = record_index.read(beside(dataset, "train"))
    assert set((index["offset"] + index["image"]) % 64) == {0}


def test_the_builders_index_is_read_and_a_damaged_one_refused(
    dataset, data_dir, tmp_path, monkeypatch
):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(record_index, "make", lambda *_: pytest.fail("there is one already"))
    shutil.copytree(data_dir, tmp_path / "data")
    copy = open_dataset(dataset.name, str(tmp_path / "data"))
    assert len(copy.index("test")) == copy.num_examples("test")
    file = beside(copy, "test")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(Damaged, match=f"{file.name} is not the file that was built"):
        copy.index("test")


@pytest.mark.parametrize(
    "content",
    [np.zeros(3), np.zeros((2, 2), [("shard", "<u4")]), np.zeros(2, [("id", "S3")])],
)
def test_what_is_no_index_is_refused(content, tmp_path):
    np.save(tmp_path / "other.npy", content)
    with pytest.raises(ValueError, match="expected an index of records"):
        record_index.read(tmp_path / "other.npy")
