"""Writes synthetic chest radiographs in the layout of the COVID-19 Radiography Database.

Usage:

    python -m cxr_tfds.phantom --output_dir=DIR --images_per_class=N --seed=0
"""

import concurrent.futures
import datetime
import io
import itertools
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import re
import signal
import struct
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
import openpyxl
from absl import flags

from cxr_command.runner import Command
from cxr_command.stop_signals import stop_signals
from cxr_tfds.anatomy import CLASSES, Phantom, draw
from cxr_tfds.covid19_radiography import scratch

__all__ = ["CLASSES", "DATABASE", "Phantom", "draw", "write_database"]

DATABASE = "COVID-19_Radiography_Dataset"

_RSNA = "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data"
_PEDIATRIC = "https://www.kaggle.com/paultimothymooney/chest-xray-pneumonia"
# Sources of the original images, with their numbers.
_SOURCES = {
    "COVID": {
        "https://sirm.org/category/senza-categoria/covid-19/": 119,
        "https://bimcv.cipf.es/bimcv-projects/bimcv-covid19/#1590858128006-9e640421-6711": 2474,
        "https://github.com/armiro/COVID-CXNet": 400,
        "https://eurorad.org": 258,
        "https://github.com/ml-workgroup/covid-19-image-repository/tree/master/png": 183,
        "https://github.com/ieee8023/covid-chestxray-dataset": 182,
    },
    "Lung_Opacity": {_RSNA: 1},
    "Normal": {_RSNA: 8851, _PEDIATRIC: 1341},
    "Viral Pneumonia": {_PEDIATRIC: 1},
}

_README = """\
SYNTHETIC PHANTOM RADIOGRAPHS - NOT PATIENTS

Every image here was drawn by a program (python -m cxr_tfds.phantom). None shows a person, none is
derived from a patient's radiograph, and nothing about any disease can be learned from them. They
exist to exercise software written for the COVID-19 Radiography Database, whose layout they share.

{images} images in each of {classes}; seed {seed}.

CLASS/images/     radiographs, 299 x 299 PNG
CLASS/masks/      the lungs of each, 256 x 256 PNG
CLASS/findings/   where the finding was drawn, 299 x 299 PNG (not in the original database)

The URL column of the workbooks imitates the original's; no image came from these addresses.
"""

_CHUNK = 16
_REPORT_SECONDS = 5.0
_EPOCH = datetime.datetime(2020, 1, 1)


def write_database(
    output_dir: str | os.PathLike, images_per_class: int, seed: int = 0
) -> pathlib.Path:
    """Writes the database; the same arguments always give the same bytes.

    Args:
        output_dir: output folder, str or path; created if missing.
        images_per_class: number of radiographs per class, at least 1.
        seed: a non-negative integer; different seeds give different patients.

    Returns:
        The path of the new ``COVID-19_Radiography_Dataset`` folder.

    Raises:
        TypeError: images_per_class or seed is not an int.
        ValueError: images_per_class is below 1, or seed is negative.
        FileExistsError: output_dir already holds such a folder.
        OSError: output_dir cannot be written to.
    """
    _check(images_per_class, seed)
    output_dir = pathlib.Path(output_dir)
    target = output_dir / DATABASE
    if os.path.lexists(target):
        raise FileExistsError(
            f"{target} already exists: remove it or choose another output directory."
        )
    if output_dir.exists() and not output_dir.is_dir():
        raise NotADirectoryError(f"{output_dir} is a file: choose a folder as output directory.")
    output_dir.mkdir(parents=True, exist_ok=True)
    with scratch.folder(output_dir, ".phantom-") as unfinished:
        database = unfinished / DATABASE
        _write_texts(database, images_per_class, seed)
        _write_images(database, images_per_class, seed)
        database.rename(target)
    return target


def _check(images_per_class: int, seed: int) -> None:
    for name, value, least in (("images_per_class", images_per_class, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an int, not {value!r}.")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}.")


# --- images -----------------------------------------------------------------------------------


def _write_images(database: pathlib.Path, images_per_class: int, seed: int) -> None:
    starts = range(1, images_per_class + 1, _CHUNK)
    chunks = [
        (database, label, range(start, min(start + _CHUNK, images_per_class + 1)), seed)
        for label, start in itertools.product(CLASSES, starts)
    ]
    with _pool(len(chunks)) as pool:
        try:
            _report(pool.map(_write_chunk, *zip(*chunks, strict=True)), 4 * images_per_class)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _pool(chunks: int) -> concurrent.futures.ProcessPoolExecutor:
    # A forked worker starts immediately; a spawned one would first import this whole package.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    return concurrent.futures.ProcessPoolExecutor(
        min(_processors(), chunks), multiprocessing.get_context(method), _start_worker
    )


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    # The parent handles Ctrl-C, and its handlers of SIGTERM and SIGHUP are not for its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in stop_signals():
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Freeing one large block makes glibc keep freed memory, which more than halves the drawing
    # time: the arrays are just large enough to be returned to the system one by one.
    np.empty(30 << 20, np.uint8)


def _end_with_parent() -> None:
    """Ends a worker whose parent was killed, as it would wait for work forever."""
    if parent := multiprocessing.parent_process():
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _write_chunk(database: pathlib.Path, label: str, numbers: range, seed: int) -> int:
    for number in numbers:
        _write_phantom(database / label, f"{label}-{number}.png", draw(label, number, seed))
    return len(numbers)


def _write_phantom(folder: pathlib.Path, name: str, phantom: Phantom) -> None:
    lungs, finding = (mask.view(np.uint8) * 255 for mask in (phantom.lungs, phantom.finding))
    image = _colour(phantom.image) if phantom.rgb else phantom.image
    for kind, pixels in (("images", image), ("masks", _colour(lungs)), ("findings", finding)):
        (folder / kind / name).write_bytes(_png(pixels))


def _colour(gray: np.ndarray) -> np.ndarray:
    return np.stack([gray] * 3, axis=2)


def _png(pixels: np.ndarray) -> bytes:
    """Encodes uint8 [height, width] or [height, width, 3], three times faster than Pillow.

    Every row is stored as the difference from the row above, and only run lengths are compressed:
    noise has no longer repeats, and masks consist of runs.
    """
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)  # Filter type 2 is "up".
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
    data = deflate.compress(filtered.data) + deflate.flush()
    colour = 0 if pixels.ndim == 2 else 2
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = _png_chunk(b"IHDR", header), _png_chunk(b"IDAT", data), _png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _report(counts: Iterator[int], total: int) -> None:
    """Consumes the counts of images written, reporting the progress to stderr."""
    start = reported = time.monotonic()
    done = 0
    for count in counts:
        done, now = done + count, time.monotonic()
        if now - reported >= _REPORT_SECONDS:
            reported, rate = now, done / (now - start)
            left = (total - done) / rate
            print(
                f"{done} of {total} images, {rate:.0f} a second, {left:.0f} s left", file=sys.stderr
            )


# --- workbooks and text -----------------------------------------------------------------------


def _write_texts(database: pathlib.Path, images_per_class: int, seed: int) -> None:
    for label, kind in itertools.product(CLASSES, ("images", "masks", "findings")):
        (database / label / kind).mkdir(parents=True)
    for label in CLASSES:
        workbook = _workbook(label, images_per_class)
        (database / f"{label}.metadata.xlsx").write_bytes(_timeless(workbook))
    text = _README.format(images=images_per_class, classes=", ".join(CLASSES), seed=seed)
    (database / "README.md.txt").write_text(text, encoding="utf-8", newline="\n")


def _workbook(label: str, images_per_class: int) -> openpyxl.Workbook:
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet("Sheet1")
    sheet.append(["FILE NAME", "FORMAT", "SIZE", "URL"])
    # As in the original: NORMAL is in capitals, and the size is that of the masks.
    name = "NORMAL" if label == "Normal" else label
    for number in range(1, images_per_class + 1):
        sheet.append([f"{name}-{number}", "PNG", "256*256", _source(label, number)])
    return workbook


def _source(label: str, number: int) -> str:
    """Distributes the numbers over the sources in proportion, for any number of images."""
    urls, shares = list(_SOURCES[label]), np.cumsum(list(_SOURCES[label].values()))
    # Multiples of the golden ratio are evenly distributed on a circle.
    place = number * (5**0.5 - 1) / 2 % 1
    return urls[np.searchsorted(shares, place * shares[-1], side="right")]


def _timeless(workbook: openpyxl.Workbook) -> bytes:
    """Returns the workbook's bytes without the time of writing, which openpyxl writes twice."""
    stamped, fixed = io.BytesIO(), io.BytesIO()
    workbook.save(stamped)
    with zipfile.ZipFile(stamped) as source, zipfile.ZipFile(fixed, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                stamp = _EPOCH.isoformat().encode() + b"Z"
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", stamp, content)
            member = zipfile.ZipInfo(name, _EPOCH.timetuple()[:6])
            copy.writestr(member, content, zipfile.ZIP_DEFLATED)
    return fixed.getvalue()


# --- command ----------------------------------------------------------------------------------


def _define_flags() -> None:
    flags.DEFINE_string("output_dir", None, f"Folder in which to create {DATABASE}.", required=True)
    flags.DEFINE_integer("images_per_class", 100, "Radiographs in each of the four classes.")
    flags.DEFINE_integer("seed", 0, "Seed of the drawn patients.")


def _main() -> None:
    options = flags.FLAGS
    start = time.monotonic()
    try:
        path = write_database(options.output_dir, options.images_per_class, options.seed)
    except OSError as error:
        reason = f"cannot write to {options.output_dir}: {error.strerror}."
        raise OSError(reason if error.strerror else str(error)) from error
    except concurrent.futures.BrokenExecutor as error:
        raise ValueError(
            "a drawing process was killed, perhaps because memory ran out; nothing was written."
        ) from error
    images, seconds = 4 * options.images_per_class, time.monotonic() - start
    print(f"Wrote {images} images ({images / seconds:.0f} a second) to {path}")


def start() -> None:
    """Parses the flags, runs the command and exits."""
    Command(_main, _define_flags).run()


if __name__ == "__main__":
    start()
