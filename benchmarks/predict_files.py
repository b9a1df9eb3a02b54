"""Throughput of predicting files, compared with Keras' `predict` on the decoded images.

    python -m benchmarks.predict_files [--network=lenet] [--files=2000] [--rounds=3]

`trainer.predict` lists, reads and resizes 299x299 PNG files, predicts and writes the table;
`predict` of the same network has the pixels in memory. Each runs in a separate process, and they
take turns. The time for a few files is subtracted from the time for all, which excludes loading the
network. The files are phantoms, some under several names, in the page cache.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from absl import flags

from benchmarks import MODELS, paired
from benchmarks.machine import describe
from cxr_command.runner import Command
from cxr_tfds import phantom

_MODULE = "benchmarks.predict_files"
_FEW = 100
_CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
_SHAPE = (224, 224, 1)


def _draw(folder: pathlib.Path, files: int) -> None:
    """Draws phantoms, and links them under more names until there are enough."""
    database = folder / "kaggle"
    phantom.write_database(database, _FEW // len(_CLASSES))
    drawn = sorted(database.glob("*/*/images/*.png"))
    for name, count in (("few", _FEW), ("all", files)):
        (folder / name).mkdir()
        for number in range(count):
            os.link(drawn[number % len(drawn)], folder / name / f"{number:06d}.png")


def _write_run(workdir: pathlib.Path, network: str) -> None:
    """Writes a run of an untrained network, which has the same speed."""
    from trainer import models
    from trainer.run import Run

    workdir.mkdir()
    run, model = Run(workdir), models.build(network)
    trained_on = {"class_names": list(_CLASSES), "image_shape": list(_SHAPE)}
    examples = {"train_examples": 1, "validation_examples": 1}
    run.write_config({
        "config": {"model": network, "dataset": "none", "data_dir": "none"},
        "dataset": trained_on | examples,
        "parameters": {"total": model.count_params(), "trainable": model.count_params()},
    })  # fmt: skip
    run.save_model(model)


def _serve_predict(folder: pathlib.Path) -> None:
    from trainer import predict

    flags.FLAGS(["trainer.predict", *_flags(folder, "all")])

    def seconds(images: str) -> float:
        flags.FLAGS["images"].value = str(folder / images)
        started = time.perf_counter()
        predict.main()
        return time.perf_counter() - started

    files = len(list((folder / "all").iterdir()))
    paired.serve(lambda: (files - _FEW) / (seconds("all") - seconds("few")))


def _serve_keras(folder: pathlib.Path) -> None:
    import numpy as np

    from cxr_command.radiograph import reading
    from trainer.run import Run

    paths = sorted((folder / "all").iterdir())
    images = np.stack([reading.resized(reading.read(path).pixels, _SHAPE) for path in paths])
    network = Run(folder / "run").load_model().network

    def rate() -> float:
        started = time.perf_counter()
        network.predict(images, verbose=0)
        return len(images) / (time.perf_counter() - started)

    paired.serve(rate)


_WAYS = {"trainer.predict": _serve_predict, "keras": _serve_keras}


def _flags(folder: pathlib.Path, images: str) -> list[str]:
    return [
        f"--workdir={folder / 'run'}",
        f"--images={folder / images}",
        f"--output={folder / 'predictions.csv'}",
    ]


def _peak_mib(folder: pathlib.Path, images: str) -> float:
    """Returns the command's peak memory, unless an earlier child used more."""
    command = [sys.executable, "-m", "trainer.predict", *_flags(folder, images)]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)  # noqa: S603
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _define_flags() -> None:
    flags.DEFINE_enum("network", "lenet", MODELS, "The network, with random weights.")
    flags.DEFINE_integer("files", 2000, "Files.", lower_bound=2 * _FEW)
    flags.DEFINE_integer("rounds", 3, "Rounds.", lower_bound=1)
    flags.DEFINE_string("part", None, "Of the benchmark's processes, which one this is.")
    flags.DEFINE_string("folder", None, "Theirs: the files and the run.")


def _main() -> None:
    options = flags.FLAGS
    if options.part:
        parts = _WAYS | {"run": lambda folder: _write_run(folder / "run", options.network)}
        parts[options.part](pathlib.Path(options.folder))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        _draw(folder, options.files)
        words = [f"--folder={folder}", f"--network={options.network}"]
        _run_alone([*words, "--part=run"])
        peaks = {_FEW: _peak_mib(folder, "few"), options.files: _peak_mib(folder, "all")}
        rates = paired.alternate(
            {way: paired.Contestant(_MODULE, [*words, f"--part={way}"]) for way in _WAYS},
            options.rounds,
        )
    _report(options, rates, peaks)


def _run_alone(words: list[str]) -> None:
    # In its own process, as the memory of this one would count for its children.
    command = [sys.executable, "-m", _MODULE, *words]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)  # noqa: S603


def _report(
    options: flags.FlagValues, rates: dict[str, list[float]], peaks: dict[int, float]
) -> None:
    medians = {way: round(statistics.median(rates[way]), 1) for way in _WAYS}
    share = paired.ratio(rates["trainer.predict"], rates["keras"])
    print(f"{options.network}, {options.files} files")
    for way, rate in medians.items():
        print(f"  {way:16}{rate:8.1f} images/s")
    print(f"  of keras{share:16.2f}")
    for files, peak in peaks.items():
        print(f"  {files:7} files {peak:10.0f} MiB at most")
    found = {
        "network": options.network,
        "files": options.files,
        "images_per_second": medians,
        "over_keras": round(share, 3),
        "peak_mib": {str(files): round(peak) for files, peak in peaks.items()},
    }
    print(json.dumps({"benchmark": "predict_files"} | found | {"machine": describe()}))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
