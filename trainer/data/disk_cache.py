"""A local disk cache of decoded images, for datasets that store them encoded or compressed."""

import dataclasses

import tensorflow as tf
from absl import logging

from trainer.data.cache_folder import cache_root, free_bytes
from trainer.data.dataset import BuiltDataset
from trainer.data.kept_rows import KeptRows
from trainer.data.records import Records, read_batches
from trainer.errors import UserError
from trainer.progress_line import ProgressLine

# Increase when the same files would decode to different pixels.
_VERSION = 3
# Images per shard.
_SHARD = 2048


def decoded_images(dataset: BuiltDataset, split: str, records: Records) -> KeptRows:
    """Returns the cache for the decoded images of some records; decodes nothing.

    Args:
        dataset: a built dataset.
        split: its split.
        records: records of the split.
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
    """Whether the disk already holds the images, or has twice the space they need."""
    return images.folder.exists() or images.bytes_needed < free_bytes() / 2


def decode_once(dataset: BuiltDataset, records: Records, images: KeptRows) -> None:
    """Decodes the images missing from the cache, or waits for another process that is doing so.

    Args:
        dataset: a built dataset.
        records: records of the dataset.
        images: their cache, as returned by `decoded_images`.

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
