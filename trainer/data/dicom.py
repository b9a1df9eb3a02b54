"""Radiographs from DICOM files, shown as a viewer shows them. Only pixels leave this module."""

import io
import math
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from cxr_command.largest_image import MOST_PIXELS
from trainer.data.image_file import read_image_file
from trainer.errors import Damaged, UserError

if TYPE_CHECKING:
    import pydicom

DICOM_SUFFIXES = (".dcm", ".dicom")


def read_dicom(path: str | pathlib.Path) -> np.ndarray:
    """Reads the pixels of a DICOM file; no patient's name, date or number is kept.

    The modality's rescaling and the first window (or VOI table) are applied; without a window the
    whole range of the pixels is shown. MONOCHROME1, in which the highest value is black, is turned
    round. Source: DICOM PS3.3, C.7.6.3.1.2, C.11.1 and C.11.2.

    Args:
        path: the file.

    Returns:
        `[height, width, 1] uint8`.

    Raises:
        Damaged: the file is no gray image of at most `MOST_PIXELS` that pydicom can decode.
        Unreadable: the system could not read it; it may be whole.
        UserError: pydicom is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise UserError(
            f"{path}: DICOM files need pydicom; install it with pip install 'cxr-trainer[dicom]'"
        ) from error
    content = io.BytesIO(read_image_file(path))
    try:
        pydicom.filereader.read_preamble(content, force=False)
        _check_encoding(pydicom.filereader._read_file_meta_info(content))
        content.seek(0)
        dicom = pydicom.dcmread(content)
        _check_size(dicom)
        pixels, photometric = dicom.pixel_array, dicom.PhotometricInterpretation
        gray = _shown(dicom, pixels)
    except MemoryError:
        raise
    # A damaged file makes pydicom and its decoders raise nearly anything.
    except Exception as error:
        raise Damaged(
            f"{path} is not a readable DICOM image ({type(error).__name__}); "
            f"expected one of at most {MOST_PIXELS:,} pixels in an encoding that pydicom decodes"
        ) from error
    if pixels.ndim != 2 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise Damaged(
            f"{path} has {photometric} pixels of shape {list(pixels.shape)}; "
            "expected one gray frame (MONOCHROME1 or MONOCHROME2)"
        )
    return np.round(255 * (1 - gray if photometric == "MONOCHROME1" else gray)).astype(np.uint8)[
        ..., None
    ]


def _check_encoding(meta: "pydicom.Dataset") -> None:
    """Raises `ValueError` for a file that is deflated as a whole, to whatever it claims."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise ValueError("its pixels are not the only part that is compressed")


def _check_size(dicom: "pydicom.Dataset") -> None:
    """Raises `ValueError` if the header claims more pixels than may be decoded."""
    counts = (dicom.Rows, dicom.Columns, dicom.get("NumberOfFrames") or 1, dicom.SamplesPerPixel)
    if math.prod(map(int, counts)) > MOST_PIXELS:
        raise ValueError(f"it claims {counts} rows, columns, frames and channels")


def _shown(dicom: "pydicom.Dataset", pixels: np.ndarray) -> np.ndarray:
    """Brightness from 0 to 1 of every pixel."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    values = apply_modality_lut(pixels, dicom)
    # Both tags may be there and empty.
    if not dicom.get("WindowWidth") and not dicom.get("VOILUTSequence"):
        lowest, highest = values.min(), values.max()
        return (values - lowest) / max(highest - lowest, 1)
    # What the window makes of values far below and far above it is black and white.
    limits = np.iinfo(np.int32)
    ends = np.array([limits.min, limits.max], np.float64 if values.dtype.kind == "f" else np.int64)
    black, white = apply_voi_lut(ends, dicom)
    return np.clip((apply_voi_lut(values, dicom) - black) / (white - black), 0, 1)
