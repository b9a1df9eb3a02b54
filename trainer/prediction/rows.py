"""Fills a table: radiographs are read ahead, predicted in batches, and appended as they come."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from absl import logging

from cxr_command.radiograph.account import Account
from trainer.evaluation.predictions import BATCH
from trainer.evaluation.training_features import TrainingFeatures
from trainer.prediction.batches import whole_batches
from trainer.prediction.image_list import ImageList
from trainer.prediction.partial_table import PartialTable
from trainer.prediction.read_ahead import FileRead, read_ahead
from trainer.prediction.table import Table, reason_of, shown
from trainer.progress_line import ProgressLine


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the radiographs are read.

    Attributes:
        images: the list.
        image_shape: `[height, width, 1]` to resize to.
        depth: of 16-bit image files, as that of `read_ahead`.
        any_view: likewise.
    """

    images: ImageList
    image_shape: Sequence[int]
    depth: int | None
    any_view: bool


@dataclasses.dataclass(frozen=True)
class Answers:
    """What is said of each radiograph.

    Attributes:
        predict: from `[examples, H, W, 1] uint8` to probabilities and features.
        fitted: the features of the training; None if they are not known.
        draw: draws the heatmaps of a batch; None: none are drawn.
    """

    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    fitted: TrainingFeatures | None
    draw: Callable[..., list[str]] | None


def append_rows(partial: PartialTable, table: Table, reading: Reading, answers: Answers) -> Account:
    """Appends the rows that an earlier call has not left.

    Args:
        partial: the table's folder, which this process holds.
        table: its columns.
        reading: of the radiographs.
        answers: of the network.

    Returns:
        How many radiographs were read and which were left out, those of earlier calls among them.
    """
    images, account = reading.images, Account()
    begun, end = _go_on(partial, table, images, account)
    ahead = read_ahead(
        images, begun, reading.image_shape, depth=reading.depth, any_view=reading.any_view
    )
    progress = ProgressLine("predicting", len(images.paths) - begun, 1)
    with partial.appending(table.header, end) as append, contextlib.closing(ahead) as files:
        for batch, pixels in _batches(files, reading.image_shape):
            append(_rows(table, answers, account.read, batch, pixels))
            _count(account, [(file.path, file.reason) for file in batch])
            progress.show(account.read + len(account.left_out) - begun)
    progress.clear()
    return account


def _rows(
    table: Table, answers: Answers, first: int, batch: list[FileRead], pixels: np.ndarray
) -> list[list[object]]:
    """The rows of a batch; `first` radiographs were read before it."""
    read = [file.path for file in batch if file.image is not None]
    probabilities, features = answers.predict(pixels)
    probabilities = probabilities[: len(read)]
    fitted, draw = answers.fitted, answers.draw
    distances = fitted.distance(features)[: len(read)] if fitted else None
    panels = draw(first, read, pixels, probabilities) if draw else []
    return table.rows(batch, probabilities, distances, panels)


def _go_on(
    partial: PartialTable, table: Table, images: ImageList, account: Account
) -> tuple[int, int]:
    """How many rows an earlier call has left in whole batches, and the bytes that they take."""
    begun, end = 0, 0
    kept = partial.kept(table.header, map(shown, images.paths))
    for batch, is_whole in whole_batches(kept, lambda kept: not reason_of(kept[0])):
        if is_whole:
            _count(account, [(row[0], reason_of(row)) for row, _ in batch])
            begun, end = begun + len(batch), batch[-1][1]
    if begun:
        logging.info("resuming after %d of %d files", begun, len(images.paths))
    return begun, end


def _count(account: Account, files: Iterable[tuple[str, str]]) -> None:
    """Adds files and why they were left out, empty for what was read, to the account."""
    for path, reason in files:
        if reason:
            account.left_out.append((pathlib.Path(path), reason))
        else:
            account.read += 1


def _batches(
    files: Iterator[FileRead], image_shape: Sequence[int]
) -> Iterator[tuple[list[FileRead], np.ndarray]]:
    """Files, and the pixels of those that were read, of one shape: a network is traced once."""
    pixels = np.zeros((BATCH, *image_shape), np.uint8)
    for batch, _ in whole_batches(files, lambda file: file.image is not None):
        for place, image in enumerate(file.image for file in batch if file.image is not None):
            pixels[place] = image
        yield batch, pixels
