"""Decoded images, kept on the local disk: of datasets that store them encoded or compressed."""

import dataclasses

import tensorflow as tf
from absl import logging

from trainer.data.cache_folder import cache_root, free_bytes
from trainer.data.dataset import BuiltDataset
from trainer.data.kept_rows import KeptRows
from trainer.data.records import Records, read_batches
from trainer.errors import UserError
from trainer.progress_line import ProgressLine

# Raised when the pixels that the same files give change.
_VERSION = 3
# Images of a shard.
_SHARD = 2048


def decoded_images(dataset: BuiltDataset, split: str, records: Records) -> KeptRows:
    """Where the decoded images of some records are kept; nothing is decoded.

    Args:
        dataset: a built dataset.
        split: its split.
        records: of that.
    """
    key = {
        "version": _VERSION,
        "dataset": dataset.name,
        "image_shape": list(dataset.image_shape),
        "content": records.digest,
    }
    return KeptRows(
        dataset.name, split, "images", key, size=len(records),
        row=tf.TensorSpec(dataset.image_shape, tf.uint8), flag="--cache=off",
    )  # fmt: skip


def fits(images: KeptRows) -> bool:
    """Whether the disk has twice the room that the images need, or holds them."""
    return images.folder.exists() or images.bytes_needed < free_bytes() / 2


def decode_once(dataset: BuiltDataset, records: Records, images: KeptRows) -> None:
    """Decodes what the disk lacks, unless another process is just doing so.

    Args:
        dataset: a built dataset.
        records: of it.
        images: what `decoded_images` returned for them.

    Raises:
        UserError: the disk is too full.
    """
    with images.locked():
        if not images.is_whole():
            needed, free = images.bytes_needed, free_bytes()
            if needed > free:
                raise UserError(
                    f"--cache=disk needs {needed / 1e6:.0f} MB in {cache_root()}, and "
                    f"{free / 1e6:.0f} MB are free there: free space, set CXR_CACHE_DIR to another "
                    "disk, or use --cache=off"
                )
            _decode(dataset, records, images)
    logging.info("decoded images of %s: %s", images.split, images.folder)


def _decode(dataset: BuiltDataset, records: Records, images: KeptRows) -> None:
    first = images.begin()
    left = dataclasses.replace(records, index=records.index[first:])
    line = ProgressLine(f"decoding {images.split}", -(-len(left) // _SHARD), _SHARD)
    try:
        for step, batch in enumerate(read_batches(dataset, left, ["image"], _SHARD)):
            images.write(first + step * _SHARD, batch["image"])
            line.show(step + 1)
    finally:
        line.clear()
        images.drop_if_empty()
    images.finish()
