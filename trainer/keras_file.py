"""Validation of Keras files before Keras, which trusts their content, reads a copy."""

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
    """Verifies the checksums of a `.keras` file, some of which Keras ignores.

    Args:
        content: content of the file.

    Returns:
        The HDF5 file in it that holds the weights.

    Raises:
        Exception: it is not a `.keras` file; the type is whatever the parsers raise.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # Keras stores its files uncompressed. An entry larger than the whole file would fill the
        # memory.
        if sum(entry.file_size for entry in archive.infolist()) > len(content):
            raise ValueError("its parts claim to be larger than it is")
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of its part {damaged} is wrong")
        return archive.read(_WEIGHTS)


@contextlib.contextmanager
def nothing_passed_over() -> Iterator[None]:
    """Turns Keras' warning about layers left with random weights into an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@contextlib.contextmanager
def private_copy(content: bytes, name: str) -> Iterator[pathlib.Path]:
    """Writes bytes to a private temporary file, because Keras only reads files.

    Args:
        content: content of the file.
        name: name of the file; Keras recognises formats by its suffix.

    Yields:
        The file, which is removed on exit.

    Raises:
        UserError: the disk for temporary files is full.
    """
    folder = pathlib.Path(tempfile.gettempdir())
    with unfinished(folder, "cxr-keras-") as private:
        with writing_to(folder):
            (private / name).write_bytes(content)
        yield private / name
