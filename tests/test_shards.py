import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle

from cxr_tfds.covid19_radiography import shards


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((16932, 2116, 2117), 32), ((2240, 280, 280), 4), ((9, 1, 2), 1), ((800, 127, 129), 1)],
)
def test_the_default_number_suits_the_smallest_split(sizes, expected):
    assert shards.number(sizes, None) == expected


def test_what_the_user_asks_for_is_taken_or_refused():
    assert shards.number((800, 100, 100), 7) == 7
    with pytest.raises(ValueError, match="--num_shards=101 .* smallest split has examples, 100"):
        shards.number((800, 100, 100), 101)


def test_the_order_is_the_one_that_tfds_itself_stores(tmp_path):
    ids = [f"COVID-{n}" for n in range(50)]
    shuffler = shuffle.Shuffler(tmp_path, hash_salt="train")
    for radiograph_id in ids:
        shuffler.add(radiograph_id, radiograph_id.encode())
    assert shards.shuffled(ids, "train") == [record.decode() for _, record in shuffler]


def test_records_are_written_with_sorted_keys(tmp_path):
    names = ["b", "a", "image", "label", "c"]
    features = tfds.features.FeaturesDict({name: np.int64 for name in names})
    serializer = tfds.core.ExampleSerializer(features.get_serialized_info())
    record = serializer.serialize_example(dict.fromkeys(names, 1))
    writer = shards.CanonicalWriter(file_format=tfds.core.FileFormat.TFRECORD)
    writer.write(tmp_path / "shard", iter([("key", record)]))
    written = (tmp_path / "shard").read_bytes()
    places = [written.index(b"\n" + bytes([len(name)]) + name.encode()) for name in sorted(names)]
    assert places == sorted(places)
