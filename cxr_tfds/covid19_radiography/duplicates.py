"""Which radiographs are one picture: equal files, equal pixels, or pixels that look the same.

Copies that were scaled, compressed or brightened anew differ in every byte, and are found by a
fingerprint of the picture's coarse structure. Two fingerprints differ in about 128 of 256 bits if
the pictures have nothing in common.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

# Measured on 2,800 radiographs of the database: every pair up to 32 bits apart is one picture, no
# pair is 33 to 41 apart, and the first two different chests are 43 apart.
# `python -m cxr_tfds.near_duplicates` prints this.
THRESHOLD = 36

_SIDE = 64
_FREQUENCIES = 16
_BLOCK = 1024

# A discrete cosine transform (type II), rounded to integers: sums of integers below 2**53 are exact
# in float64, so that every machine finds the same signs.
_COSINES = np.rint(
    1024
    * np.cos(
        np.pi / _SIDE * np.outer(np.arange(_FREQUENCIES), np.arange(_SIDE) + 0.5),
    )
)


def fingerprint(image: np.ndarray) -> bytes:
    """Hashes a picture so that pictures which look the same differ in few bits.

    The signs of the 16x16 lowest frequencies of the picture at 64x64 pixels, as in pHash
    (Zauner, Implementation and benchmarking of perceptual image hash functions, 2010). The first,
    the mean brightness, is always positive and tells nothing.

    Args:
      image: `[height, width] uint8`.

    Returns:
      256 bits in 32 bytes.
    """
    small = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    spectrum = _COSINES @ np.asarray(small, np.float64) @ _COSINES.T
    return np.packbits(spectrum > 0).tobytes()


def near_pairs(fingerprints: Sequence[bytes], threshold: int) -> Iterator[tuple[int, int, int]]:
    """Compares all fingerprints with each other, a block at a time.

    Args:
      fingerprints: 32 bytes each.
      threshold: How many bits two of them may differ in.

    Yields:
      The positions of the two, the smaller first, and the number of bits they differ in.
    """
    words = np.frombuffer(b"".join(fingerprints), np.uint64).reshape(len(fingerprints), 4)
    for top in range(0, len(words), _BLOCK):
        for left in range(top, len(words), _BLOCK):
            differing = words[top : top + _BLOCK, None] ^ words[None, left : left + _BLOCK]
            distances = np.bitwise_count(differing).sum(-1, dtype=np.uint16)
            for row, column in np.argwhere(distances <= threshold).tolist():
                if top + row < left + column:
                    yield top + row, left + column, int(distances[row, column])


def group(pixels: Mapping[str, str], fingerprints: Mapping[str, bytes]) -> dict[str, str]:
    """Puts radiographs that are one picture into one group, and so whatever they are linked by.

    Args:
      pixels: The hash of the pixels of each id; equal files have equal pixels.
      fingerprints: The fingerprint of each id.

    Returns:
      The group of each id, named after that member whose id comes first in `pixels`.
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
    for position, radiograph_id in enumerate(ids):
        join(seen.setdefault(pixels[radiograph_id], position), position)
    for one, other, _ in near_pairs([fingerprints[i] for i in ids], THRESHOLD):
        join(one, other)
    return {radiograph_id: ids[root(position)] for position, radiograph_id in enumerate(ids)}
