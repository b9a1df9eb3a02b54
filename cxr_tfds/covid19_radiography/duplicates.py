"""Which radiographs are one picture: equal files, equal pixels, or pixels that look the same.

Copies that were scaled, compressed or brightened anew differ in every byte, and are found by a
fingerprint of the picture's coarse structure. Two fingerprints differ in about 512 of 1,024 bits if
the pictures have nothing in common.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

# A quarter of the bits. Measured on 2,800 radiographs of the database: every pair up to 247 bits
# apart is one picture, no pair is 248 to 279 apart, the pairs at 280 to 286 are one picture with
# text or arrows laid on it, and the nearest pair of different pictures is 301 apart.
# `python -m cxr_tfds.near_duplicates --manual_dir=DIR` prints this.
THRESHOLD = 256

_SIDE = 64
_FREQUENCIES = 32
_BLOCK = 2048

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

    The signs of the 32x32 lowest frequencies of the picture at 64x64 pixels, as in pHash
    (Zauner, Implementation and benchmarking of perceptual image hash functions, 2010). The first,
    the mean brightness, is always positive and tells nothing.

    Args:
      image: `[height, width] uint8`.

    Returns:
      1,024 bits in 128 bytes.
    """
    small = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    spectrum = _COSINES @ np.asarray(small, np.float64) @ _COSINES.T
    return np.packbits(spectrum > 0).tobytes()


def near_pairs(fingerprints: Sequence[bytes], threshold: int) -> Iterator[tuple[int, int, int]]:
    """Compares all fingerprints with each other, a block at a time.

    Args:
      fingerprints: 128 bytes each.
      threshold: How many bits two of them may differ in.

    Yields:
      The positions of the two, the smaller first, and the number of bits they differ in.
    """
    for top in range(0, len(fingerprints), _BLOCK):
        rows = _signs(fingerprints[top : top + _BLOCK])
        for left in range(top, len(fingerprints), _BLOCK):
            # The product of two signs is 1 where the bits agree: a matrix product counts them all.
            agreement = rows @ _signs(fingerprints[left : left + _BLOCK]).T
            least = rows.shape[1] - 2 * threshold
            for row, column in np.argwhere(agreement >= least).tolist():
                if top + row < left + column:
                    bits = (rows.shape[1] - int(agreement[row, column])) // 2
                    yield top + row, left + column, bits


def _signs(fingerprints: Sequence[bytes]) -> np.ndarray:
    """Bits as 1 and -1, `[number, bits] float32`, of which sums are exact."""
    packed = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(len(fingerprints), -1)
    return 2 * np.unpackbits(packed, axis=1).astype(np.float32) - 1


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
