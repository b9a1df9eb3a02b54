"""How fast the dataset is built: on all cores, on one core, and by a plain TFDS generator.

Usage:

    python -m benchmarks.dataset_build [--manual_dir=DIR] [--images_per_class=200] [--repeats=3]

Without a manual directory, phantom radiographs are drawn. Every build is a separate process; the
builds take turns, and only the build is timed, not the imports. Unlike the plain generator, the
project's builder also checks for damage and duplicates. Other work on the machine distorts the
comparison, so the usable cores are measured first: how much faster all cores hash than one.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict

from absl import flags

from benchmarks.machine import describe
from cxr_command.runner import Command
from cxr_tfds import phantom

_WAYS = {
    "all_cores": "this builder, all cores",
    "one_core": "this builder, one core",
    "plain": "plain TFDS generator",
}


def usable_cores() -> float:
    """Measures the number of cores available to this process.

    Returns:
      How much faster one thread per core hashes than a single thread, at most the number of cores.
    """
    data, cores = bytes(20_000_000), len(os.sched_getaffinity(0))

    def rate(threads: int) -> float:
        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _: hashlib.sha256(data).digest(), range(8 * threads)))
        return threads / (time.perf_counter() - start)

    rate(1)  # Ramps up the processor's clock.
    return min(cores, rate(cores) / rate(1))


def build_once(way: str, manual_dir: str, data_dir: str) -> dict[str, float]:
    """Builds the dataset in this process, which cannot be reused.

    Args:
      way: A key of the table of ways.
      manual_dir: The folder of the database.
      data_dir: An empty output folder.

    Returns:
      The number of images, the seconds taken, and the process' peak memory in MiB.
    """
    if way == "one_core":  # Before TensorFlow is imported and creates threads.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import tensorflow as tf
    import tensorflow_datasets as tfds

    tf.zeros(())  # Initializes TensorFlow, which takes longer than a small build.
    tfds.disable_progress_bar()
    if way == "plain":
        from benchmarks.plain_radiographs import PlainRadiographs as Builder
    else:
        from cxr_tfds.covid19_radiography.covid19_radiography_dataset_builder import Builder
    config = {} if way == "plain" else {"config": "224x224"}
    builder = Builder(data_dir=data_dir, **config)
    start = time.perf_counter()
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return {
        "seconds": time.perf_counter() - start,
        "images": sum(split.num_examples for split in builder.info.splits.values()),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(manual_dir: str, repeats: int) -> dict[str, dict[str, float]]:
    """Runs every kind of build, in turn.

    Args:
      manual_dir: The folder of the database.
      repeats: The number of builds of each kind.

    Returns:
      For each kind, the median of images per second and of the peak memory.
    """
    found = defaultdict(list)
    for _ in range(repeats):
        for way in _WAYS:
            with tempfile.TemporaryDirectory() as data_dir:
                child = [sys.executable, "-m", "benchmarks.dataset_build", f"--way={way}"]
                paths = [f"--manual_dir={manual_dir}", f"--data_dir={data_dir}"]
                done = subprocess.run([*child, *paths], capture_output=True, text=True)  # noqa: S603
            if done.returncode:
                raise ValueError(f"A build failed: {done.stderr.strip().splitlines()[-1]}")
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        way: {
            "images": runs[0]["images"],
            "images_per_second": statistics.median(r["images"] / r["seconds"] for r in runs),
            "peak_mib": statistics.median(r["peak_mib"] for r in runs),
        }
        for way, runs in found.items()
    }


def _report(found: dict[str, dict[str, float]], usable: float) -> None:
    print(f"{'':26}{'images':>9}{'images/s':>10}{'of one core':>13}{'peak MiB':>10}")
    one_core = found["one_core"]["images_per_second"]
    for way, name in _WAYS.items():
        rate = found[way]["images_per_second"]
        print(
            f"{name:26}{found[way]['images']:>9,}{rate:>10.1f}{rate / one_core:>13.2f}"
            f"{found[way]['peak_mib']:>10.0f}"
        )
    cores = len(os.sched_getaffinity(0))
    print(f"{usable:.2f} of {cores} cores were usable.")
    ratios = {
        "usable_cores": usable,
        "all_cores_over_one_core": found["all_cores"]["images_per_second"] / one_core,
        "all_cores_over_plain": found["all_cores"]["images_per_second"]
        / found["plain"]["images_per_second"],
    }
    result = {"benchmark": "dataset_build", "machine": describe(), **ratios, "ways": found}
    print(json.dumps(result))


def _define_flags() -> None:
    flags.DEFINE_string("manual_dir", None, "A copy of the database; default: draw phantoms.")
    flags.DEFINE_integer("images_per_class", 200, "Number of phantoms to draw.", lower_bound=2)
    flags.DEFINE_integer("repeats", 3, "Builds of each way.", lower_bound=1)
    flags.DEFINE_enum("way", None, list(_WAYS), "Build once in this way, and print the figures.")
    flags.DEFINE_string("data_dir", None, "Where to build, with --way.")


def _main() -> None:
    options = flags.FLAGS
    if options.way:
        print(json.dumps(build_once(options.way, options.manual_dir, options.data_dir)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        manual_dir = options.manual_dir
        if not manual_dir:
            phantom.write_database(pathlib.Path(scratch), options.images_per_class)
            manual_dir = scratch
        usable = usable_cores()
        _report(measure(manual_dir, options.repeats), usable)


if __name__ == "__main__":
    Command(_main, _define_flags).run()
