r"""Exports heatmaps that explain predictions of a finished run's best model, with scores.

    python -m trainer.export_gradcam --workdir=RUN --split=test --per_class=10 --output_dir=OUT
    python -m trainer.export_gradcam --workdir=RUN --split=test --answered=incorrect --target=true \
        --output_dir=OUT
    python -m trainer.export_gradcam --runs_dir=RUNS --best_by=validation_accuracy \
        --images='FOLDER/*.png' --method=layercam --output_dir=OUT

OUT/index.html is the gallery, index.csv and summary.json have its scores, and the raw heatmaps are
beside the panels. --images accepts PNG, JPEG, TIFF, BMP, WebP, GIF and DICOM files, folders and
globs. This is a research tool, not a medical device.
"""

import dataclasses

from absl import flags

from cxr_command import usage
from trainer import command, settings
from trainer.directory import require_writable
from trainer.errors import UserError
from trainer.explain.explanation import Explainer
from trainer.explain.options import Checks, Heatmaps, Options, Subject
from trainer.explain.run_gallery import write_gallery
from trainer.memory import memory_told
from trainer.run import Run, best_run

usage.section("The run")
flags.DEFINE_string("workdir", None, "Directory of a run of trainer.main.")
flags.DEFINE_string("runs_dir", None, "Directory of several runs, of which the best is taken.")
flags.DEFINE_string("best_by", "validation_loss", "Number of metrics.jsonl that is best.")

usage.section(settings.title(Subject))
flags.DEFINE_multi_string("images", None, "Own files: a file, a folder or a glob; repeatable.")
for part in (Subject, Heatmaps, Checks):
    settings.define_flags(part)
flags.DEFINE_string("output_dir", None, "Where the panels are written.", required=True)

FLAGS = flags.FLAGS


@memory_told("explain the radiographs")
def main() -> None:
    """Exports the heatmaps."""
    if (FLAGS.workdir is None) == (FLAGS.runs_dir is None):
        raise UserError("give either --workdir=RUN or --runs_dir=RUNS")
    options = settings.fill(
        Options, {field.name: FLAGS[field.name].value for field in dataclasses.fields(Options)}
    )
    run = Run(FLAGS.workdir) if FLAGS.workdir else best_run(FLAGS.runs_dir, FLAGS.best_by)
    directory = require_writable(FLAGS.output_dir, "output_dir")
    explainer = Explainer(run, FLAGS.images or (), options)
    explanations = explainer.explain()
    write_gallery(explainer, explanations, directory, command.as_typed("trainer.export_gradcam"))


def start() -> None:
    """Parses the flags, runs the command and exits."""
    command.run(main)


if __name__ == "__main__":
    start()
