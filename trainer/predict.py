r"""Predicts unlabelled radiographs: one row of a CSV file for each.

    python -m trainer.predict --workdir=RUN --images=FOLDER --output=predictions.csv
    python -m trainer.predict --workdir=RUN1 --workdir=RUN2 --images='FOLDER/*.dcm' \
        --output=predictions.csv
    python -m trainer.predict --model=SAVED --images=list.csv --explain --output=predictions.csv

Radiographs are PNG, JPEG, TIFF, BMP, WebP, GIF and DICOM files: a file, a folder, a glob in quotes,
or a CSV file with a column `path`, relative to its own folder. The probabilities of several runs
are averaged. A file that is no radiograph has a row that says why. A call that was interrupted, by
whatever, goes on when the same command runs again. This is a research tool, not a medical device.
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags, logging

from cxr_command import usage
from cxr_command.radiograph.account import Account
from cxr_command.radiograph.reading import depth_of
from trainer import command
from trainer.directory import require_writable
from trainer.errors import UserError
from trainer.evaluation.predictions import BATCH
from trainer.evaluation.several_runs import class_named, classes_and_shape, named_runs
from trainer.explain.methods import METHODS
from trainer.memory import memory_told
from trainer.prediction.batches import whole_batches
from trainer.prediction.choices import Choices, choose
from trainer.prediction.heatmaps import Heatmaps
from trainer.prediction.image_list import ImageList, list_images
from trainer.prediction.network import Network, exported, mean_predictor
from trainer.prediction.partial_table import PartialTable
from trainer.prediction.read_ahead import FileRead, read_ahead
from trainer.prediction.table import Table, reason_of, shown
from trainer.progress_line import ProgressLine

usage.section("The model")
flags.DEFINE_multi_string("workdir", None, "Directory of a run; repeat it to average runs.")
flags.DEFINE_string("model", None, "Directory that trainer.export_model wrote, in place of runs.")
flags.DEFINE_string("data_dir", None, "Where the dataset lies; default: where the run found it.")
flags.DEFINE_string("positive_class", None, "Class of the decision; default: the first.")

usage.section("The radiographs")
flags.DEFINE_string("images", None, "A file, a folder, a glob or a CSV file.", required=True)
flags.DEFINE_bool("any_view", False, "Of DICOM files, lateral views and other body parts too.")

usage.section("The predictions")
flags.DEFINE_string("output", None, "The CSV file to write.", required=True)
flags.DEFINE_bool("explain", False, "Draw a heatmap of each radiograph too.")
flags.DEFINE_string("explain_dir", None, "Where to; default: OUTPUT-heatmaps, beside OUTPUT.")
flags.DEFINE_enum("method", "gradcam", list(METHODS), "How heatmaps are made.")

FLAGS = flags.FLAGS


@memory_told("predict the radiographs")
def main() -> None:
    """Predicts."""
    _check_flags()
    output = pathlib.Path(FLAGS.output)
    partial = PartialTable(require_writable(output.parent, "output") / output.name)
    directory = _explain_dir(output)
    images = list_images(
        FLAGS.images, [output, partial.folder, directory or _heatmaps_beside(output)]
    )
    networks = _networks()
    class_names, image_shape = classes_and_shape({n: of.content for n, of in networks.items()})
    positive = class_named(FLAGS.positive_class, class_names)
    predict = mean_predictor(list(networks.values()))

    with partial.held():
        asked = _asked(networks, images, class_names[positive])
        chosen = partial.chosen_before(asked)
        if chosen is None:
            _require_empty(directory)
            fitted = choose(networks, predict, class_names[positive], FLAGS.data_dir)
            chosen = {**dataclasses.asdict(fitted), "depth": _depth(images)}
            partial.begin(asked, chosen)
        choices = Choices(chosen["temperature"], chosen["threshold"], chosen.get("quantiles"))
        table = Table(class_names, positive, choices, FLAGS.explain)
        account = Account()
        begun, end = _go_on(partial, table, images, account)
        reading = read_ahead(
            images, begun, image_shape, depth=chosen["depth"], any_view=FLAGS.any_view
        )
        draw = _drawing(networks, directory, class_names)
        progress = ProgressLine("predicting", len(images.paths) - begun, 1)
        with partial.appending(table.header, end) as append, contextlib.closing(reading) as files:
            for batch, pixels in _batches(files, image_shape):
                read = [file.path for file in batch if file.image is not None]
                probabilities = predict(pixels)[: len(read)]
                panels = draw(account.read, read, pixels, probabilities) if draw else []
                append(table.rows(batch, probabilities, panels))
                _count(account, [(file.path, file.reason) for file in batch])
                progress.show(account.read + len(account.left_out) - begun)
        progress.clear()
        partial.finish()
    logging.info(account.told())
    logging.info("predictions: %s", output)


def _check_flags() -> None:
    if bool(FLAGS.workdir) == bool(FLAGS.model):
        raise UserError("give either --workdir=RUN, once or more, or --model=SAVED")
    if os.path.isdir(FLAGS.output):
        raise UserError(f"--output={FLAGS.output} is a directory; give the CSV file to write")
    if FLAGS.explain_dir and not FLAGS.explain:
        raise UserError("--explain_dir=DIR goes with --explain")
    if FLAGS.explain and len(FLAGS.workdir or ()) > 1:
        raise UserError("--explain explains one network; give --workdir once")


def _explain_dir(output: pathlib.Path) -> pathlib.Path | None:
    if not FLAGS.explain:
        return None
    return require_writable(FLAGS.explain_dir or _heatmaps_beside(output), "explain_dir")


def _heatmaps_beside(output: pathlib.Path) -> pathlib.Path:
    return output.with_name(f"{output.stem}-heatmaps")


def _require_empty(directory: pathlib.Path | None) -> None:
    if directory and directory.exists() and any(directory.iterdir()):
        raise UserError(f"{directory} holds files; remove it, or give another --explain_dir")


def _networks() -> dict[str, Network]:
    if FLAGS.model:
        return {FLAGS.model: exported(FLAGS.model)}
    runs = named_runs(FLAGS.workdir)
    contents = {name: run.finished_config() for name, run in runs.items()}
    classes_and_shape(contents)
    for run in runs.values():
        run.warn_if_unfinished()
    return {name: Network(contents[name], run.load_model(), run) for name, run in runs.items()}


def _asked(networks: dict[str, Network], images: ImageList, positive: str) -> dict[str, Any]:
    """What the rows depend on; what is chosen for them is kept beside it."""
    return {
        "models": [network.best.sha256 for network in networks.values()],
        "images": images.digest,
        "any_view": FLAGS.any_view,
        "positive class": positive,
        "heatmaps": [FLAGS.method, FLAGS.explain_dir] if FLAGS.explain else None,
    }


def _depth(images: ImageList) -> int | None:
    """The bits that the 16-bit image files use together."""

    def places() -> Iterator[str]:
        progress = ProgressLine("looking for 16-bit files", len(images.paths), 1)
        for number, path in enumerate(images.paths, 1):
            yield images.place(path)
            progress.show(number)
        progress.clear()

    depth = depth_of(places())
    if depth:
        logging.info("16-bit image files use %d bits: 0 to %d is shown", depth, 2**depth - 1)
    return depth


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
        logging.info("going on after %d of %d files", begun, len(images.paths))
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


def _drawing(
    networks: dict[str, Network], directory: pathlib.Path | None, class_names: tuple[str, ...]
) -> Callable[..., list[str]] | None:
    """Draws the heatmaps of a batch; None without --explain."""
    if directory is None:
        return None
    (network,) = networks.values()
    return Heatmaps(directory, network.best.network, class_names, FLAGS.method).draw


def start() -> None:
    """Starts the command: flags in, exit code out."""
    command.run(main)


if __name__ == "__main__":
    start()
