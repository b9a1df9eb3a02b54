"""The examples of both configurations, read from the files of the database."""

import io
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from tensorflow_datasets.core import utils

from . import decode, survey

# A record's labels and texts, and the compressed mask of the resized configuration, take less.
_BYTES_BESIDE_PIXELS = 6_000


def read(entries: list[survey.Entry], full: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads examples in order, on all cores, showing how far it is.

    Args:
      entries: Which radiographs.
      full: Whether to give the files as they are, and not the resized pixels.

    Yields:
      The id and the features of each.
    """
    pixels = map(_read_files, entries) if full else _read_resized(entries)
    for entry, (image, mask) in utils.tqdm(
        zip(entries, pixels, strict=True),
        desc=f"Writing {entries[0].split} examples...",
        total=len(entries),
        unit=" examples",
        leave=False,
    ):
        yield _example(entry, image, mask)


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
    return _example(entry, *(pixels.numpy() for pixels in decode.read_pair(*_paths(entry))))


def expected_bytes(entries: Collection[survey.Entry], full: bool) -> int:
    """Estimates, from above, what the examples will take on disk.

    Args:
      entries: The radiographs.
      full: Whether the files are stored as they are, and not the resized pixels.

    Returns:
      A number of bytes.
    """
    pixels = sum(entry.size for entry in entries) if full else len(entries) * decode.SIZE**2
    return pixels + len(entries) * _BYTES_BESIDE_PIXELS


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


def _read_resized(entries: Iterable[survey.Entry]) -> Iterator[tuple[Any, Any]]:
    images, masks = zip(*map(_paths, entries), strict=True)
    return decode.read_resized(list(images), list(masks))


def _paths(entry: survey.Entry) -> tuple[str, str]:
    return str(entry.radiograph.image), str(entry.radiograph.mask or "")
