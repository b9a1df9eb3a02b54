"""Writes a run's TensorBoard events: curves by step and epoch, images, settings, HParams."""

import functools
import io
import json
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.hparams import api as hparams

from trainer import markdown
from trainer.confusion_matrix import plot_confusion_matrix
from trainer.directory import writing_to
from trainer.training.metrics import Metrics
from trainer.training.observers.observer import EpochMetrics, Observer, StepMetrics

# Number of images shown of the augmented batch.
_MOST_IMAGES = 16
_STEP_METRICS = (
    "loss", "accuracy", "learning_rate", "gradient_norm", "loss_scale", "images_per_second",
    "input_wait",
)  # fmt: skip


def _telling_of_a_full_disk(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def write(self: "TensorBoard", *values: Any) -> None:
        with writing_to(self._directory):
            method(self, *values)

    return write


def _chart(title: str, tags: list[str]) -> layout_pb2.Chart:
    return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags))


class TensorBoard(Observer):
    """Writes a run's event files; training and validation are two curves in one chart.

    Tags under `step/` are plotted over steps, those under `epoch/` over epochs.
    """

    def __init__(self, directory: pathlib.Path, class_names: tuple[str, ...]) -> None:
        """Opens the event files.

        Args:
            directory: directory of the event files.
            class_names: names of the classes in the order of their labels.
        """

        def writer(name: str) -> tf.summary.SummaryWriter:
            # As bytes: under an ASCII locale a path contains surrogates, which TensorFlow rejects.
            return tf.summary.create_file_writer(os.fsencode(directory / name))

        self._directory, self._class_names = directory, class_names
        self._run, self._train, self._validation = map(writer, ("", "train", "validation"))

    @_telling_of_a_full_disk
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

    @_telling_of_a_full_disk
    def write_layout(self) -> None:
        """Writes the layout of the custom scalars page: loss, accuracy, recall by class, speed."""
        charts = {
            "by epoch": {
                "loss": ["epoch/loss"],
                "accuracy": ["epoch/accuracy"],
                "recall": [re.escape(f"epoch/recall/{name}") for name in self._class_names],
                "images per second": ["epoch/images_per_second"],
                "wait for input": ["epoch/input_wait"],
                "seconds a step": ["epoch/step_seconds_.*"],
                "where the time goes": ["epoch/time_share_.*"],
                "MFU": ["epoch/mfu"],
                "GPU memory": ["epoch/gpu_memory_peak_bytes"],
                "lag of the slowest worker": ["epoch/slowest_worker_lag"],
            },
            "by step": {name.replace("_", " "): [f"step/{name}"] for name in _STEP_METRICS},
        }
        layout = layout_pb2.Layout(
            category=[
                layout_pb2.Category(title=title, chart=[_chart(*chart) for chart in of.items()])
                for title, of in charts.items()
            ]
        )
        with self._run.as_default(step=0):
            tf.summary.experimental.write_raw_pb(
                custom_scalar.pb(layout).SerializeToString(), step=0
            )
        self._run.flush()

    @_telling_of_a_full_disk
    def write_batch(self, images: np.ndarray) -> None:
        """Writes images of a batch as it enters the network, after augmentation and scaling.

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

    @_telling_of_a_full_disk
    def finish_steps(self, metrics: StepMetrics) -> None:
        """Writes the metrics of the steps, except those that are None."""
        values = {name: getattr(metrics, name) for name in _STEP_METRICS}
        self._write_scalars(self._train, metrics.global_step, "step", values)

    @_telling_of_a_full_disk
    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """Writes the epoch's metrics and, if it is the best so far, those compared by HParams."""
        epoch, train, validation = metrics.epoch, metrics.train, metrics.validation
        speed = ("learning_rate", "images_per_second", "input_wait")
        values = {name: getattr(metrics, name) for name in speed} | metrics.utilisation.measured()
        self._write_scalars(self._train, epoch, "epoch", self._of_split(train) | values)
        self._write_scalars(self._validation, epoch, "epoch", self._of_split(validation))
        with self._validation.as_default(step=epoch):
            tf.summary.image("confusion_matrix", self._draw(validation.confusion, epoch))
            # A separate tag, as TensorBoard shows only one kind of data per tag.
            tf.summary.text("confusion_counts", self._table(validation.confusion))
        self._validation.flush()
        if metrics.is_best:
            best = {"validation_loss": validation.loss, "validation_accuracy": validation.accuracy}
            self._write_scalars(self._run, epoch, "best", best)

    def _write_scalars(
        self, writer: tf.summary.SummaryWriter, step: int, prefix: str, values: dict
    ) -> None:
        with writer.as_default(step=step):
            for name, value in values.items():
                if value is not None:
                    tf.summary.scalar(f"{prefix}/{name}", value)
        writer.flush()

    def _of_split(self, metrics: Metrics) -> dict[str, float | None]:
        recall = {
            f"recall/{name}": None if np.isnan(value) else float(value)
            for name, value in zip(self._class_names, metrics.recall, strict=True)
        }
        return {"loss": metrics.loss, "accuracy": metrics.accuracy} | recall

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
