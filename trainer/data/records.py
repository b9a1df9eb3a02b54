"""Serialized records of a built dataset to uint8 batches."""

import os
from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_datasets as tfds

from trainer.data import pixels
from trainer.data.dataset import BuiltDataset

# A batch of records, `[batch] string`, to `image` `[batch, H, W, 1] uint8`, `label` `[batch] int64`
# and `id` `[batch] string`.
Parser = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def parser_of(dataset: BuiltDataset) -> Parser:
    """The fastest way to parse a dataset's records."""
    if dataset.stores_pixels:
        return raw_parser(dataset.image_shape)
    return _decoding_parser(dataset)


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


def _decoding_parser(dataset: BuiltDataset) -> Parser:
    """Decodes images of any format and size that TFDS stores, one by one."""
    stored = dataset.builder.info.features
    wanted = tfds.features.FeaturesDict(
        {name: stored[name] for name in ("image", "label", "id") if name in stored}
    )

    def parse_one(serialized: tf.Tensor) -> dict:
        example = wanted.deserialize_example(serialized)
        if "id" not in example:
            # Draws for augmentation need a name that goes with the example wherever it lies.
            name = tf.strings.to_hash_bucket_fast(serialized, 2**62)
            example["id"] = tf.strings.as_string(name)
        elif example["id"].dtype != tf.string:
            example["id"] = tf.strings.as_string(example["id"])
        image = pixels.resize(pixels.to_gray(example["image"]), dataset.image_shape)
        return {"image": image, "label": example["label"], "id": example["id"]}

    signature = {
        "image": tf.TensorSpec(dataset.image_shape, tf.uint8),
        "label": tf.TensorSpec((), tf.int64),
        "id": tf.TensorSpec((), tf.string),
    }

    def parse(serialized: tf.Tensor) -> dict:
        return tf.map_fn(
            parse_one, serialized, fn_output_signature=signature,
            parallel_iterations=os.cpu_count(),
        )  # fmt: skip

    return parse
