"""What TensorBoard shows of a run: curves by step and by epoch, pictures, settings, HParams."""

import io
import json
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from trainer import markdown
from trainer.confusion_matrix import plot_confusion_matrix

# Images of the augmented batch that are shown.
_MOST_IMAGES = 16


class TensorBoard:
    """Writes a run's event files; training and validation are two curves in one chart.

    Tags that begin with `step/` are drawn over steps, those that begin with `epoch/` over epochs.
    """

    def __init__(
        self, directory: pathlib.Path, class_names: tuple[str, ...], *, writes: bool = True
    ) -> None:
        """Opens the event files.

        Args:
            directory: where they lie.
            class_names: names of the classes in the order of their labels.
            writes: whether this process writes any; one of several workers does.
        """

        def writer(name: str) -> tf.summary.SummaryWriter:
            if not writes:
                return tf.summary.create_noop_writer()
            # As bytes: under a locale of ASCII a path holds surrogates, which TensorFlow refuses.
            return tf.summary.create_file_writer(os.fsencode(directory / name))

        self._class_names = class_names
        self._run, self._train, self._validation = map(writer, ("", "train", "validation"))

    def write_settings(self, config: dict[str, Any], content: dict[str, Any]) -> None:
        """Writes a run's settings, as text and for the HParams page.

        Args:
            config: the hyper-parameters and other settings.
            content: all of config.json.
        """
        with self._run.as_default(step=0):
            text = json.dumps(content, indent=2)
            tf.summary.text("config.json", f"```json\n{text}\n```")
            hparams.hparams_config(
                hparams=[hparams.HParam(name) for name in config],
                metrics=[
                    hparams.Metric("best/validation_loss"),
                    hparams.Metric("best/validation_accuracy"),
                    hparams.Metric("epoch/accuracy", group="validation"),
                ],
            )
            hparams.hparams(config)
        self._run.flush()

    def write_batch(self, images: np.ndarray) -> None:
        """Shows a batch as the network sees it, after augmentation and scaling.

        Args:
            images: `[batch, height, width, 3] float32`, of any range.
        """
        images = images[:_MOST_IMAGES].astype(np.float32)
        lowest, highest = images.min(), images.max()
        images = (images - lowest) / max(highest - lowest, 1e-6)
        columns = max(1, int(np.sqrt(len(images))))
        rows = -(-len(images) // columns)
        blank = np.zeros((rows * columns - len(images), *images.shape[1:]), np.float32)
        grid = np.concatenate([images, blank]).reshape(rows, columns, *images.shape[1:])
        height, width, channels = images.shape[1:]
        grid = grid.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
        with self._train.as_default(step=0):
            tf.summary.image("augmented_batch", grid[None])
        self._train.flush()

    def write_steps(self, step: int, values: dict[str, float | None]) -> None:
        """Writes the metrics of the steps since the last call.

        Args:
            step: number of steps taken in all.
            values: metrics by name; None is left out.
        """
        self._write_scalars(self._train, step, "step", values)

    def write_epoch(
        self,
        row: dict[str, Any],
        train_recall: np.ndarray,
        validation_recall: np.ndarray,
        confusion: np.ndarray,
    ) -> None:
        """Writes an epoch's metrics.

        Args:
            row: a row of metrics.jsonl.
            train_recall: `[classes]`, NaN for a class without examples.
            validation_recall: likewise.
            confusion: `[true, predicted] int`, of the validation split.
        """
        epoch = row["epoch"]
        train = ("loss", "accuracy", "learning_rate", "images_per_second", "input_wait")
        self._write_scalars(
            self._train, epoch, "epoch",
            {name: row[name] for name in train} | self._by_class(train_recall),
        )  # fmt: skip
        self._write_scalars(
            self._validation, epoch, "epoch",
            {"loss": row["validation_loss"], "accuracy": row["validation_accuracy"]}
            | self._by_class(validation_recall),
        )  # fmt: skip
        with self._validation.as_default(step=epoch):
            tf.summary.image("confusion_matrix", self._draw(confusion, epoch))
            # A tag of its own: TensorBoard shows one kind of thing under a tag.
            tf.summary.text("confusion_counts", self._table(confusion))
        self._validation.flush()

    def write_best(self, row: dict[str, Any]) -> None:
        """Writes the best epoch's metrics, which the HParams page compares runs by."""
        with self._run.as_default(step=row["epoch"]):
            for name in ("validation_loss", "validation_accuracy"):
                tf.summary.scalar(f"best/{name}", row[name])
        self._run.flush()

    def _write_scalars(
        self, writer: tf.summary.SummaryWriter, step: int, prefix: str, values: dict
    ) -> None:
        with writer.as_default(step=step):
            for name, value in values.items():
                if value is not None:
                    tf.summary.scalar(f"{prefix}/{name}", value)
        writer.flush()

    def _by_class(self, recall: np.ndarray) -> dict[str, float | None]:
        return {
            f"recall/{name}": None if np.isnan(value) else float(value)
            for name, value in zip(self._class_names, recall, strict=True)
        }

    def _draw(self, confusion: np.ndarray, epoch: int) -> np.ndarray:
        picture = io.BytesIO()
        title = f"validation split after epoch {epoch}"
        plot_confusion_matrix(confusion, self._class_names, title, picture)
        return tf.io.decode_png(picture.getvalue(), channels=3)[None]

    def _table(self, confusion: np.ndarray) -> str:
        names = list(map(markdown.escape, self._class_names))
        lines = [["true \\ predicted", *names], ["---"] * (len(confusion) + 1)]
        lines += [
            [name, *map(str, counts)]
            for name, counts in zip(names, confusion.tolist(), strict=True)
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
