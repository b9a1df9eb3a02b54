"""Evaluates the best models of finished runs on a split of their dataset, or on own images.

    python -m trainer.evaluate --workdir=RUN --split=test --output_dir=REPORT
    python -m trainer.evaluate --workdir=RUN1 --workdir=RUN2 --ensemble --output_dir=REPORT
    python -m trainer.evaluate --workdir=RUN --images_dir=FOLDER --output_dir=REPORT
    python -m trainer.evaluate --workdir=RUN --manifest=cases.csv --output_dir=REPORT
    python -m trainer.evaluate --study_dir=STUDY --output_dir=REPORT

FOLDER holds one sub-folder of radiographs per class, like the published database. cases.csv has the
columns path and label, and any of patient, group, site, sex, age, view and device.
REPORT/report.html is the page to read, report.json has the same results, and predictions.csv the
underlying predictions. Temperature and thresholds are fitted on the validation split and stored in
the run's calibration.json; with --images_dir and --manifest they are read from it. This is a
research tool, not a medical device.
"""

import dataclasses

from absl import flags

from cxr_command import usage
from trainer import command, settings
from trainer.directory import require_writable
from trainer.errors import UserError
from trainer.evaluation.evaluation import evaluate_runs
from trainer.evaluation.options import Options, ReportOptions, Subject
from trainer.evaluation.provenance import provenance
from trainer.evaluation.study.evaluation import Options as StudyOptions
from trainer.evaluation.study.evaluation import evaluate_study
from trainer.memory import memory_told

# Flags that choose the runs or images to evaluate, and how; not valid with a study.
_NOT_OF_STUDY = (
    "workdir", "images_dir", "manifest", "any_view", "ensemble", "tta", "positive_class",
    "prevalence",
)  # fmt: skip

usage.section(settings.title(Subject))
flags.DEFINE_multi_string("workdir", None, "Directory of a run; repeat it to compare runs.")
flags.DEFINE_string("study_dir", None, "Directory of a study; all its runs are evaluated.")
settings.define_flags(Subject)
settings.define_flags(ReportOptions)
flags.DEFINE_string("output_dir", None, "Directory of the report.", required=True)

FLAGS = flags.FLAGS


@memory_told("evaluate the runs")
def main() -> None:
    """Runs the evaluation."""
    _check_flags()
    options = settings.fill(
        Options, {field.name: FLAGS[field.name].value for field in dataclasses.fields(Options)}
    )
    made_by = provenance(command.as_typed("trainer.evaluate"))
    if FLAGS.study_dir:
        of_study = {
            field.name: getattr(options, field.name) for field in dataclasses.fields(StudyOptions)
        }
        evaluate_study(FLAGS.study_dir, FLAGS.output_dir, StudyOptions(**of_study), made_by)
        return
    directory = require_writable(FLAGS.output_dir, "output_dir")
    evaluate_runs(FLAGS.workdir, options, made_by).write(directory)


def _check_flags() -> None:
    if not FLAGS.study_dir and not FLAGS.workdir:
        raise UserError("--workdir is missing: give a run's, or --study_dir=STUDY; see --help")
    if FLAGS.study_dir and (
        others := [f"--{name}" for name in _NOT_OF_STUDY if FLAGS[name].present]
    ):
        raise UserError(f"--study_dir evaluates a study's runs: leave {', '.join(others)} out")


def start() -> None:
    """Parses the flags, runs the command and exits."""
    command.run(main)


if __name__ == "__main__":
    start()
