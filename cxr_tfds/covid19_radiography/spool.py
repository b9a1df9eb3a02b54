"""Stores resized pixels on disk between the two passes of a build, to decode each image once."""

import tempfile

import numpy as np
from etils import epath

from . import decode, paths

_PIXELS = decode.SIZE**2
_MASK_BYTES = _PIXELS // 8
RECORD_BYTES = _PIXELS + _MASK_BYTES


class Spool:
    """Images and masks in an unnamed file, which disappears with the process."""

    def __init__(self, folder: epath.Path):
        """Creates an empty spool.

        Args:
          folder: The folder whose disk is used, if it is local.
        """
        self._file = tempfile.TemporaryFile(dir=folder if paths.is_local(folder) else None)
        self._places: dict[str, int] = {}

    def add(self, radiograph_id: str, image: np.ndarray, mask: np.ndarray) -> None:
        """Adds one radiograph, replacing an earlier one with the same id.

        Args:
          radiograph_id: Its id.
          image: `[224, 224, 1] uint8`.
          mask: `[224, 224, 1] uint8`, 1 in the lungs and 0 elsewhere.
        """
        self._places[radiograph_id] = self._file.tell() // RECORD_BYTES
        self._file.write(image.tobytes() + np.packbits(mask).tobytes())

    def read(self, radiograph_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Reads one radiograph.

        Args:
          radiograph_id: Its id.

        Returns:
          The image and the mask, as added.
        """
        self._file.seek(self._places[radiograph_id] * RECORD_BYTES)
        record = np.frombuffer(self._file.read(RECORD_BYTES), np.uint8)
        shape = (decode.SIZE, decode.SIZE, 1)
        return record[:_PIXELS].reshape(shape), np.unpackbits(record[_PIXELS:]).reshape(shape)

    def __enter__(self) -> "Spool":
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Releases the disk space."""
        self._file.close()
