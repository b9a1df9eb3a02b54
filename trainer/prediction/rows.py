"""Fills a table: radiographs are read ahead, predicted in batches, and appended."""

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
    """How to read the radiographs.

    Attributes:
        images: the list.
        image_shape: `[height, width, 1]` to resize to.
        depth: depth of 16-bit image files, as for `read_ahead`.
        any_view: as for `read_ahead`.
    """

    images: ImageList
    image_shape: Sequence[int]
    depth: int | None
    any_view: bool


@dataclasses.dataclass(frozen=True)
class Answers:
    """How to compute the rows of each radiograph.

    Attributes:
        predict: maps `[examples, H, W, 1] uint8` to probabilities and features.
        fitted: the training features; None if unknown.
        draw: draws the heatmaps of a batch; None: no heatmaps.
    """

    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    fitted: TrainingFeatures | None
    draw: Callable[..., list[str]] | None


def append_rows(partial: PartialTable, table: Table, reading: Reading, answers: Answers) -> Account:
    """Appends the rows that an earlier call has not written.

    Args:
        partial: the table's folder, locked by this process.
        table: the columns of the table.
        reading: how to read the radiographs.
        answers: how to compute the rows.

    Returns:
        The number of radiographs read and those skipped, including earlier calls.
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
    """Returns the rows of a batch; `first` radiographs were read before it."""
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
    """Returns the number of rows in whole batches of an earlier call, and their size in bytes."""
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
    """Adds files to the account, with the reason if skipped, empty for those read."""
    for path, reason in files:
        if reason:
            account.left_out.append((pathlib.Path(path), reason))
        else:
            account.read += 1


def _batches(
    files: Iterator[FileRead], image_shape: Sequence[int]
) -> Iterator[tuple[list[FileRead], np.ndarray]]:
    """Yields files, and the pixels of those read, in one shape: a network is traced once."""
    pixels = np.zeros((BATCH, *image_shape), np.uint8)
    for batch, _ in whole_batches(files, lambda file: file.image is not None):
        for place, image in enumerate(file.image for file in batch if file.image is not None):
            pixels[place] = image
        yield batch, pixels
