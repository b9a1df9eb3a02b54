"""Files of Keras: what they hold is checked before Keras, which trusts them, reads a copy."""

import contextlib
import io
import pathlib
import tempfile
import warnings
import zipfile
from collections.abc import Iterator

from trainer.directory import unfinished, writing_to

_WEIGHTS = "model.weights.h5"


def weights_of_archive(content: bytes) -> bytes:
    """Compares the checksums of a `.keras` file, of which Keras passes over some.

    Args:
        content: of the file.

    Returns:
        The HDF5 file in it that holds the weights.

    Raises:
        Exception: it is no such file; whatever the parsers raise.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # Keras compresses nothing. What claims to be more than the file holds would fill memory.
        if sum(entry.file_size for entry in archive.infolist()) > len(content):
            raise ValueError("its parts claim to be larger than it is")
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of its part {damaged} is wrong")
        return archive.read(_WEIGHTS)


@contextlib.contextmanager
def nothing_passed_over() -> Iterator[None]:
    """While open, Keras raises where it would warn of layers that keep their random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@contextlib.contextmanager
def private_copy(content: bytes, name: str) -> Iterator[pathlib.Path]:
    """Gives a file that nobody else knows, as Keras reads files and no bytes.

    Args:
        content: what it holds.
        name: what it is called; Keras tells formats by its end.

    Yields:
        The file, which is gone at the end.

    Raises:
        UserError: the disk of temporary files is full.
    """
    folder = pathlib.Path(tempfile.gettempdir())
    with unfinished(folder, "cxr-keras-") as private:
        with writing_to(folder):
            (private / name).write_bytes(content)
        yield private / name
