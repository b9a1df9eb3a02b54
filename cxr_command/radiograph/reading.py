"""One radiograph from any file that is read: DICOM by its mark, other images by Pillow.

    radiograph = reading.read(path)
    image = reading.resized(radiograph.pixels, (224, 224))

What is no radiograph raises `NotARadiograph`, whose text says why. A folder of 16-bit files has one
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

# A picture of which fewer pixels in a hundred than one are this bright is almost black.
DARK = 32
_SHALLOW = 8
_DEEP = 16
# Four channels of 16 bits, uncompressed, and as much again for what else a file may tell.
_MOST_BYTES = 2 * 8 * MOST_PIXELS
_DEEP_SUFFIXES = (".png", ".tif", ".tiff")


@dataclasses.dataclass(frozen=True)
class Radiograph:
    """A radiograph as it is shown.

    Attributes:
        pixels: `[height, width] uint8`, 0 is black.
        remarks: what was noticed, a clause each.
        flaw: the remark that makes it useless, such as one gray value everywhere; None if none
            does. A build refuses such a picture.
        depth: the bits, at least 8, that a 16-bit image file uses; None of any other file.
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
        path: the file; what it is is told by its content.
        depth: of 16-bit image files, `depth_of` the files that belong together; None: the depth
            that this one uses.
        any_view: whether DICOM files of lateral views and of other parts of the body are read too.

    Returns:
        The radiograph.

    Raises:
        NotARadiograph: no such file, or it is no radiograph; the text says why.
        OSError: the system could not read it, and it may be whole; `filename` names it.
    """
    return decode(read_bytes(path), depth=depth, any_view=any_view)


def decode(content: bytes, *, depth: int | None = None, any_view: bool = False) -> Radiograph:
    """As `read`, of a file's bytes.

    Args:
        content: the bytes.
        depth: as that of `read`.
        any_view: as that of `read`.

    Returns:
        The radiograph.

    Raises:
        NotARadiograph: it is none; the text says why.
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
        NotARadiograph: it is missing, empty, too large or no regular file.
        OSError: the system could not read it, and it may be whole; `filename` names it.
    """
    path = pathlib.Path(path)
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise NotARadiograph(f"it has more bytes than an image of {MOST_PIXELS:,} pixels")
        if not size:  # Pipes, too, from which a reader would wait for ever.
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
    """Resizes bilinearly with antialiasing, disregarding the aspect ratio, as Pillow does.

    Args:
        pixels: `[old height, old width] uint8`.
        shape: `(height, width)`, or with a 1 behind them.

    Returns:
        `[height, width, 1] uint8`.
    """
    height, width = shape[:2]
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))[..., None]


def flaw_of(pixels: np.ndarray) -> str | None:
    """What makes a picture useless, a clause; None if nothing does.

    Args:
        pixels: `[height, width] uint8`.
    """
    if pixels.min() == pixels.max():
        return f"every pixel is {pixels.flat[0]}"
    if 100 * np.count_nonzero(pixels >= DARK) < pixels.size:
        return f"almost black: fewer than 1 % of the pixels reach {DARK} of 255"
    return None


def depth_of(files: Iterable[str | os.PathLike]) -> int | None:
    """The depth that the 16-bit image files among files use together.

    Args:
        files: the files; their headers are read, and those of 16 bits decoded until one of them
            uses all.

    Returns:
        The smallest number of bits, at least 8, that holds their highest value; None if there is no
        such file. What cannot be read does not count: reading it will tell.
    """
    deepest = None
    for path in files:
        deepest = max(deepest or 0, bits_of(path) or 0) or None
        if deepest == _DEEP:
            break
    return deepest


def bits_of(path: str | os.PathLike) -> int | None:
    """The bits, at least 8, that a 16-bit image file uses; None of any other file.

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
    except Exception:  # Whatever is wrong with it, reading it will tell.
        return None


def bits_used(values: np.ndarray) -> int | None:
    """The bits, at least 8, that hold the values of a 16-bit image; None of one of 8 bits.

    Args:
        values: of `image_file.decode`.
    """
    return None if values.dtype == np.uint8 else max(_SHALLOW, int(values.max()).bit_length())


def _eight_bits(values: np.ndarray, depth: int | None) -> np.ndarray:
    """The upper 8 of the bits that are used; what is beyond a given depth is white."""
    if values.dtype == np.uint8 or depth is None:
        return values
    return np.minimum(values >> (depth - _SHALLOW), 255).astype(np.uint8)
