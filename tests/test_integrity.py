import dataclasses
import hashlib
import pathlib
import struct

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.raw_record import raw_record
from cxr_command import checksums
from tests.support import plain_dataset
from trainer.data import integrity
from trainer.errors import Damaged

PIXELS = plain_dataset.SIZE**2


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return plain_dataset.write(tmp_path / "data")


def record(label=0, pixels=PIXELS):
    return raw_record(bytes(pixels), label, b"id")


def rewrite(path, records):
    with tf.io.TFRecordWriter(path) as writer:
        for one in records:
            writer.write(one)


def records_in(path):
    return [one.numpy() for one in tf.data.TFRecordDataset(path)]


def test_a_whole_split_gives_one_digest_for_its_content(small, tmp_path):
    first = small.digest("train")
    assert small.digest("train") == first != small.digest("validation")
    (tmp_path / "copy").mkdir()
    assert plain_dataset.write(tmp_path / "copy").digest("train") == first
    (tmp_path / "other").mkdir()
    assert plain_dataset.write(tmp_path / "other", seed=1).digest("train") != first


def test_the_index_tells_where_each_record_and_its_image_lie(small):
    paths = small.files("train")
    expected = [len(records_in(path)) for path in paths]
    index = small.index("train")
    assert np.bincount(index["shard"]).tolist() == expected == small.shard_lengths("train")
    for row in index:
        record = pathlib.Path(paths[row["shard"]]).read_bytes()[row["offset"] :][: row["length"]]
        feature = tf.train.Example.FromString(record).features.feature
        assert feature["label"].int64_list.value == [row["label"]]
        assert feature["id"].bytes_list.value == [row["id"]]
        (image,) = feature["image"].bytes_list.value
        assert record[row["image"] :][: row["size"]] == image
        assert row["size"] == PIXELS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda records: records + records, "hold .* records, its dataset_info.json says"),
        (lambda records: records[:-1], "hold .* records, its dataset_info.json says"),
        (
            lambda records: [*records[:-1], record(label=9)],
            "labels go from 0 to 9, expected",
        ),
        (lambda records: [*records[:-1], record(label=-2)], "labels go from -2 to"),
        (lambda records: [*records[:-1], record(pixels=5)], "images have 5 to 1024 pixels"),
        (lambda records: [*records[:-1], b""], "has no label"),
        (lambda records: [*records[:-1], b"\xff\xff"], "has no label"),
    ],
)
def test_a_shard_that_holds_something_else_is_refused(small, change, said):
    path = small.files("train")[1]
    rewrite(path, change(records_in(path)))
    for use in (small.files, small.digest):
        with pytest.raises(Damaged, match=f"split 'train' of small:1.0.0 .* is damaged .*{said}"):
            use("train")
    small.files("validation")


def test_a_flipped_byte_a_cut_and_a_missing_file_are_refused(small):
    path = pathlib.Path(small.files("train")[0])
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 1
    for content, said in [
        (bytes(flipped), "checksum is wrong"),
        (whole[:-7], "ends within a record"),
        (whole + b"more", "ends within a record"),
        (struct.pack("<Q", 2**60) + whole[8:], "ends within a record"),
        (b"", "hold 28 records"),
    ]:
        path.write_bytes(content)
        with pytest.raises(Damaged, match=said):
            small.files("train")
    path.unlink()
    with pytest.raises(Damaged, match="there is no "):
        small.files("train")
    path.write_bytes(whole)
    small.files("train")


def test_the_digests_that_a_builder_wrote_are_compared(small):
    folder = pathlib.Path(small.data_dir)
    paths = [pathlib.Path(path) for split in ("train", "validation") for path in small.files(split)]
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    (folder / "SHA256SUMS").write_text(checksums.lines_of(digests))
    small.files("train")
    # A shard of the same number of records in the place of another.
    first, second = small.files("validation")[:2]
    pathlib.Path(second).write_bytes(pathlib.Path(first).read_bytes())
    with pytest.raises(Damaged, match="validation-1 is not the file that was built"):
        small.files("validation")
    (folder / "SHA256SUMS").write_text("nonsense")
    with pytest.raises(Damaged, match="SHA256SUMS is damaged .*nonsense"):
        small.files("train")


def test_damaged_notes_on_the_content_cost_a_reading(small):
    digest = small.digest("train")
    kept = integrity.stamps.folder() / f"index-of-{digest}.npy"
    for file in (kept, kept.with_suffix(".json")):
        was = file.read_bytes()
        for damaged in (b"", b"{", was[:-9] + bytes([was[-9] ^ 1]) + was[-8:]):
            assert damaged != was
            file.write_bytes(damaged)
            assert small.digest("train") == digest
            assert file.read_bytes() == was


def test_a_dataset_of_other_classes_is_refused_by_its_labels(small):
    with pytest.raises(Damaged, match="labels go from 0 to 3, expected 0 to 2"):
        dataclasses.replace(small, class_names=tuple("abc")).files("train")
