"""Groups duplicate radiographs: equal files, equal pixels, or similar-looking pixels.

Similar pixels are found by their fingerprints (`cxr_command.radiograph.fingerprints`).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import faiss
import numpy as np
from tensorflow_datasets.core import utils

from cxr_command.radiograph.fingerprints import THRESHOLD

_BLOCK = 4096
_MOST_COUNTED = 2**20  # Maximum number of pairs at a time, of 256 bytes each.


def near_pairs(fingerprints: Sequence[bytes], threshold: int) -> Iterator[tuple[int, int, int]]:
    """Compares all fingerprints with each other in blocks, showing the progress.

    Two fingerprints that differ in at most `threshold` bits differ in at most half as many in one
    of their halves. Unrelated radiographs rarely do, so few pairs need a full comparison. faiss
    compares two codes of 512 bits faster than one of 1,024, as measured by
    `benchmarks.near_duplicates`.

    Args:
      fingerprints: 128 bytes each.
      threshold: The maximum number of differing bits.

    Yields:
      The positions of a pair, the smaller first, and the number of differing bits.
    """
    words = np.frombuffer(b"".join(fingerprints), np.uint64).reshape(-1, 16)
    halves = [np.ascontiguousarray(half).view(np.uint8) for half in np.split(words, 2, axis=1)]
    starts = range(0, len(words), _BLOCK)
    for top, left in utils.tqdm(
        list(itertools.combinations_with_replacement(starts, 2)),
        desc="Comparing radiographs...",
        unit=" blocks",
        leave=False,
        mininterval=1.0,
        delay=1.0,
    ):
        found = [
            _near(half[top : top + _BLOCK], half[left : left + _BLOCK], threshold // 2)
            for half in halves
        ]
        pairs = np.unique(np.concatenate(found) + (top, left), axis=0)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        for some in np.array_split(pairs, 1 + len(pairs) // _MOST_COUNTED):
            bits = np.bitwise_count(words[some[:, 0]] ^ words[some[:, 1]]).sum(axis=1)
            near = bits <= threshold
            for (one, other), number in zip(some[near].tolist(), bits[near].tolist(), strict=True):
                yield one, other, number


def _near(rows: np.ndarray, columns: np.ndarray, most_bits: int) -> np.ndarray:
    """Returns rows and columns that differ in at most so many bits, `[number, 2] int64`."""
    index = faiss.IndexBinaryFlat(8 * rows.shape[1])
    index.add(rows)
    ends, _, row = index.range_search(columns, most_bits + 1)  # faiss returns smaller distances.
    column = np.repeat(np.arange(len(columns)), np.diff(ends.astype(np.int64)))
    return np.stack([row, column], axis=1)


def group(pixels: Mapping[str, str], fingerprints: Mapping[str, bytes]) -> dict[str, str]:
    """Puts duplicates, and radiographs that share a link, into one group.

    Args:
      pixels: The hash of the pixels of each id; equal files have equal pixels.
      fingerprints: The fingerprint of each id.

    Returns:
      The group of each id, named after its member that comes first in `pixels`.
    """
    ids = list(pixels)
    parents = list(range(len(ids)))

    def root(member: int) -> int:
        while parents[member] != member:
            parents[member] = parents[parents[member]]
            member = parents[member]
        return member

    def join(one: int, other: int) -> None:
        first, second = sorted((root(one), root(other)))
        parents[second] = first

    seen: dict[str, int] = {}
    distinct: dict[bytes, int] = {}
    for position, radiograph_id in enumerate(ids):
        join(seen.setdefault(pixels[radiograph_id], position), position)
        join(distinct.setdefault(fingerprints[radiograph_id], position), position)
    # Thousands of blank images would give millions of pairs.
    positions = list(distinct.values())
    for one, other, _ in near_pairs(list(distinct), THRESHOLD):
        join(positions[one], positions[other])
    return {radiograph_id: ids[root(position)] for position, radiograph_id in enumerate(ids)}
