"""How long it takes to verify a dataset when it is opened for the first time, and again.

    python -m benchmarks.dataset_open [--images=21165] [--shards=32] [--directory=DIR]

The dataset has random 224x224 images in TFRecord shards, with a builder's digests; by default it
has the size of the whole database, 1.1 GB. Each opening is a separate process. The files have just
been written, so the first opening reads them from the page cache.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import flags

from benchmarks.machine import describe
from benchmarks.random_images import SHAPE
from cxr_command.checksums import SUMS, lines_of, sha256_of
from cxr_command.runner import Command


def _write(folder: pathlib.Path, images: int, shards: int) -> None:
    import numpy as np
    import tensorflow as tf

    from benchmarks.raw_record import raw_record

    rng = np.random.default_rng(0)
    for shard in range(shards):
        path = folder / f"random-train.tfrecord-{shard:05d}-of-{shards:05d}"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for number in range(shard, images, shards):
                pixels = rng.integers(0, 256, SHAPE, np.uint8).tobytes()
                writer.write(raw_record(pixels, number % 4, b"%d" % number))
    digests = {path.name: sha256_of(path) for path in folder.iterdir()}
    (folder / SUMS).write_text(lines_of(digests))


def _verify(folder: pathlib.Path) -> dict[str, float]:
    import tensorflow as tf

    from trainer.data import integrity

    tf.data.Dataset.range(1).reduce(0, lambda *_: 0)  # TensorFlow's start-up is excluded.
    started = time.perf_counter()
    paths = sorted(str(path) for path in folder.glob("*.tfrecord-*"))
    index = integrity.index_of(paths, integrity.digest_of(paths), "tfrecord", "none")
    return {"seconds": time.perf_counter() - started, "records": len(index)}


def _in_process(folder: pathlib.Path, cache: pathlib.Path) -> float:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.dataset_open", f"--open={folder}"],
        env=os.environ | {"CXR_CACHE_DIR": str(cache)}, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def _define_flags() -> None:
    flags.DEFINE_integer("images", 21_165, "Images.", lower_bound=1)
    flags.DEFINE_integer("shards", 32, "Files.", lower_bound=1)
    flags.DEFINE_string("directory", None, "Temporary directory of the files.")
    flags.DEFINE_string("open", None, "Verify the files of this folder when told to.")


def _main() -> None:
    options = flags.FLAGS
    if options.open:
        print(json.dumps(_verify(pathlib.Path(options.open))))
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        folder, cache = pathlib.Path(scratch, "data"), pathlib.Path(scratch, "cache")
        folder.mkdir()
        _write(folder, options.images, options.shards)
        size = sum(path.stat().st_size for path in folder.iterdir())
        first, later = (_in_process(folder, cache) for _ in range(2))
    print(f"{options.images} images, {size / 1e9:.2f} GB")
    print(f"  first opening {first:8.2f} s\n  after that    {later:8.2f} s")
    result = {"bytes": size, "first_s": first, "later_s": later, "machine": describe()}
    print(json.dumps({"benchmark": "dataset_open"} | result))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
