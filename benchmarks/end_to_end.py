r"""The whole job, from radiographs to test accuracy: this project and the original's method.

Usage:

    python -m benchmarks.end_to_end [--data_dir=DATA --manual_dir=KAGGLE] [--models=lenet] \
        [--epochs=3] [--rounds=1]

The original's method is a notebook: ImageDataGenerator over folders of PNG files, Keras `fit` with
batches of 16, `evaluate`. This project runs `python -m trainer.main --recipe=seed` and
`python -m trainer.evaluate`, which also writes the report. Both train the same network from random
weights on the same images for the same epochs; imports, loading and tracing are included. The
dataset is built once, which `benchmarks.dataset_build` measures. The seconds of training besides
the epochs are imports, loading, tracing, saving and closing. Peak memory is that of the training
process, including its images.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from absl import flags

from benchmarks import MODELS
from benchmarks.choice import define_choice
from benchmarks.machine import describe
from benchmarks.paired import ratio
from benchmarks.radiographs import both_forms
from benchmarks.radiographs import define_flags as define_radiographs_flags
from cxr_command.runner import Command

_BATCH = 16
_SIZE = (224, 224)


def run(module: str, arguments: list[str]) -> tuple[dict[str, float], str]:
    """Runs a command and waits for it.

    Args:
        module: module of the command.
        arguments: its flags.

    Returns:
        Its `seconds` and peak memory, `peak_mib`; and its standard output.

    Raises:
        ValueError: the command failed.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        assert process.stdout
        output = process.stdout.read()
        # Not `wait`, which does not return the process' resource usage.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise ValueError(f"{module} failed: {said.read().strip().splitlines()[-1]}")
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_mib": usage.ru_maxrss / 1024}, output


def ours(model: str, data_dir: str, epochs: int) -> dict[str, float]:
    """Trains and evaluates with this project.

    Args:
        model: name of the model.
        data_dir: directory of the built dataset.
        epochs: number of epochs.

    Returns:
        `accuracy` on the test split; total `seconds`, and those of `training`, its `epochs` and
        `evaluation`; `input`, the largest share of an epoch spent waiting for batches; `peak_mib`
        of training.
    """
    with tempfile.TemporaryDirectory() as scratch:
        workdir, report = pathlib.Path(scratch, "run"), pathlib.Path(scratch, "report")
        trained, _ = run("trainer.main", [
            f"--model={model}", "--recipe=seed", "--weights=none", f"--epochs={epochs}",
            f"--data_dir={data_dir}", f"--workdir={workdir}",
        ])  # fmt: skip
        evaluated, _ = run("trainer.evaluate", [f"--workdir={workdir}", f"--output_dir={report}"])
        rows = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
        return {
            "accuracy": json.loads((report / "report.json").read_text())["accuracy"],
            "seconds": trained["seconds"] + evaluated["seconds"],
            "training": trained["seconds"],
            "epochs": sum(row["seconds"] for row in rows),
            "evaluation": evaluated["seconds"],
            "input": max(row["input_wait"] for row in rows),
            "peak_mib": trained["peak_mib"],
        }


def theirs(model: str, folder: str, epochs: int) -> dict[str, float]:
    """Trains and evaluates as the original; `accuracy`, `seconds`, `epochs` and `peak_mib`."""
    used, output = run(
        "benchmarks.end_to_end",
        [f"--original={folder}", f"--models={model}", f"--epochs={epochs}"],
    )
    return json.loads(output.splitlines()[-1]) | used


def _train_as_the_original(name: str, folder: str, epochs: int) -> dict[str, float]:
    import keras
    import tensorflow as tf

    from trainer import models

    whole = models.build(name)
    # The notebooks used RGB input: the network after the layer that creates it.
    model = keras.Model(whole.get_layer("gray_to_rgb").output, whole.output)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="categorical_crossentropy",
                  metrics=["accuracy"])  # fmt: skip

    def split(name: str, **settings: bool) -> Iterator:
        images = tf.keras.preprocessing.image.ImageDataGenerator(**settings)
        return images.flow_from_directory(
            f"{folder}/{name}", target_size=_SIZE, batch_size=_BATCH, shuffle=name == "train"
        )

    stopping = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    started = time.perf_counter()
    model.fit(split("train", horizontal_flip=True), validation_data=split("validation"),
              epochs=epochs, callbacks=[stopping], verbose=0)  # fmt: skip
    seconds = time.perf_counter() - started
    return {"epochs": seconds, "accuracy": model.evaluate(split("test"), verbose=0)[1]}


def _compare(model: str, data_dir: str, folder: str, epochs: int, rounds: int) -> dict:
    """Runs both in turn; returns the turn with the median time of each."""
    turns = {"ours": [], "original": []}
    for _ in range(rounds):
        turns["ours"].append(ours(model, data_dir, epochs))
        turns["original"].append(theirs(model, folder, epochs))
    found = {
        way: sorted(of_way, key=lambda turn: turn["seconds"])[len(of_way) // 2]
        for way, of_way in turns.items()
    }
    seconds = {way: [turn["seconds"] for turn in of_way] for way, of_way in turns.items()}
    found["times_faster"] = ratio(seconds["original"], seconds["ours"])
    found["accuracy"] = {
        way: statistics.fmean(turn["accuracy"] for turn in of_way) for way, of_way in turns.items()
    }
    return found


def _define_flags() -> None:
    define_radiographs_flags()
    define_choice("models", MODELS, "Which models.", ["lenet", "resnet101"])
    flags.DEFINE_integer("epochs", 2, "Epochs of training.", lower_bound=1)
    flags.DEFINE_integer("rounds", 1, "Turns of each way.", lower_bound=1)
    flags.DEFINE_string("original", None, "Train in the original's way on this folder.")


def _main() -> None:
    options = flags.FLAGS
    if options.original:
        found = _train_as_the_original(options.models[0], options.original, options.epochs)
        print(json.dumps(found))
        return
    results = {}
    print(f"{'':22}{'seconds':>10}{'epochs':>10}{'accuracy':>10}{'peak MiB':>10}")
    with both_forms(["224x224"]) as (data_dir, folder):
        images = len(list(pathlib.Path(folder).glob("*/*/*.png")))
        for model in options.models:
            results[model] = _compare(model, data_dir, folder, options.epochs, options.rounds)
            for way in ("ours", "original"):
                row = results[model][way]
                print(f"{model + ' ' + way:22}{row['seconds']:10.1f}{row['epochs']:10.1f}"
                      f"{row['accuracy']:10.3f}{row['peak_mib']:10.0f}")  # fmt: skip
            mine = results[model]["ours"]
            print(
                f"  {results[model]['times_faster']:.2f} times faster; waited for input "
                f"{mine['input']:.2%} of an epoch"
            )
    result = {"benchmark": "end_to_end", "machine": describe(), "images": images}
    result["epochs"] = options.epochs
    print(json.dumps(result | {"models": results}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
