r"""Exports heatmaps of what a finished run's best model looks at, with the numbers to check them.

    python -m trainer.export_gradcam --workdir=RUN --split=test --per_class=10 --output_dir=OUT
    python -m trainer.export_gradcam --workdir=RUN --split=test --answered=incorrect --target=true \
        --output_dir=OUT
    python -m trainer.export_gradcam --runs_dir=RUNS --best_by=validation_accuracy \
        --images='FOLDER/*.png' --method=layercam --output_dir=OUT

OUT/index.html is the gallery to look at, index.csv and summary.json have its numbers, and the raw
heatmaps lie beside the panels. --images takes PNG, JPEG, TIFF, BMP, WebP, GIF
and DICOM files, folders of them and globs. This is a research tool, not a medical device.
"""

import itertools
import pathlib
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags, logging

from cxr_command import usage
from cxr_command.radiograph.account import Account
from trainer import command
from trainer.data import own_files
from trainer.data.examples import Example, load_split
from trainer.data.mask_folder import MaskFolder
from trainer.data.opening import open_dataset
from trainer.directory import require_writable
from trainer.errors import UserError
from trainer.evaluation.predictions import predictor
from trainer.explain.faithfulness import randomisation_check
from trainer.explain.gallery import Gallery
from trainer.explain.heatmap import enlarge
from trainer.explain.heatmap_metrics import HOW_TO_READ_RANDOMISATION, evaluate_heatmap
from trainer.explain.methods import METHODS, Method
from trainer.explain.selection import Selection, examples_of_files, selected
from trainer.explain.speed import images_per_second
from trainer.memory import memory_told
from trainer.progress_line import ProgressLine
from trainer.run import Run, best_run

_BATCH = 32

usage.section("The run")
flags.DEFINE_string("workdir", None, "Directory of a run of trainer.main.")
flags.DEFINE_string("runs_dir", None, "Directory of several runs, of which the best is taken.")
flags.DEFINE_string("best_by", "validation_loss", "Number of metrics.jsonl that is best.")

usage.section("The radiographs")
flags.DEFINE_multi_string("images", None, "Own files: a file, a folder or a glob; repeatable.")
flags.DEFINE_bool("any_view", False, "Of DICOM files, lateral views and other body parts too.")
flags.DEFINE_string("split", None, "Split of the run's dataset to explain.")
flags.DEFINE_string("data_dir", None, "Where the dataset lies; default: where the run found it.")
flags.DEFINE_list("classes", None, "Of the split, only radiographs of these true classes.")
flags.DEFINE_list("ids", None, "Of the split, only these ids.")
flags.DEFINE_enum(
    "answered", "any", ["any", "correct", "incorrect"], "Of the split, only these answers."
)
flags.DEFINE_integer("per_class", None, "Of the split, so many of each class.", lower_bound=1)
flags.DEFINE_integer("max_images", None, "Explain at most so many images.", lower_bound=1)

usage.section("The heatmaps")
flags.DEFINE_enum("method", "gradcam", list(METHODS), "How heatmaps are made.")
flags.DEFINE_string("layer", None, "Layer to explain at; default: the last convolutional one.")
flags.DEFINE_string("target", "predicted", "Class to explain: predicted, true, or a class's name.")

usage.section("The gallery")
flags.DEFINE_string("output_dir", None, "Where the panels are written.", required=True)
flags.DEFINE_string("masks_dir", None, "Folder of CLASS/masks/ID.png and CLASS/findings/ID.png.")
flags.DEFINE_bool("curves", True, "Draw deletion and insertion curves, 52 answers an image.")
flags.DEFINE_integer("seed", 0, "Of random heatmaps and shuffled weights.", lower_bound=0)
flags.DEFINE_string("note", "", "A remark that stands at the top of the gallery.")

FLAGS = flags.FLAGS


@memory_told("explain the radiographs")
def main() -> None:
    """Exports."""
    _check_flags()
    run = Run(FLAGS.workdir) if FLAGS.workdir else best_run(FLAGS.runs_dir, FLAGS.best_by)
    content = run.finished_config()
    run.warn_if_unfinished()
    class_names = tuple(content["dataset"]["class_names"])
    target = _target(class_names)
    found = own_files.find(FLAGS.images, "images") if FLAGS.images else None
    size = tuple(content["dataset"]["image_shape"][:2])
    masks = MaskFolder(pathlib.Path(FLAGS.masks_dir), size) if FLAGS.masks_dir else None
    directory = require_writable(FLAGS.output_dir, "output_dir")

    best = run.load_model()
    model = best.network
    predict = predictor(model, flip=False)
    explain = METHODS[FLAGS.method](model, FLAGS.layer)
    logging.info("explaining %s at layer %s", run.path, explain.layer_name)
    if explain.caution:
        logging.warning(explain.caution)
    with Gallery(directory, class_names, FLAGS.method, explain.layer_name) as gallery:
        account = Account(found.left_out if found else ())
        if found:
            count, examples = _of_files(found.files, size, masks, account)
        else:
            count, examples = _of_split(content, predict, masks)
        images, targets = _fill(gallery, explain, predict, target, examples, count, account)
        logging.info("measuring the speed; comparing with shuffled weights")
        speed = images_per_second(explain, images[0])
        check = randomisation_check(explain, model, images, targets, FLAGS.seed)
        check["how_to_read"] = HOW_TO_READ_RANDOMISATION
        about = _about(run, best.sha256, content, explain, speed)
        about["left_out"] = len(account.left_out)
        _log(gallery.finish(about, check))
    if found:
        logging.info(account.told())
    logging.info("gallery: %s", directory / "index.html")


def _check_flags() -> None:
    if (FLAGS.workdir is None) == (FLAGS.runs_dir is None):
        raise UserError("give either --workdir=RUN or --runs_dir=RUNS")
    if (FLAGS.split is None) == (FLAGS.images is None):
        raise UserError("give either --split=SPLIT or --images=GLOB")
    choices = ("classes", "ids", "per_class") + (("answered",) if FLAGS.answered != "any" else ())
    given = [name for name in choices if FLAGS[name].value]
    if FLAGS.images and given:
        raise UserError(f"--{given[0]} chooses from a --split; own --images have no known class")
    if FLAGS.images and FLAGS.target == "true":
        raise UserError("--target=true needs a --split; the class of own --images is not known")


def _target(class_names: tuple[str, ...]) -> int | str:
    """The class to explain, or `predicted` or `true`."""
    if FLAGS.target in ("predicted", "true"):
        return FLAGS.target
    if FLAGS.target not in class_names:
        raise UserError(
            f"--target={FLAGS.target}: there is no such class; expected predicted, true or one of "
            f"{', '.join(class_names)}"
        )
    return class_names.index(FLAGS.target)


def _of_files(
    files: list[pathlib.Path], size: tuple[int, int], masks: MaskFolder | None, account: Account
) -> tuple[int, Iterator[Example]]:
    """How many radiographs are read at most, and each of them."""
    every = examples_of_files(files, (*size, 1), masks, account, any_view=FLAGS.any_view)
    count = min(len(files), FLAGS.max_images or len(files))
    return count, itertools.islice(every, count)


def _of_split(
    content: dict, predict: Any, masks: MaskFolder | None
) -> tuple[int, Iterator[Example]]:
    """How many radiographs of the split are selected, and each of them."""
    config, trained_on = content["config"], content["dataset"]
    dataset = open_dataset(config["dataset"], FLAGS.data_dir or config["data_dir"])
    dataset.require_classes(trained_on["class_names"])
    dataset.require_content("the run", content)
    if list(dataset.image_shape) != trained_on["image_shape"]:
        raise UserError(
            f"{dataset.name} in {dataset.data_dir} has images of shape {list(dataset.image_shape)};"
            f" the run was trained on {trained_on['image_shape']}: give its --data_dir"
        )
    examples = load_split(dataset, FLAGS.split)
    selection = Selection(
        FLAGS.classes, FLAGS.ids, FLAGS.answered, FLAGS.per_class, FLAGS.max_images
    )
    selection.check(examples)
    predicted = predict(examples.images).argmax(axis=1) if FLAGS.answered != "any" else None
    rows = selection.rows(examples, predicted)
    return len(rows), selected(examples, rows, masks)


def _fill(
    gallery: Gallery,
    explain: Method,
    predict: Any,
    target: int | str,
    examples: Iterator[Example],
    count: int,
    account: Account,
) -> tuple[np.ndarray, np.ndarray]:
    """Adds every example to the gallery; the first batch's images and targets are returned."""
    first: list[tuple[np.ndarray, int]] = []
    progress = ProgressLine("explaining", count, 1)
    while batch := list(itertools.islice(examples, _BATCH)):
        for example, heatmap, shares, explained in _explained(explain, batch, target):
            heat = enlarge(heatmap, example.image.shape[:2])
            asked = predict if FLAGS.curves else None
            numbers = evaluate_heatmap(example, heat, explained, asked, FLAGS.seed)
            gallery.add(example, heatmap, heat, shares, explained, numbers)
            first += [(example.image, explained)][: _BATCH - len(first)]
            progress.show(len(gallery.rows))
    progress.clear()
    if not first:
        raise UserError(f"--images={','.join(FLAGS.images)}: {account.told()}")
    logging.info("%d images explained", len(gallery.rows))
    images, targets = map(np.array, zip(*first, strict=True))
    return images, targets


def _explained(
    explain: Method, batch: list[Example], target: int | str
) -> Iterator[tuple[Example, np.ndarray, np.ndarray, int]]:
    """Each example of a batch with its heatmap, its probabilities and the class explained."""
    images = np.stack([example.image for example in batch])
    targets = None
    if target == "true":
        targets = np.array([example.label for example in batch])
    elif target != "predicted":
        targets = np.full(len(batch), target)
    heatmaps, probabilities = explain(images, targets)
    if targets is None:
        targets = probabilities.argmax(axis=1)
    return zip(batch, heatmaps, probabilities, map(int, targets), strict=True)


def _about(
    run: Run, model_sha256: str, content: dict, explain: Method, speed: dict[str, float]
) -> dict[str, Any]:
    config = content["config"]
    return {
        "note": FLAGS.note,
        "run": str(run.path),
        "model": config["model"],
        "model_sha256": model_sha256,
        "source": ", ".join(FLAGS.images or [f"{config['dataset']} {FLAGS.split}"]),
        "target": FLAGS.target,
        "caution": explain.caution,
        "seed": FLAGS.seed,
        "images_per_second": speed,
        "command": shlex.join(["python", "-m", "trainer.export_gradcam", *sys.argv[1:]]),
    }


def _log(summary: dict[str, Any]) -> None:
    for size, rate in summary["images_per_second"].items():
        logging.info(
            "%s, %s: %.1f images/s in batches of %s",
            summary["model"], summary["method"], rate, size,
        )  # fmt: skip
    logging.info("%d of %d heatmaps are all zero", summary["empty_heatmaps"], summary["images"])
    for name, check in summary["checks"].items():
        if check and "chance" in check:
            logging.info("%s %.3f, by chance %.3f", name, check["mean"], check["chance"])
    check = summary["checks"]["randomisation"]
    if check["passes"] is not None:
        logging.info(
            "randomised weights: rank correlation %.3f, %s",
            check["rank_correlation"], "passed" if check["passes"] else "failed",
        )  # fmt: skip


def start() -> None:
    """Starts the command: flags in, exit code out."""
    command.run(main)


if __name__ == "__main__":
    start()
