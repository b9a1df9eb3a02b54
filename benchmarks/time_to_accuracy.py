"""Time for the `strong` LeNet to reach the final test accuracy of the original's method.

Usage:

    python -m benchmarks.time_to_accuracy --data_dir=DATA --manual_dir=KAGGLE [--seed=0]

The original's method is ImageDataGenerator and Keras `fit` with early stopping, from start to end.
`strong` is `python -m trainer.main`; each best epoch's model is kept when it is written, with the
seconds since the start of the command, and evaluated on the test split at the end. Imports, loading
and tracing are included on both sides. Do not use this for model selection, as it uses the test
split.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import flags

from benchmarks.end_to_end import theirs
from benchmarks.machine import describe
from benchmarks.radiographs import both_forms
from benchmarks.radiographs import define_flags as define_radiographs_flags
from cxr_command.runner import Command

_ORIGINAL_EPOCHS = 20
_SECONDS_BETWEEN_LOOKS = 0.2


def train_and_keep(arguments: list[str], workdir: pathlib.Path, kept: pathlib.Path) -> list[dict]:
    """Trains, and keeps every model written by the run.

    Args:
        arguments: flags of trainer.main.
        workdir: the run's directory.
        kept: directory for the models.

    Returns:
        The `file` of each model, and the `seconds` from the start until it was written.

    Raises:
        ValueError: the training failed.
    """
    started, found, newest = time.perf_counter(), [], None
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "trainer.main", *arguments, f"--workdir={workdir}"],
        stderr=subprocess.DEVNULL,
    )
    running = True
    while running:
        running = process.poll() is None
        model = workdir / "model.keras"
        if model.exists() and model.stat().st_ino != newest:
            file = kept / f"{len(found)}.keras"
            # The run replaces its file, so a hard link keeps this version.
            os.link(model, file)
            newest = file.stat().st_ino
            found.append({"file": str(file), "seconds": time.perf_counter() - started})
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    if process.returncode:
        raise ValueError(f"trainer.main {' '.join(arguments)} ended with {process.returncode}")
    return found


def test_accuracies(files: list[str], data_dir: str) -> list[float]:
    """Returns the accuracy of each model on the test split."""
    import keras

    from trainer.data.example_stream import read_examples
    from trainer.data.opening import open_dataset
    from trainer.data.source import DEFAULT_DATASET

    examples = read_examples(
        open_dataset(DEFAULT_DATASET, data_dir), "test", cache="off", shuffle_seed=None
    )
    (batch,) = examples.one_pass(examples.size)
    images, labels = batch["image"], batch["label"].numpy()
    models = map(keras.models.load_model, files)
    return [
        float((model.predict(images, verbose=0).argmax(axis=1) == labels).mean())
        for model in models
    ]


def _measure(data_dir: str, folder: str, seed: int) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        workdir, kept = pathlib.Path(scratch, "run"), pathlib.Path(scratch, "kept")
        kept.mkdir()
        arguments = ["--model=lenet", "--recipe=strong", f"--seed={seed}", f"--data_dir={data_dir}"]
        models = train_and_keep(arguments, workdir, kept)
        accuracies = test_accuracies([model["file"] for model in models], data_dir)
    original = theirs("lenet", folder, _ORIGINAL_EPOCHS)
    course = [
        {"seconds": round(model["seconds"], 1), "test_accuracy": accuracy}
        for model, accuracy in zip(models, accuracies, strict=True)
    ]
    passed = [row["seconds"] for row in course if row["test_accuracy"] > original["accuracy"]]
    return {
        "original": {name: original[name] for name in ("seconds", "accuracy")},
        "strong": course,
        "seconds_until_passed": passed[0] if passed else None,
        "share_of_the_originals_time": passed[0] / original["seconds"] if passed else None,
    }


def _define_flags() -> None:
    define_radiographs_flags()
    flags.DEFINE_integer("seed", 0, "Seed of `strong`.", lower_bound=0)


def _main() -> None:
    with both_forms(["224x224"]) as (data_dir, folder):
        found = _measure(data_dir, folder, flags.FLAGS.seed)
    for row in found["strong"]:
        print(f"strong after {row['seconds']:6.1f} s: test accuracy {row['test_accuracy']:.2%}")
    original = found["original"]
    print(f"original, {original['seconds']:6.1f} s: test accuracy {original['accuracy']:.2%}")
    if found["seconds_until_passed"]:
        print(f"passed in {found['share_of_the_originals_time']:.2f} of its time")
    print(json.dumps({"benchmark": "time_to_accuracy", "machine": describe(), **found}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
