"""Reads one radiograph from any supported file: DICOM by its magic bytes, others by Pillow.

    radiograph = reading.read(path)
    image = reading.resized(radiograph.pixels, (224, 224))

Any other file raises `NotARadiograph`, whose message says why. 16-bit files of one folder share a
depth, `depth_of(files)`, with which each of them is read.
"""

import dataclasses
import errno
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from cxr_command.largest_image import MOST_PIXELS
from cxr_command.radiograph import dicom, image_file
from cxr_command.radiograph.refusal import NotARadiograph

# An image with less than one percent of pixels this bright is almost black.
DARK = 32
_SHALLOW = 8
_DEEP = 16
# Four channels of 16 bits, uncompressed, and as much again for metadata.
_MOST_BYTES = 2 * 8 * MOST_PIXELS
_DEEP_SUFFIXES = (".png", ".tif", ".tiff")


@dataclasses.dataclass(frozen=True)
class Radiograph:
    """A radiograph as displayed.

    Attributes:
        pixels: `[height, width] uint8`, 0 is black.
        remarks: remarks on the file, as clauses.
        flaw: the remark that makes it unusable, such as a constant gray value; None if there is
            none. A build rejects such an image.
        depth: the number of bits, at least 8, in use in a 16-bit image file; None for other files.
    """

    pixels: np.ndarray
    remarks: tuple[str, ...] = ()
    flaw: str | None = None
    depth: int | None = None


def read(
    path: str | os.PathLike, *, depth: int | None = None, any_view: bool = False
) -> Radiograph:
    """Reads a file.

    Args:
        path: the file; its format is detected from its content.
        depth: depth of 16-bit image files, `depth_of` the files of one folder; None: the file's own
            depth.
        any_view: whether DICOM files of lateral views and of other parts of the body are read too.

    Returns:
        The radiograph.

    Raises:
        NotARadiograph: the file is missing or not a radiograph; the message says why.
        OSError: the operating system could not read the file, which may be intact; `filename` names
            it.
    """
    return decode(read_bytes(path), depth=depth, any_view=any_view)


def decode(content: bytes, *, depth: int | None = None, any_view: bool = False) -> Radiograph:
    """Like `read`, for a file's bytes.

    Args:
        content: the bytes.
        depth: as for `read`.
        any_view: as for `read`.

    Returns:
        The radiograph.

    Raises:
        NotARadiograph: the bytes are not a radiograph; the message says why.
    """
    used = None
    if dicom.is_marked(content[: dicom.HEAD]):
        pixels, remarks = dicom.decode(content, any_view)
    elif dicom.lacks_mark(content):
        raise NotARadiograph(dicom.WITHOUT_MARK)
    else:
        values, is_inverse, remarks = image_file.decode(content)
        used = bits_used(values)
        pixels = _eight_bits(values, depth or used)
        pixels = 255 - pixels if is_inverse else pixels
    flaw = flaw_of(pixels)
    return Radiograph(pixels, (*remarks, flaw) if flaw else tuple(remarks), flaw, used)


def read_bytes(path: str | os.PathLike) -> bytes:
    """Reads a file's bytes, unless it is larger than any image that may be decoded.

    Args:
        path: the file.

    Returns:
        Its bytes.

    Raises:
        NotARadiograph: the file is missing, empty, too large or not a regular file.
        OSError: the operating system could not read the file, which may be intact; `filename` names
            it.
    """
    path = pathlib.Path(path)
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise NotARadiograph(f"it has more bytes than an image of {MOST_PIXELS:,} pixels")
        if not size:  # Also for pipes, on which a reader would block forever.
            raise NotARadiograph("the file is empty")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotARadiograph("no such file") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise NotARadiograph("no such file: its name is too long") from error
        error.filename = error.filename or str(path)
        raise


def resized(pixels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resizes bilinearly with antialiasing, like Pillow, disregarding the aspect ratio.

    Args:
        pixels: `[old height, old width] uint8`.
        shape: `(height, width)`, or `(height, width, 1)`.

    Returns:
        `[height, width, 1] uint8`.
    """
    height, width = shape[:2]
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))[..., None]


def flaw_of(pixels: np.ndarray) -> str | None:
    """Returns what makes an image unusable, as a clause; None if nothing does.

    Args:
        pixels: `[height, width] uint8`.
    """
    if pixels.min() == pixels.max():
        return f"every pixel is {pixels.flat[0]}"
    if 100 * np.count_nonzero(pixels >= DARK) < pixels.size:
        return f"almost black: fewer than 1 % of the pixels reach {DARK} of 255"
    return None


def depth_of(files: Iterable[str | os.PathLike]) -> int | None:
    """Returns the common depth of the 16-bit image files among files.

    Args:
        files: the files; their headers are read, and 16-bit files are decoded until one of them
            uses all bits.

    Returns:
        The smallest number of bits, at least 8, that holds their highest value; None if there is no
        such file. Unreadable files are ignored; reading them later raises the error.
    """
    deepest = None
    for path in files:
        deepest = max(deepest or 0, bits_of(path) or 0) or None
        if deepest == _DEEP:
            break
    return deepest


def bits_of(path: str | os.PathLike) -> int | None:
    """Returns the bits, at least 8, in use in a 16-bit image file; None for other files.

    Args:
        path: the file.
    """
    if not os.fspath(path).lower().endswith(_DEEP_SUFFIXES):
        return None
    try:
        if not image_file.is_deep_file(path):
            return None
        return bits_used(image_file.decode(read_bytes(path))[0])
    except MemoryError:
        raise
    except Exception:  # Any fault is reported when the file is read.
        return None


def bits_used(values: np.ndarray) -> int | None:
    """Returns the bits, at least 8, in use in a 16-bit image; None for an 8-bit one.

    Args:
        values: values from `image_file.decode`.
    """
    return None if values.dtype == np.uint8 else max(_SHALLOW, int(values.max()).bit_length())


def _eight_bits(values: np.ndarray, depth: int | None) -> np.ndarray:
    """Returns the upper 8 of the bits in use; values beyond a given depth become white."""
    if values.dtype == np.uint8 or depth is None:
        return values
    return np.minimum(values >> (depth - _SHALLOW), 255).astype(np.uint8)
