"""Radiographs from DICOM files, shown as a viewer shows them. Only pixels leave this module."""

import pathlib

import numpy as np

from trainer.errors import UserError

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
        UserError: pydicom is not installed, or the file is no gray image that it can decode.
    """
    try:
        import pydicom
    except ImportError as error:
        raise UserError(
            f"{path}: DICOM files need pydicom; install it with pip install 'cxr-trainer[dicom]'"
        ) from error
    try:
        dicom = pydicom.dcmread(path)
        pixels, photometric = dicom.pixel_array, dicom.PhotometricInterpretation
        gray = _shown(dicom, pixels)
    # A damaged file makes pydicom and its decoders raise nearly anything.
    except Exception as error:
        raise UserError(
            f"{path} is not a readable DICOM image ({type(error).__name__}); "
            "expected one with pixels in an encoding that pydicom decodes"
        ) from error
    if pixels.ndim != 2 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UserError(
            f"{path} has {photometric} pixels of shape {list(pixels.shape)}; "
            "expected one gray frame (MONOCHROME1 or MONOCHROME2)"
        )
    return np.round(255 * (1 - gray if photometric == "MONOCHROME1" else gray)).astype(np.uint8)[
        ..., None
    ]


def _shown(dicom, pixels: np.ndarray) -> np.ndarray:
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
