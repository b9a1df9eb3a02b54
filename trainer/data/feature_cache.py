"""Features of a split's images, computed once by a frozen backbone and cached on the local disk.

A row holds the features of one image, `[views, width]`: of the original and, with two views, of the
mirrored image. A batch copies only the rows and views it needs.
"""

import dataclasses

import tensorflow as tf

from trainer.data import augment
from trainer.data.dataset import BuiltDataset
from trainer.data.example_stream import ExampleStream
from trainer.data.kept_rows import KeptRows
from trainer.data.selection import select


class FeatureCache(KeptRows):
    """The cached features of one split's images."""

    def __init__(
        self, dataset: BuiltDataset, split: str, key: dict, *, views: int, width: int, dtype: str
    ) -> None:
        """Determines the folder; creates nothing.

        Args:
            dataset: a built dataset.
            split: its split.
            key: everything the features depend on, as plain values.
            views: views per image: 1, or 2 including the mirrored image.
            width: number of features.
            dtype: dtype of the features.
        """
        self.views, self.width = views, width
        super().__init__(
            dataset.name, split, "features", key, size=len(select(dataset, split)),
            row=tf.TensorSpec((views, width), dtype), flag="--feature_cache=off",
        )  # fmt: skip

    def examples(self, images: ExampleStream) -> ExampleStream:
        """Returns the examples with features in place of images, in the same order.

        Args:
            images: the split's examples.

        Returns:
            A stream whose batches hold `features`, `[batch, width]`, of the view selected by the
            draws; of the original image if there are no draws.
        """
        files, starts = self.mapped()
        offsets, bytes_of_view = tf.constant(starts), self.row_bytes // self.views

        def load(positions: tf.Tensor) -> dict:
            batch = images.load(positions)
            # The pixels are not requested, so tf.data never reads them.
            return {name: batch[name] for name in ("id", "label", "position")}

        def finish(batch: dict) -> dict:
            places = tf.gather(offsets, batch.pop("position"))
            if self.views == 2 and "draws" in batch:
                is_flipped = augment.is_flipped(batch["draws"])
                places += bytes_of_view * tf.cast(is_flipped, tf.int64)
            rows = tf.reshape(files.rows(places, bytes_of_view), [-1, self.width, self.dtype.size])
            return batch | {"features": tf.bitcast(rows, self.dtype)}

        return dataclasses.replace(images, load=load, finish=finish)
