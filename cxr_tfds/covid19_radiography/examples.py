"""Reads the examples of both configurations from the database's files."""

import io
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from PIL import Image
from tensorflow_datasets.core import utils

from cxr_command.radiograph import reading

from . import decode, paths, source, spool, survey

# Upper limit for a record's labels and texts, and the resized configuration's compressed mask.
_BYTES_BESIDE_PIXELS = 6_000


def read(
    examples: list[survey.Example], pixels: spool.Spool | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads examples in order, showing the progress.

    Args:
      examples: The examples to read.
      pixels: The spool of resized pixels, or None to return the original files.

    Yields:
      The id and the features of each example.
    """
    for example in utils.tqdm(
        examples,
        desc=f"Writing {examples[0].split}...",
        unit=" examples",
        leave=False,
        mininterval=1.0,
    ):
        yield _features(
            example,
            *(pixels.read(example.radiograph.id) if pixels else _read_files(example.radiograph)),
        )


def read_one(example: survey.Example, full: bool) -> tuple[str, dict[str, Any]]:
    """Reads one example.

    Args:
      example: The example to read.
      full: Whether to return the original files instead of the resized pixels.

    Returns:
      Its id and its features.
    """
    if full:
        return _features(example, *_read_files(example.radiograph))
    radiograph = example.radiograph
    return _features(
        example, *decode.read_pair(radiograph.image, radiograph.mask, radiograph.depth)
    )


def expected_bytes(radiographs: Collection[source.Radiograph], full: bool) -> int:
    """Estimates an upper limit of the disk space for a build.

    Args:
      radiographs: The radiographs to build.
      full: Whether original files are stored instead of the resized pixels.

    Returns:
      A number of bytes.
    """
    beside = len(radiographs) * _BYTES_BESIDE_PIXELS
    if not full:
        return beside + len(radiographs) * (decode.SIZE**2 + spool.RECORD_BYTES)
    files = (path for radiograph in radiographs for path in (radiograph.image, radiograph.mask))
    return beside + sum(paths.size(path) for path in files if path and path.exists())


def _features(example: survey.Example, image: Any, mask: Any) -> tuple[str, dict[str, Any]]:
    radiograph = example.radiograph
    return radiograph.id, {
        "image": image,
        "mask": mask,
        "has_mask": radiograph.mask is not None,
        "label": radiograph.label,
        "source": radiograph.source,
        "id": radiograph.id,
        "group": example.group,
        "height": example.height,
        "width": example.width,
    }


def _read_files(radiograph: source.Radiograph) -> tuple[io.BytesIO, bytes]:
    """Returns published PNG files unchanged, or others' gray pixels as PNG files."""
    image, mask = radiograph.image.read_bytes(), b""
    if radiograph.mask:
        mask = radiograph.mask.read_bytes()
    if not radiograph.is_published:
        image = _png(reading.decode(image, depth=radiograph.depth).pixels)
        mask = _png(reading.decode(mask).pixels) if mask else b""
    return io.BytesIO(image), mask


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
