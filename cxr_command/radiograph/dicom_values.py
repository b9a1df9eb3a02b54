"""Converts the stored values of a DICOM image to the brightness displayed by a viewer."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cxr_command.radiograph.refusal import NotARadiograph

if TYPE_CHECKING:
    import pydicom

_TABLE = ("LUTDescriptor", "LUTData")


def shown(dicom: "pydicom.Dataset", stored: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Applies the modality's table or rescaling, then the first VOI table or window.

    Without either, the whole range of the values is shown. Padding is excluded from the range, and
    black. MONOCHROME1, in which the highest value is black, is inverted.

    Args:
        dicom: the header.
        stored: `[height, width]`, the stored values.

    Returns:
        `[height, width] uint8`, and remarks.

    Raises:
        NotARadiograph: a window or a table is invalid.
    """
    padding = _padding(dicom, stored)
    values = _of_modality(dicom, stored)
    voi = _voi(dicom)
    gray = voi(values) if voi else _whole_range(values, padding)
    if dicom.PhotometricInterpretation == "MONOCHROME1":
        gray = 1 - gray
    gray = np.where(padding, 0, np.clip(gray, 0, 1))
    remarks = ["every pixel is padding"] if padding.all() else []
    return np.round(255 * gray).astype(np.uint8), remarks


def _padding(dicom: "pydicom.Dataset", stored: np.ndarray) -> np.ndarray:
    """Returns the mask of padding pixels, `[height, width] bool`."""
    if dicom.get("PixelPaddingValue") is None:
        return np.zeros(stored.shape, bool)
    limit = dicom.get("PixelPaddingRangeLimit")
    ends = [dicom.PixelPaddingValue, dicom.PixelPaddingValue if limit is None else limit]
    # They may have more bits than are stored, or be negative but written as unsigned.
    lowest = -(2 ** (dicom.BitsStored - 1)) if dicom.PixelRepresentation else 0
    low, high = sorted((np.array(ends, np.int64) - lowest) % 2**dicom.BitsStored + lowest)
    return (stored >= low) & (stored <= high)


def _of_modality(dicom: "pydicom.Dataset", values: np.ndarray) -> np.ndarray:
    if dicom.get("ModalityLUTSequence"):
        return _through_table(dicom, dicom.ModalityLUTSequence[0], values)[0]
    slope, intercept = dicom.get("RescaleSlope"), dicom.get("RescaleIntercept")
    if slope is None or intercept is None:
        return values
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise NotARadiograph("DICOM image with a zero or infinite RescaleSlope")
    return values * float(slope) + float(intercept)


def _voi(dicom: "pydicom.Dataset") -> Callable[[np.ndarray], np.ndarray] | None:
    """Returns a function from values to brightness, 0 to 1; None if the header defines none.

    The choice between table and window follows pydicom (`apply_voi_lut`). An incomplete one is
    rejected, as the intended contrast is unknown.
    """
    tables = dicom.get("VOILUTSequence")
    if tables and all(tables[0].get(name) is not None for name in _TABLE):
        return lambda values: np.divide(*_through_table(dicom, tables[0], values))
    window = {name: _first(dicom.get(name)) for name in ("WindowCenter", "WindowWidth")}
    center, width = window.values()
    if center is None or width is None:
        _refuse_a_part(window, bool(tables))
        return None
    function = str(dicom.get("VOILUTFunction") or "LINEAR").upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise NotARadiograph("DICOM image with an unknown VOILUTFunction")
    least = 1 if function == "LINEAR" else 0
    if not np.isfinite([center, width]).all() or width < least or width == 0:
        raise NotARadiograph(
            f"DICOM image with a window {width:g} wide; a {function} window is "
            f"{'at least 1' if least else 'more than 0'} wide: remove or correct WindowWidth"
        )
    return lambda values: _windowed(values, center, width, function)


def _refuse_a_part(window: dict[str, float | None], has_table: bool) -> None:
    given = [name for name, number in window.items() if number is not None]
    missing = [name for name, number in window.items() if number is None]
    if given:
        raise NotARadiograph(
            f"DICOM image with {given[0]} but without {missing[0]}, so that its contrast is not "
            "known; write both, or neither: then the whole range is shown"
        )
    if has_table:
        raise NotARadiograph(
            "DICOM image with a VOI table without LUTDescriptor or LUTData, so that its contrast "
            "is not known; correct or remove VOILUTSequence: without it the whole range is shown"
        )


def _first(value: float | Sequence[float] | None) -> float | None:
    """Returns the first of several presets."""
    if isinstance(value, Sequence):
        value = value[0] if value else None
    return None if value is None else float(value)


def _windowed(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """Applies a window (PS3.3, C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2)."""
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (values > center).astype(float)
    return (values - center) / width + 0.5


def _whole_range(values: np.ndarray, padding: np.ndarray) -> np.ndarray:
    if padding.all():
        return np.zeros(values.shape)
    lowest, highest = values[~padding].min(), values[~padding].max()
    return (values - float(lowest)) / max(float(highest) - float(lowest), 1e-9)


def _through_table(
    dicom: "pydicom.Dataset", table: "pydicom.Dataset", values: np.ndarray
) -> tuple[np.ndarray, int]:
    """Looks values up in a table; also returns the highest possible entry for its depth."""
    if any(table.get(name) is None for name in _TABLE):
        raise NotARadiograph("DICOM image with a table without LUTDescriptor or LUTData")
    count, first, bits = (int(number) for number in table.LUTDescriptor)
    count = count or 2**16
    if first >= 2**15 and values.min() < 0:  # A negative value written as unsigned.
        first -= 2**16
    entries = _entries(dicom, table, count)
    if not 8 <= bits <= 16 or len(entries) < count:
        raise NotARadiograph(
            f"DICOM image with a table of {len(entries)} entries of {bits} bits; its LUTDescriptor "
            f"says {count}, and 8 to 16 bits are expected"
        )
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, count - 1)
    return entries[places], 2 ** max(bits, int(entries.max()).bit_length()) - 1


def _entries(dicom: "pydicom.Dataset", table: "pydicom.Dataset", count: int) -> np.ndarray:
    """Returns the entries, stored as numbers, 16-bit words, or bytes of which two form a word."""
    data, order = table.LUTData, "<" if dicom.file_meta.TransferSyntaxUID.is_little_endian else ">"
    if not isinstance(data, bytes):
        numbers = np.atleast_1d(np.array(data, np.int64))
        if len(numbers) >= count:
            return numbers[:count]
        data = numbers.astype(f"{order}u2").tobytes()
    kind = f"{order}u2" if len(data) >= 2 * count else "u1"
    return np.frombuffer(data[: len(data) // 2 * 2], kind)[:count].astype(np.int64)
