"""The one reader of a built dataset: serialized records to batches of what they hold."""

import os
from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_datasets as tfds

from trainer.data import pixels
from trainer.data.dataset import BuiltDataset

READ_BATCH = 256
# The features of every example.
_FEATURES = ("image", "label", "id")

# A batch of records, `[batch] string`, to its features, `[batch, ...]` each: `image` is
# `[batch, H, W, 1] uint8`, `label` `[batch] int64` and `id` `[batch] string`.
Parser = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def read_batches(
    dataset: BuiltDataset,
    split: str,
    features: Sequence[str] = _FEATURES,
    batch_size: int = READ_BATCH,
) -> tf.data.Dataset:
    """Reads a split in the order of its files.

    Args:
        dataset: a built dataset.
        split: its split.
        features: as of `parser_of`.
        batch_size: examples in each batch; the last one may have fewer.

    Returns:
        Batches of what `parser_of` parses.

    Raises:
        Damaged: the split is not what was built.
        Unreadable: a file could not be read.
    """
    records = tf.data.TFRecordDataset(dataset.files(split)).batch(batch_size)
    return records.map(parser_of(dataset, features), num_parallel_calls=os.cpu_count())


def parser_of(dataset: BuiltDataset, features: Sequence[str] = _FEATURES) -> Parser:
    """The fastest way to parse a dataset's records.

    Args:
        dataset: a built dataset.
        features: names of the features wanted; those that the dataset does not have are left out.
            Every example has an `id`: where the dataset stores none, a hash of the record. It is
            the same wherever the record lies, in this split or another, in any number of files,
            in any order; only identical records share one.
    """
    if dataset.stores_pixels and set(features) == set(_FEATURES):
        return raw_parser(dataset.image_shape)
    return _decoding_parser(dataset, features)


def raw_parser(image_shape: Sequence[int]) -> Parser:
    """Parses records that hold the pixels themselves, a batch at once.

    Args:
        image_shape: `[height, width, channels]` of every image.
    """
    features = {
        "image": tf.io.FixedLenFeature((), tf.string),
        "label": tf.io.FixedLenFeature((), tf.int64),
        "id": tf.io.FixedLenFeature((), tf.string),
    }

    def parse(serialized: tf.Tensor) -> dict:
        batch = tf.io.parse_example(serialized, features)
        decoded = tf.io.decode_raw(batch["image"], tf.uint8)
        return batch | {"image": tf.reshape(decoded, [-1, *image_shape])}

    return parse


def raw_record(image: bytes, label: int, example_id: bytes) -> bytes:
    """Serializes what `raw_parser` parses.

    Args:
        image: the pixels' bytes, row by row.
        label: of the class.
        example_id: of the example.
    """

    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    of_label = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    features = {"image": of_bytes(image), "label": of_label, "id": of_bytes(example_id)}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _decoding_parser(dataset: BuiltDataset, features: Sequence[str]) -> Parser:
    """Decodes features of any format and images of any size that TFDS stores, one by one."""
    stored = dataset.builder.info.features
    wanted = tfds.features.FeaturesDict({name: stored[name] for name in features if name in stored})
    signature = {name: feature.get_tensor_spec() for name, feature in wanted.items()}
    if "image" in wanted:
        signature["image"] = tf.TensorSpec(dataset.image_shape, tf.uint8)
    if "id" in features:
        signature["id"] = tf.TensorSpec((), tf.string)

    def parse_one(serialized: tf.Tensor) -> dict:
        example = wanted.deserialize_example(serialized)
        if "image" in example:
            example["image"] = pixels.resize(pixels.to_gray(example["image"]), dataset.image_shape)
        if "id" in features:
            example["id"] = _text_id(example.get("id"), serialized)
        return example

    def parse(serialized: tf.Tensor) -> dict:
        return tf.map_fn(
            parse_one, serialized, fn_output_signature=signature,
            parallel_iterations=os.cpu_count(),
        )  # fmt: skip

    return parse


def _text_id(stored: tf.Tensor | None, serialized: tf.Tensor) -> tf.Tensor:
    if stored is None:
        stored = tf.strings.to_hash_bucket_fast(serialized, 2**62)
    return stored if stored.dtype == tf.string else tf.strings.as_string(stored)
