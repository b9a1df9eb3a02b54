"""Verification that a split's shards match their dataset, done once for each content."""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from cxr_command import checksums, record_index, whole_file
from trainer.data import stamps
from trainer.errors import Damaged
from trainer.json_file import text
from trainer.parsing import parsing, unreadable

# Raised by TensorFlow for an invalid record; the last one where its message would quote bytes that
# are not valid UTF-8.
READING_ERRORS = (tf.errors.DataLossError, tf.errors.InvalidArgumentError, UnicodeDecodeError)
_SUM = {"sha256": text()}


def digest_of(paths: Sequence[str]) -> str:
    """Computes one SHA-256 for a split's shards, from their names and digests.

    Args:
        paths: the shards.

    Raises:
        Damaged: a shard is missing or differs from its digest in `SHA256SUMS`.
        Unreadable: a file could not be read.
    """
    found = dict(zip(map(os.path.basename, paths), stamps.digests_of(paths), strict=True))
    expected = read_sums(pathlib.Path(paths[0]).parent)
    for name in found if expected else ():
        if found[name] != expected.get(name):
            raise Damaged(f"{name} is not the file that was built: its SHA-256 differs")
    return hashlib.sha256(checksums.lines_of(found).encode()).hexdigest()


def read_sums(folder: pathlib.Path) -> dict[str, str]:
    """Reads the digests a builder wrote beside its files, by name; empty if it wrote none.

    Raises:
        Damaged: the file is invalid.
        Unreadable: the file could not be read.
    """
    path = folder / checksums.SUMS
    if not path.exists():
        return {}
    with parsing(path, "build the dataset again"):
        return checksums.parse(path.read_text().splitlines())


def index_of(paths: Sequence[str], digest: str, file_format: str, beside: str) -> np.ndarray:
    """Returns the index of a split's records: the builder's, or one that is built once and cached.

    Args:
        paths: the shards.
        digest: digest of the shards.
        file_format: format of the shards, as of `record_index`.
        beside: file name of the builder's index, in the folder of the shards.

    Returns:
        The index, as of `record_index`. If it has to be built, TFRecord's checksums are verified.

    Raises:
        Damaged: the index or a record is damaged, or a record is not an example with a label.
        Unreadable: a file could not be read.
    """
    folder = pathlib.Path(paths[0]).parent
    if beside in read_sums(folder):
        digest_of([str(folder / beside)])  # Verifies the builder's index.
        with parsing(folder / beside, "build the dataset again"):
            return record_index.read(folder / beside)
    kept_in = stamps.folder() / f"index-of-{digest}.npy"
    if (kept := _recall(kept_in)) is not None:
        return kept
    logging.info("indexing %d files in %s", len(paths), folder)
    try:
        index = record_index.make(paths, file_format)
    except ValueError as error:
        raise Damaged(str(error)) from error
    except OSError as error:
        raise unreadable(folder, error.strerror or str(error)) from error
    _keep(kept_in, index)
    return index


def _recall(path: pathlib.Path) -> np.ndarray | None:
    """Reads a cached index; None if it is missing or damaged."""
    known = stamps.recall(path.with_suffix(".json"), _SUM)
    with contextlib.suppress(OSError, ValueError):
        if known and known["sha256"] == checksums.sha256_of(path):
            return record_index.read(path)
    return None


def _keep(path: pathlib.Path, index: np.ndarray) -> None:
    """Caches an index; if it cannot be written, the next opening just takes longer."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with whole_file.writing(path, shared=True) as partial:
            np.save(partial, index, allow_pickle=False)
            stamps.keep(path.with_suffix(".json"), {"sha256": checksums.sha256_of(partial)})
