r"""Exports a finished run's best model as a self-contained package for serving.

    python -m trainer.export_model --workdir=RUN --output_dir=SAVED
    python -m trainer.export_model --workdir=RUN --format=saved_model --format=tflite \
        --model_card=REPORT/model_card.md --output_dir=SAVED

SAVED is a SavedModel that only needs TensorFlow: the signature `serving_default` takes the bytes of
PNG or JPEG files and returns probabilities; `explain` also returns the Grad-CAM heatmap and whether
the radiograph is unlike those of the training (a flag, not a guarantee); `features` returns the
inputs of the last layer. The directory also holds model.keras, class_names.json, model_card.md and
export.json. This is a research tool, not a medical device.
"""

import functools
import os
import pathlib
import shlex
import sys
from collections.abc import Callable
from typing import Any

import keras
from absl import flags, logging

from trainer import command, templates
from trainer.evaluation.fitting import training_features
from trainer.evaluation.training_features import TrainingFeatures, save
from trainer.export.agreement import largest_difference
from trainer.export.answer_time import answer_time
from trainer.export.card import read_card, render_card
from trainer.export.lite import predict_lite, require_lite, write_lite
from trainer.export.literal_path import is_literal
from trainer.export.onnx_file import predict_onnx, require_onnx, write_onnx
from trainer.export.package import package, write_json
from trainer.export.served import predict_served, write_served
from trainer.memory import memory_told
from trainer.run import Run

_SAVED_MODEL, _LITE, _ONNX = "saved_model", "tflite", "onnx"

flags.DEFINE_string("workdir", None, "Directory of a run of trainer.main.", required=True)
flags.DEFINE_multi_enum(
    "format", [_SAVED_MODEL], [_SAVED_MODEL, _LITE, _ONNX], "Format to export; repeatable."
)
flags.DEFINE_string("model_card", None, "Model card of this run, as written by trainer.evaluate.")
flags.DEFINE_string("output_dir", None, "Directory of the exported model.", required=True)

FLAGS = flags.FLAGS


@memory_told("export the model")
def main() -> None:
    """Exports the model."""
    run = Run(FLAGS.workdir)
    content = run.finished_config()
    run.warn_if_unfinished()
    if _LITE in FLAGS.format:
        require_lite()
    if _ONNX in FLAGS.format:
        require_onnx()
    with package(FLAGS.output_dir) as directory:
        best = run.load_model()
        about = {
            "run": str(run.path),
            "run_config": content,
            "model_sha256": best.sha256,
            "class_names": content["dataset"]["class_names"],
            "command": shlex.join(["python", "-m", "trainer.export_model", *sys.argv[1:]]),
        }
        evaluated = read_card(FLAGS.model_card, best.sha256) if FLAGS.model_card else None
        fitted = training_features(content, best, run.path, None)
        about["flags_unusual"] = fitted is not None
        if fitted:
            save(fitted, directory)
        class_names = tuple(about["class_names"])
        about["formats"] = _write_formats(best.network, class_names, directory, fitted)
        (directory / "model.keras").write_bytes(best.content)
        write_json(directory / "class_names.json", about["class_names"])
        templates.write(directory / "model_card.md", evaluated or render_card(about))
        write_json(directory / "export.json", about)
    logging.info("exported to %s", FLAGS.output_dir)
    if _SAVED_MODEL in FLAGS.format and not is_literal(os.path.abspath(FLAGS.output_dir)):
        logging.warning(
            "TensorFlow takes *, ?, [ and \\ in a path for a pattern and loads no SavedModel from "
            "there: move it to another directory before you serve it"
        )


def _write_formats(
    model: keras.Model,
    class_names: tuple[str, ...],
    directory: pathlib.Path,
    fitted: TrainingFeatures | None,
) -> dict[str, Any]:
    """Writes each requested format; returns how much its predictions differ from the model's."""
    write_saved_model = functools.partial(write_served, class_names=class_names, fitted=fitted)
    writers: dict[str, tuple[str, Callable, Callable]] = {
        _SAVED_MODEL: (".", write_saved_model, predict_served),
        _LITE: ("model.tflite", write_lite, predict_lite),
        _ONNX: ("model.onnx", write_onnx, predict_onnx),
    }
    formats = {}
    for name in sorted(set(FLAGS.format)):
        file, write, predict = writers[name]
        write(model, directory / file)
        difference = largest_difference(model, functools.partial(predict, directory / file))
        formats[name] = {"largest_difference": difference}
        logging.info("%s: largest difference to the run's model %.1e", name, difference)
    if _SAVED_MODEL in formats:
        formats[_SAVED_MODEL] |= answer_time(directory)
        logging.info(
            "one image in %.1f ms (median), %.1f images/s in batches of 32",
            formats[_SAVED_MODEL]["milliseconds_for_one"],
            formats[_SAVED_MODEL]["images_per_second_of_32"],
        )
    return formats


def start() -> None:
    """Parses the flags, runs the command and exits."""
    command.run(main)


if __name__ == "__main__":
    start()
