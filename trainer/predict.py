r"""Predicts unlabelled radiographs, one row of a CSV file per radiograph.

    python -m trainer.predict --workdir=RUN --images=FOLDER --output=predictions.csv
    python -m trainer.predict --workdir=RUN1 --workdir=RUN2 --images='FOLDER/*.dcm' \
        --output=predictions.csv
    python -m trainer.predict --model=SAVED --images=list.csv --explain --output=predictions.csv
    python -m trainer.predict --workdir=RUN --images=FOLDER --drift_from=RUN \
        --output=predictions.csv

Radiographs are PNG, JPEG, TIFF, BMP, WebP, GIF and DICOM files: a file, a folder, a glob in quotes,
or a CSV file with a column `path`, relative to its own folder. The probabilities of several runs
are averaged. A file that is not a radiograph gets a row with the reason. Run the same command again
to resume an interrupted call. This is a research tool, not a medical device.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags, logging

from cxr_command import usage
from cxr_command.radiograph.reading import depth_of
from trainer import command
from trainer.directory import require_writable
from trainer.errors import UserError
from trainer.evaluation.fitting import training_features
from trainer.evaluation.several_runs import class_named, classes_and_shape, named_runs
from trainer.evaluation.training_features import TrainingFeatures, load
from trainer.explain.methods import METHODS
from trainer.memory import memory_told
from trainer.prediction.choices import Choices, choose
from trainer.prediction.drift import (
    LEAST,
    Reference,
    open_reference,
    require_enough,
    sample,
    write_drift,
)
from trainer.prediction.heatmaps import Heatmaps
from trainer.prediction.image_list import ImageList, list_images
from trainer.prediction.network import Network, exported, mean_predictor
from trainer.prediction.partial_table import PartialTable
from trainer.prediction.rows import Answers, Reading, append_rows
from trainer.prediction.table import Table
from trainer.progress_line import ProgressLine

usage.section("The model")
flags.DEFINE_multi_string("workdir", None, "Directory of a run; repeat it to average runs.")
flags.DEFINE_string("model", None, "Directory written by trainer.export_model, instead of runs.")
flags.DEFINE_string("data_dir", None, "Data directory of the dataset; default: that of the run.")
flags.DEFINE_string("positive_class", None, "Class of the decision; default: the first.")

usage.section("The radiographs")
flags.DEFINE_string("images", None, "A file, a folder, a glob or a CSV file.", required=True)
flags.DEFINE_string("drift_from", None, "Run whose test radiographs to compare with (data drift).")
flags.DEFINE_bool("any_view", False, "Also read DICOM files of lateral views and other body parts.")

usage.section("The predictions")
flags.DEFINE_string("output", None, "CSV file to write.", required=True)
flags.DEFINE_bool("explain", False, "Also draw a heatmap of each radiograph.")
flags.DEFINE_string(
    "explain_dir", None, "Directory of the heatmaps; default: OUTPUT-heatmaps, beside OUTPUT."
)
flags.DEFINE_enum("method", "gradcam", list(METHODS), "Heatmap method.")

FLAGS = flags.FLAGS


@memory_told("predict the radiographs")
def main() -> None:
    """Runs the prediction."""
    _check_flags()
    output = pathlib.Path(FLAGS.output)
    partial = PartialTable(require_writable(output.parent, "output") / output.name)
    directory = _explain_dir(output)
    drift_file = output.with_name(f"{output.stem}-drift.json")
    heatmaps = directory or _heatmaps_beside(output)
    images = list_images(FLAGS.images, [output, partial.folder, drift_file, heatmaps])
    networks = _networks()
    class_names, image_shape = classes_and_shape({n: of.content for n, of in networks.items()})
    positive = class_named(FLAGS.positive_class, class_names)
    predict = mean_predictor(list(networks.values()))
    reference = _reference(networks, images)

    with partial.held():
        asked = _asked(networks, images, class_names[positive])
        chosen = partial.chosen_before(asked) or _begin(
            partial, asked, networks, predict, images, directory
        )
        fitted = load(partial.folder, asked["models"][0])
        choices = Choices(chosen["temperature"], chosen["threshold"], chosen.get("quantiles"))
        table = Table(class_names, positive, choices, fitted is not None, FLAGS.explain)
        reading = Reading(images, image_shape, chosen["depth"], FLAGS.any_view)
        draw = _drawing(networks, directory, class_names)
        account = append_rows(partial, table, reading, Answers(predict, fitted, draw))
        _compare(reference, drift_file, predict, reading)
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
    if FLAGS.drift_from and len(FLAGS.workdir or ()) > 1:
        raise UserError("--drift_from compares what one network sees; give --workdir once")


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
    return {
        name: Network(contents[name], run.load_model(), run.path, run) for name, run in runs.items()
    }


def _begin(
    partial: PartialTable,
    asked: dict[str, Any],
    networks: dict[str, Network],
    predict: Callable,
    images: ImageList,
    directory: pathlib.Path | None,
) -> dict[str, Any]:
    """Chooses the values that all rows share, and starts an empty table."""
    _require_empty(directory)
    choices = choose(networks, predict, asked["positive class"], FLAGS.data_dir)
    chosen = {**dataclasses.asdict(choices), "depth": _depth(images)}
    partial.begin(asked, chosen, _fitted(networks))
    return chosen


def _fitted(networks: dict[str, Network]) -> TrainingFeatures | None:
    """Returns the training features of a single network; None for several."""
    if len(networks) > 1:
        logging.info("several runs have no features in common: no radiograph is flagged as unusual")
        return None
    (network,) = networks.values()
    keeps = network.run is not None
    return training_features(
        network.content, network.best, network.directory, FLAGS.data_dir, keeps=keeps
    )


def _asked(networks: dict[str, Network], images: ImageList, positive: str) -> dict[str, Any]:
    """Returns everything the rows depend on; the choices made from it are stored beside it."""
    return {
        "models": [network.best.sha256 for network in networks.values()],
        "images": images.digest,
        "any_view": FLAGS.any_view,
        "positive class": positive,
        "heatmaps": [FLAGS.method, FLAGS.explain_dir] if FLAGS.explain else None,
    }


def _reference(networks: dict[str, Network], images: ImageList) -> Reference | None:
    """Loads the reference named by --drift_from, before the long work starts."""
    if not FLAGS.drift_from:
        return None
    require_enough(images)
    (network,) = networks.values()
    return open_reference(FLAGS.drift_from, network.content, FLAGS.data_dir)


def _compare(
    reference: Reference | None, path: pathlib.Path, predict: Callable, reading: Reading
) -> None:
    """Compares the radiographs with the reference; rereads those of an interrupted call."""
    if reference is None:
        return
    new = sample(reading, reference.seed)
    if len(new) < LEAST:
        logging.warning("drift: %d radiographs can be read, too few to compare", len(new))
        return
    write_drift(path, reference, predict, new, FLAGS.images)


def _depth(images: ImageList) -> int | None:
    """Returns the highest bit depth in use across the 16-bit image files."""

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


def _drawing(
    networks: dict[str, Network], directory: pathlib.Path | None, class_names: tuple[str, ...]
) -> Callable[..., list[str]] | None:
    """Returns a function that draws the heatmaps of a batch; None without --explain."""
    if directory is None:
        return None
    (network,) = networks.values()
    return Heatmaps(directory, network.best.network, class_names, FLAGS.method).draw


def start() -> None:
    """Parses the flags, runs the command and exits."""
    command.run(main)


if __name__ == "__main__":
    start()
