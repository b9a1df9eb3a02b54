"""Exports Grad-CAM panels and raw heatmaps of a finished run's best model.

    python -m trainer.export_gradcam --workdir=RUN --split=test --max_images=40 --output_dir=OUT
    python -m trainer.export_gradcam --workdir=RUN --images='FOLDER/*.png' --output_dir=OUT

With --runs_dir=RUNS instead of --workdir, the run with the lowest validation loss is taken. This is
a research tool, not a medical device.
"""

import glob
import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import flags, logging

from trainer import command
from trainer.data.dataset import open_dataset
from trainer.data.input import read_examples
from trainer.data.radiographs import read_radiograph
from trainer.directory import make_writable
from trainer.errors import UserError
from trainer.explain.gallery import Explanation, Gallery
from trainer.explain.methods import GradCAM
from trainer.run import Run, best_run

_BATCH = 32

flags.DEFINE_string("workdir", None, "Directory of a run of trainer.main.")
flags.DEFINE_string("runs_dir", None, "Directory of several runs, of which the best is taken.")
flags.DEFINE_string("split", None, "Split of the run's dataset to explain.")
flags.DEFINE_string("images", None, "Glob of the user's own PNG or JPEG files to explain.")
flags.DEFINE_integer("max_images", None, "Explain at most so many images.", lower_bound=1)
flags.DEFINE_string("output_dir", None, "Where the panels are written.", required=True)
flags.DEFINE_string("data_dir", None, "Where the dataset lies; default: where the run found it.")

FLAGS = flags.FLAGS


def main() -> None:
    """Exports."""
    if (FLAGS.workdir is None) == (FLAGS.runs_dir is None):
        raise UserError("give either --workdir=RUN or --runs_dir=RUNS")
    if (FLAGS.split is None) == (FLAGS.images is None):
        raise UserError("give either --split=SPLIT or --images=GLOB")
    run = Run(FLAGS.workdir) if FLAGS.workdir else best_run(FLAGS.runs_dir)
    content = run.finished_config()
    config = content["config"]
    class_names = tuple(content["dataset"]["class_names"])
    images = _own_images(content["dataset"]["image_shape"]) if FLAGS.images else _split(content)
    directory = make_writable(FLAGS.output_dir, "output_dir")
    gradcam = GradCAM(run.load_model())
    logging.info("explaining %s at layer %s", run.path, gradcam.layer_name)

    about = {
        "run": str(run.path),
        "model": config["model"],
        "method": "gradcam",
        "layer": gradcam.layer_name,
        "source": FLAGS.images or f"{config['dataset']} {FLAGS.split}",
    }
    gallery = Gallery(directory, class_names, about)
    for batch in _batched(itertools.islice(images, FLAGS.max_images), _BATCH):
        heatmaps, probabilities = gradcam(np.stack([image for _, _, image in batch]), None)
        for (image_id, label, image), heatmap, shares in zip(
            batch, heatmaps, probabilities, strict=True
        ):
            name = None if label is None else class_names[label]
            gallery.add(Explanation(image_id, name, image, heatmap, shares, int(shares.argmax())))
    if gallery.is_empty:
        raise UserError(f"--images={FLAGS.images}: none of the files is a readable image")
    gallery.close()
    logging.info("gallery: %s", directory / "index.html")


def _split(content: dict) -> Iterator[tuple[str, int, np.ndarray]]:
    """Id, label and image of each example of the split."""
    config = content["config"]
    dataset = open_dataset(config["dataset"], FLAGS.data_dir or config["data_dir"])
    dataset.require_classes(content["dataset"]["class_names"])
    examples = read_examples(dataset, FLAGS.split, cache="off", shuffle_seed=None)
    return (
        (example_id.decode(), int(label), image)
        for batch in examples.one_pass(_BATCH).as_numpy_iterator()
        for example_id, label, image in zip(
            batch["id"], batch["label"], batch["image"], strict=True
        )
    )


def _own_images(image_shape: list[int]) -> Iterator[tuple[str, None, np.ndarray]]:
    """Name and pixels of each of the user's files; the unreadable are reported and left out."""
    paths = sorted(pathlib.Path(path) for path in glob.glob(FLAGS.images, recursive=True))
    if not paths:
        raise UserError(f"--images={FLAGS.images}: no file matches")
    return _readable(paths, image_shape)


def _readable(paths, image_shape) -> Iterator[tuple[str, None, np.ndarray]]:
    for path in paths:
        try:
            yield path.name, None, read_radiograph(path, image_shape)
        except UserError as error:
            logging.error("left out: %s", error)


def _batched(items: Iterator, size: int) -> Iterator[list]:
    while batch := list(itertools.islice(items, size)):
        yield batch


if __name__ == "__main__":
    command.run(main)
