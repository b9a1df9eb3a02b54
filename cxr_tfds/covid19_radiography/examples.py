"""The examples of both configurations, read from the files of the database."""

import io
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from PIL import Image
from tensorflow_datasets.core import utils

from cxr_command.radiograph import reading

from . import decode, paths, source, spool, survey

# A record's labels and texts, and the compressed mask of the resized configuration, take less.
_BYTES_BESIDE_PIXELS = 6_000


def read(
    examples: list[survey.Example], pixels: spool.Spool | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads examples in order, showing how far it is.

    Args:
      examples: Which.
      pixels: Where their resized pixels are kept, or None to give the files as they are.

    Yields:
      The id and the features of each.
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
      example: Which.
      full: Whether to give the files as they are, and not the resized pixels.

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
    """Estimates, from above, what building will take on disk.

    Args:
      radiographs: What will be built.
      full: Whether the files are stored as they are, and not the resized pixels.

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
    """The published PNG files as they are, or others' gray pixels as PNG files."""
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
