"""The bytes of a user's image file."""

import pathlib

from cxr_command.largest_image import MOST_PIXELS
from trainer.parsing import parsing

# Four channels of 16 bits, uncompressed, and as much again for what else a file may tell.
_MOST_BYTES = 2 * 8 * MOST_PIXELS


def read_image_file(path: str | pathlib.Path) -> bytes:
    """Reads a file, unless it is larger than any image that may be decoded.

    Args:
        path: the file.

    Returns:
        Its bytes.

    Raises:
        Damaged: it is missing or too large.
        Unreadable: the system could not read it; it may be whole.
    """
    with parsing(path, "expected an image"):
        if pathlib.Path(path).stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more bytes than an image of {MOST_PIXELS:,} pixels")
        return pathlib.Path(path).read_bytes()
