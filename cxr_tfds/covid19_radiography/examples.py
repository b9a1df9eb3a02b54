"""The examples of both configurations, read from the files of the database."""

import io
from collections.abc import Collection, Iterator
from typing import Any

from tensorflow_datasets.core import utils

from . import decode, paths, source, spool, survey

# A record's labels and texts, and the compressed mask of the resized configuration, take less.
_BYTES_BESIDE_PIXELS = 6_000


def read(
    entries: list[survey.Entry], pixels: spool.Spool | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads examples in order, showing how far it is.

    Args:
      entries: Which radiographs.
      pixels: Where their resized pixels are kept, or None to give the files as they are.

    Yields:
      The id and the features of each.
    """
    for entry in utils.tqdm(
        entries,
        desc=f"Writing {entries[0].split}...",
        unit=" examples",
        leave=False,
        mininterval=1.0,
    ):
        yield _example(entry, *(pixels.read(entry.radiograph.id) if pixels else _read_files(entry)))


def read_one(entry: survey.Entry, full: bool) -> tuple[str, dict[str, Any]]:
    """Reads one example.

    Args:
      entry: Which radiograph.
      full: Whether to give the files as they are, and not the resized pixels.

    Returns:
      Its id and its features.
    """
    if full:
        return _example(entry, *_read_files(entry))
    return _example(entry, *decode.read_pair(entry.radiograph.image, entry.radiograph.mask))


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


def _example(entry: survey.Entry, image: Any, mask: Any) -> tuple[str, dict[str, Any]]:
    radiograph = entry.radiograph
    return radiograph.id, {
        "image": image,
        "mask": mask,
        "has_mask": radiograph.mask is not None,
        "label": radiograph.label,
        "source": radiograph.source,
        "id": radiograph.id,
        "group": entry.group,
        "height": entry.height,
        "width": entry.width,
    }


def _read_files(entry: survey.Entry) -> tuple[io.BytesIO, bytes]:
    mask = entry.radiograph.mask
    return io.BytesIO(entry.radiograph.image.read_bytes()), mask.read_bytes() if mask else b""
