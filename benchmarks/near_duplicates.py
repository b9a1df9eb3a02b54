"""Time of the search for near-duplicates, compared with other exact searches.

Usage:

    python -m benchmarks.near_duplicates [--numbers=5000] [--ways=halves,whole,...] [--rounds=3]

The fingerprints are synthetic: copies of a few templates with 20 to 35 % of their bits flipped; one
in a hundred is a near copy of another, 0 to 300 bits apart. All algorithms must find the same
pairs. `ball_tree` and `multi_hash` are for thousands of fingerprints, the others for more.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator

import faiss
import numpy as np
from absl import flags
from sklearn.neighbors import BallTree

from benchmarks.choice import define_choice
from benchmarks.machine import describe
from cxr_command.radiograph.fingerprints import THRESHOLD
from cxr_command.runner import Command
from cxr_tfds.covid19_radiography.duplicates import near_pairs

_BITS = 1024
_BLOCK = 2048
_Pairs = set[tuple[int, int]]


def synthetic_fingerprints(number: int, rng: np.random.Generator) -> np.ndarray:
    """Generates fingerprints at least as similar to each other as those of radiographs.

    Args:
        number: number of fingerprints.
        rng: random number generator.

    Returns:
        `[number, 128] uint8`.
    """
    templates = rng.integers(0, 256, (64, _BITS // 8), np.uint8)
    prints = np.empty((number, _BITS // 8), np.uint8)
    for position in range(number):
        if position % 100 == 99:
            source, flipped = prints[rng.integers(position)], int(rng.integers(301))
        else:
            source, flipped = templates[rng.integers(64)], int(_BITS * rng.uniform(0.2, 0.35))
        mask = np.zeros(_BITS, bool)
        mask[rng.choice(_BITS, flipped, replace=False)] = True
        prints[position] = source ^ np.packbits(mask)
    return prints


def _halves(prints: np.ndarray) -> _Pairs:
    found = near_pairs([one.tobytes() for one in prints], THRESHOLD)
    return {(one, other) for one, other, _ in found}


def _blocks(prints: np.ndarray) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    for top in range(0, len(prints), _BLOCK):
        for left in range(top, len(prints), _BLOCK):
            yield top, left, prints[top : top + _BLOCK], prints[left : left + _BLOCK]


def _ordered(top: int, left: int, positions: np.ndarray) -> _Pairs:
    """Returns those pairs of a block whose first index is the smaller."""
    return {(one, other) for one, other in (positions + (top, left)).tolist() if one < other}


def _whole(prints: np.ndarray) -> _Pairs:
    pairs: _Pairs = set()
    for top in range(0, len(prints), _BLOCK):
        index = faiss.IndexBinaryFlat(_BITS)
        index.add(prints[top : top + _BLOCK])
        pairs |= _from_faiss(index, prints, top)
    return pairs


def _from_faiss(index: faiss.IndexBinary, prints: np.ndarray, top: int) -> _Pairs:
    ends, _, rows = index.range_search(prints[top:], THRESHOLD + 1)
    columns = np.repeat(np.arange(len(prints) - top), np.diff(ends.astype(np.int64)))
    return _ordered(top, top, np.stack([rows, columns], axis=1))


def _matrix_products(prints: np.ndarray) -> _Pairs:
    def signs(some: np.ndarray) -> np.ndarray:
        return 2 * np.unpackbits(some, axis=1).astype(np.float32) - 1

    pairs: _Pairs = set()
    for top, left, rows, columns in _blocks(prints):
        agreement = signs(rows) @ signs(columns).T
        pairs |= _ordered(top, left, np.argwhere(agreement >= _BITS - 2 * THRESHOLD))
    return pairs


def _bitwise_count(prints: np.ndarray) -> _Pairs:
    pairs: _Pairs = set()
    for top, left, rows, columns in _blocks(prints.view(np.uint64)):
        bits = np.zeros((len(rows), len(columns)), np.uint16)
        for row, column in zip(rows.T, columns.T, strict=True):
            bits += np.bitwise_count(row[:, None] ^ column)
        pairs |= _ordered(top, left, np.argwhere(bits <= THRESHOLD))
    return pairs


def _ball_tree(prints: np.ndarray) -> _Pairs:
    bits = np.unpackbits(prints, axis=1)
    near = BallTree(bits, metric="hamming").query_radius(bits, (THRESHOLD + 0.5) / _BITS)
    return {(one, other) for one, row in enumerate(near) for other in row.tolist() if one < other}


def _multi_hash(prints: np.ndarray) -> _Pairs:
    # One of 64 chunks differs in at most 4 of its 16 bits.
    index = faiss.IndexBinaryMultiHash(_BITS, 64, 16)
    index.nflip = THRESHOLD // 64
    index.add(prints)
    return _from_faiss(index, prints, 0)


_WAYS: dict[str, Callable[[np.ndarray], _Pairs]] = {
    "halves": _halves,  # The builder's algorithm.
    "whole": _whole,
    "matrix_products": _matrix_products,
    "bitwise_count": _bitwise_count,
    "ball_tree": _ball_tree,
    "multi_hash": _multi_hash,
}


def measure(number: int, ways: list[str], rounds: int) -> dict:
    """Searches the same fingerprints with every algorithm, in turn.

    Args:
        number: number of fingerprints.
        ways: keys of the table of ways.
        rounds: number of searches per algorithm.

    Returns:
        The number of `pairs`, and the `seconds` of each round by algorithm.

    Raises:
        ValueError: two algorithms found different pairs.
    """
    prints = synthetic_fingerprints(number, np.random.default_rng(0))
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    expected: _Pairs | None = None
    for _ in range(rounds):
        for way in ways:
            start = time.perf_counter()
            pairs = _WAYS[way](prints)
            seconds[way].append(time.perf_counter() - start)
            expected = pairs if expected is None else expected
            if pairs != expected:
                raise ValueError(f"{way} and {ways[0]} differ in {len(pairs ^ expected)} pairs.")
    return {"pairs": len(expected or ()), "seconds": seconds}


def _define_flags() -> None:
    flags.DEFINE_list("numbers", ["5000"], "Numbers of fingerprints.")
    define_choice("ways", _WAYS, "How to search.")
    flags.DEFINE_integer("rounds", 3, "Rounds of each way.", lower_bound=1)


def _main() -> None:
    options, found = flags.FLAGS, {}
    print(f"{'fingerprints':>12}{'pairs':>9}  {'way':16}{'median s':>9}  seconds of each round")
    for number in map(int, options.numbers):
        found[number] = measure(number, options.ways, options.rounds)
        for way, seconds in found[number]["seconds"].items():
            rounds = " ".join(f"{second:.2f}" for second in seconds)
            pairs = found[number]["pairs"]
            print(f"{number:12,}{pairs:9,}  {way:16}{statistics.median(seconds):9.2f}  {rounds}")
    result = {"benchmark": "near_duplicates", "machine": describe(), "numbers": found}
    print(json.dumps(result))


if __name__ == "__main__":
    Command(_main, _define_flags).run()
