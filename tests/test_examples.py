import csv
import hashlib
import os

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.support import radiograph_file
from trainer.data.example_stream import read_examples
from trainer.data.examples import labels_and_sources, load_folder, load_split
from trainer.data.opening import open_dataset
from trainer.errors import UserError

CLASSES = ("COVID", "Normal")
SHAPE = (32, 24, 1)


@pytest.fixture(scope="module")
def table(dataset):
    """splits.csv beside the built dataset, by id."""
    with open(f"{dataset.builder.data_dir}/splits.csv", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def examples(dataset):
    return load_split(dataset, "test")


def test_a_split_is_what_training_reads_and_the_table_says(dataset, examples, table):
    stream = read_examples(dataset, "test", cache="off", shuffle_seed=None)
    batch = next(stream.one_pass(stream.size).as_numpy_iterator())
    np.testing.assert_array_equal(examples.images, batch["image"])
    np.testing.assert_array_equal(examples.labels, batch["label"])
    assert examples.ids.tolist() == [name.decode() for name in batch["id"]]
    rows = [table[example_id] for example_id in examples.ids]
    assert all(row["split"] == "test" for row in rows)
    assert examples.sources.tolist() == [row["source"] for row in rows]
    assert examples.groups.tolist() == [row["group"] for row in rows]


def test_masks_are_those_of_the_files(phantom_database, examples):
    assert examples.masked.tolist() == list(range(len(examples.ids)))
    path = next(phantom_database.glob(f"*/*/masks/{examples.ids[0]}.png"))
    drawn = np.asarray(PIL.Image.open(path).convert("L").resize((224, 224))) > 127
    assert np.mean(examples.masks[0, :, :, 0] == drawn) > 0.98


def test_the_digest_names_the_examples(examples, table):
    lines = sorted(
        f"{row['id']},{row['label']}\n" for row in table.values() if row["split"] == "test"
    )
    assert examples.digest == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_sources_are_read_without_images(dataset, table):
    labels, sources = labels_and_sources(dataset, "train")
    rows = [row for row in table.values() if row["split"] == "train"]
    expected = sorted((dataset.class_names.index(row["label"]), row["source"]) for row in rows)
    assert sorted(zip(labels.tolist(), sources.tolist(), strict=True)) == expected


def test_a_dataset_that_tells_nothing_more_can_be_judged(tmp_path):
    """Images, labels and ids alone, as another dataset may have them."""
    pixels = tfds.features.Tensor(shape=SHAPE, dtype=np.uint8, encoding="bytes")
    tfds.dataset_builders.store_as_tfds_dataset(
        name="plain",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": pixels,
                "label": tfds.features.ClassLabel(names=CLASSES),
                "id": tfds.features.Text(),
            }
        ),
        split_datasets={
            "test": tf.data.Dataset.from_tensor_slices(
                {
                    "image": np.zeros((2, *SHAPE), np.uint8),
                    "label": [0, 1],
                    "id": ["a", "b"],
                }
            )
        },
        data_dir=str(tmp_path),
    )
    examples = load_split(open_dataset("plain", str(tmp_path)), "test")
    assert sorted(examples.ids) == ["a", "b"]
    assert (examples.sources, examples.groups, examples.masks, examples.masked) == (None,) * 4


def draw(path, seed, size=(40, 50)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(path)


def test_a_folder_is_read_class_by_class(tmp_path):
    draw(tmp_path / "COVID" / "b.png", 1)
    draw(tmp_path / "COVID" / "a.JPG", 2, (90, 30))
    draw(tmp_path / "Normal" / "a.jpeg", 3)
    (tmp_path / "Normal" / "notes.txt").write_text("no image")
    examples = load_folder(tmp_path, CLASSES, SHAPE)
    assert examples.ids.tolist() == ["COVID/a.JPG", "COVID/b.png", "Normal/a.jpeg"]
    assert examples.labels.tolist() == [0, 0, 1]
    for name, image in zip(examples.ids, examples.images, strict=True):
        np.testing.assert_array_equal(image, radiograph_file.read(tmp_path / name, SHAPE))
    assert (examples.sources, examples.groups, examples.masks) == (None, None, None)
    assert [path.name for path, _ in examples.account.left_out] == ["notes.txt"]


def test_the_id_of_a_file_whose_name_is_no_unicode_can_be_written(tmp_path):
    draw(tmp_path / "COVID" / os.fsdecode(b"\xff\n.png"), 1)
    examples = load_folder(tmp_path, CLASSES, SHAPE)
    assert examples.ids.tolist() == ["COVID/\\xff\n.png"]
    lines = "".join(f"{example_id},COVID\n" for example_id in examples.ids)
    assert examples.digest == hashlib.sha256(lines.encode()).hexdigest()


def test_a_damaged_file_is_left_out_and_named(tmp_path):
    draw(tmp_path / "COVID" / "whole.png", 1)
    (tmp_path / "COVID" / "broken.png").write_bytes(b"not an image")
    examples = load_folder(tmp_path, CLASSES, SHAPE)
    assert examples.ids.tolist() == ["COVID/whole.png"]
    ((path, reason),) = examples.account.left_out
    assert path == tmp_path / "COVID" / "broken.png"
    assert reason.startswith("no image; expected PNG")


def test_a_class_without_a_folder_is_absent(tmp_path):
    draw(tmp_path / "Normal" / "a.png", 1)
    assert load_folder(tmp_path, CLASSES, SHAPE).labels.tolist() == [1]


def test_folders_of_another_layout_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        load_folder(tmp_path / "missing", CLASSES, SHAPE)
    with pytest.raises(UserError, match="has no radiograph .* for each class: COVID, Normal"):
        load_folder(tmp_path, CLASSES, SHAPE)
    (tmp_path / "COVID").mkdir()
    (tmp_path / "COVID" / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="0 radiographs read, 1 file left out: 1 the file is empty"):
        load_folder(tmp_path, CLASSES, SHAPE)
    draw(tmp_path / "covid" / "a.png", 1)
    with pytest.raises(UserError, match="sub-folder 'covid', which is not a class"):
        load_folder(tmp_path, CLASSES, SHAPE)
