"""Diagnoses this machine: whether training will work on it, with a remedy for each fault.

    python -m trainer.doctor [--data_dir=DATA] [--workdir=RUN] [--precision=mixed_bfloat16]

It checks the driver, CUDA's libraries and compilers, each GPU, the file systems of the cache and
the run directory, the dataset and ImageNet's weights; then it compares a compiled convolution on
each GPU and a sum over all GPUs with NumPy. The exit code is 2 if training on a GPU cannot work.
"""

import pathlib
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import tensorflow as tf
from absl import flags

from cxr_command import usage
from cxr_command.exit_codes import ExitCode
from trainer import command
from trainer.data.cache_folder import cache_root
from trainer.data.opening import default_data_dir, open_dataset
from trainer.data.source import DEFAULT_DATASET
from trainer.diagnosis import facts as machine
from trainer.diagnosis import gpus
from trainer.diagnosis.finding import Finding, Verdict, note, ok
from trainer.diagnosis.folders import try_folder
from trainer.diagnosis.trial import try_convolution, try_reduction
from trainer.errors import UserError
from trainer.hardware import auto_precision
from trainer.models.backbones import BACKBONES
from trainer.models.weights import is_here

usage.section("What to check")
flags.DEFINE_string("dataset", DEFAULT_DATASET, "Dataset, as trainer.main takes it.")
flags.DEFINE_string(
    "data_dir", None, "Data directory of the datasets; default: that of tfds build."
)
flags.DEFINE_string("workdir", "runs", "Directory of the run.")
flags.DEFINE_enum(
    "precision", "auto", ["auto", "float32", "mixed_bfloat16", "mixed_float16"], "Dtype policy."
)

FLAGS = flags.FLAGS

_SUBJECT_WIDTH, _VERDICT_WIDTH = 22, 6


def main() -> None:
    """Runs the checks, prints the table and sets the exit code."""
    facts = machine.gather()
    findings = gpus.find(facts)
    _print(findings)
    if facts.visible_gpus and not _has_fault(findings):
        findings += _print(_trials())
    _print([*gpus.cores_and_memory(facts), *_places()])
    faults = [finding for finding in findings if finding.verdict == Verdict.FAULT]
    if faults:
        print(f"\nTraining on GPUs is not possible: {faults[0].sentence}.")
        print("Without a GPU, trainer.main trains on the CPU.")
        sys.exit(ExitCode.MISTAKE)
    print("\nTraining on GPUs is possible.")


def _trials() -> Iterator[Finding]:
    devices = [f"/gpu:{index}" for index in range(len(tf.config.list_physical_devices("GPU")))]
    gpu = tf.config.list_physical_devices("GPU")[0]
    precision = auto_precision(gpu) if FLAGS.precision == "auto" else FLAGS.precision
    for device in devices:
        yield try_convolution(device, precision, xla=True)
    yield try_reduction(devices)


def _places() -> Iterator[Finding]:
    yield try_folder("cache", cache_root(), "CXR_CACHE_DIR")
    yield try_folder("run directory", pathlib.Path(FLAGS.workdir), "--workdir")
    try:
        dataset = open_dataset(FLAGS.dataset, FLAGS.data_dir or default_data_dir())
        yield ok("dataset", f"{dataset.name} in {dataset.data_dir}")
    except UserError as error:
        yield note("dataset", str(error))
    yield _imagenet_weights()


def _imagenet_weights() -> Finding:
    missing = [name for name, backbone in BACKBONES.items() if not is_here(backbone.imagenet)]
    if not missing:
        return ok("ImageNet weights", "found for every backbone")
    return note(
        "ImageNet weights", f"none for {', '.join(missing)}",
        "they are downloaded when first used; without a network see docs/how_to/offline.md",
    )  # fmt: skip


def _has_fault(findings: Sequence[Finding]) -> bool:
    return any(finding.verdict == Verdict.FAULT for finding in findings)


def _print(findings: Sequence[Finding] | Iterator[Finding]) -> list[Finding]:
    """Prints rows as they arrive, wrapped to the terminal's width; returns them."""
    width = shutil.get_terminal_size((100, 24)).columns
    indent = " " * (_SUBJECT_WIDTH + _VERDICT_WIDTH)
    shown = []
    for finding in findings:
        head = f"{finding.subject:{_SUBJECT_WIDTH}}{finding.verdict:{_VERDICT_WIDTH}}"
        lines = [finding.found, *([f"-> {finding.remedy}"] if finding.remedy else [])]
        for number, line in enumerate(lines):
            print(
                textwrap.fill(
                    line, max(width, 60), break_on_hyphens=False, break_long_words=False,
                    initial_indent=indent if number else head, subsequent_indent=indent,
                ),
                flush=True,
            )  # fmt: skip
        shown.append(finding)
    return shown


def start() -> None:
    """Parses the flags, runs the command and exits."""
    command.run(main)


if __name__ == "__main__":
    start()
