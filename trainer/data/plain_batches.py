"""A split as a plain tf.data.Dataset, for inspection and custom computations."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from trainer.data.dataset import BuiltDataset
from trainer.data.records import read_batches, text_of
from trainer.data.selection import select
from trainer.errors import UserError
from trainer.given_value import shown, typed


def batches(dataset: BuiltDataset, split: str, batch_size: int = 32) -> tf.data.Dataset:
    """Reads a split in the order of its files.

    Args:
        dataset: a built dataset.
        split: its split, or a part of it, such as `train[:10%]`.
        batch_size: examples in each batch; the last one may have fewer.

    Returns:
        Batches of `image`, `[batch, H, W, 1] uint8`, `label`, `[batch] int64`, and `id`,
        `[batch] string`.

    Raises:
        UserError: the split does not exist or is empty, or an argument is invalid.
    """
    if not isinstance(dataset, BuiltDataset):
        raise UserError(f"{shown(dataset)} is no dataset; expected what open_dataset returned")
    split = typed(str, "split", split)
    batch_size = typed(int, "batch_size", batch_size)
    if batch_size < 1:
        raise UserError(f"--batch_size={batch_size}: expected 1 or more")
    records = select(dataset, split)
    known = {
        "label": records.index["label"].astype("int64"),
        "id": text_of(records.index["id"]),
    }

    def read() -> Iterator[np.ndarray]:
        for batch in read_batches(dataset, records, ("image",), batch_size):
            yield batch["image"]

    spec = tf.TensorSpec([None, *dataset.image_shape], tf.uint8)
    images = tf.data.Dataset.from_generator(read, output_signature=spec)
    others = tf.data.Dataset.from_tensor_slices(known).batch(batch_size)
    return tf.data.Dataset.zip(images, others).map(lambda image, rest: {"image": image, **rest})
