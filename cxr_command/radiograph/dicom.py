"""Reads radiographs from DICOM files, as displayed by a viewer. Only pixels are returned."""

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from cxr_command.foreign_text import one_line
from cxr_command.largest_image import MOST_PIXELS
from cxr_command.radiograph import dicom_values
from cxr_command.radiograph.refusal import NotARadiograph

if TYPE_CHECKING:
    import pydicom

SUFFIXES = (".dcm", ".dicom", ".ima")
HEAD = 132  # The magic bytes DICM follow 128 bytes.
INSTALL = "pip install 'cxr-trainer[dicom]'"
WITHOUT_MARK = (
    "DICOM data without the prefix DICM after 128 bytes; write it as a DICOM file with a tool such "
    "as dcmconv"
)
_LATERAL = {"LL", "RL", "LAT", "LATERAL", "LLD", "RLD", "LLO", "RLO", "LEFT LATERAL"}
_LATERAL |= {"RIGHT LATERAL", "L LAT", "R LAT"}
# Spellings of different manufacturers and languages: CHEST, PORT CHEST, THORAX, TORAX.
_CHEST = ("CHEST", "THORAX", "TORAX", "LUNG")


def is_marked(head: bytes) -> bool:
    """Whether a file's first `HEAD` bytes end with the DICOM magic bytes."""
    return head[128:HEAD] == b"DICM"


def lacks_mark(content: bytes) -> bool:
    """Whether bytes begin like DICOM data without the preamble: with a length or identifier.

    Args:
        content: a file's bytes.
    """
    group, above = content[:2], content[3:4]
    return group in (b"\2\0", b"\x08\0") and above == b"\0"


def decode(content: bytes, any_view: bool) -> tuple[np.ndarray, list[str]]:
    """Reads the pixels of a DICOM file; no patient's name, date or number is kept.

    Source of the processing: DICOM PS3.3, C.7.5.1.1.2, C.7.6.3.1.2, C.11.1, C.11.2.

    Args:
        content: the file's bytes.
        any_view: whether lateral views and other parts of the body are read too.

    Returns:
        `[height, width] uint8`, and remarks.

    Raises:
        NotARadiograph: it is not a gray image of at most `MOST_PIXELS` that pydicom can decode, or
            not a frontal chest radiograph.
    """
    try:
        import pydicom
    except ImportError as error:
        raise NotARadiograph(f"DICOM files need pydicom: {INSTALL}") from error
    # Warnings about unused values are irrelevant, and may quote a patient's data.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        dicom = _parsed(content)
        _check_pixels(dicom)
        remarks = _other_views(dicom)
        if remarks and not any_view:
            raise NotARadiograph(f"{remarks[0]}; expected a frontal view of the chest")
        _check_decoder(dicom.file_meta.TransferSyntaxUID)
        gray, noticed = dicom_values.shown(dicom, dicom.pixel_array)
    except (MemoryError, NotARadiograph):
        raise
    # For a damaged file, pydicom and its decoders may raise nearly anything, with values in the
    # message.
    except Exception as error:
        raise NotARadiograph(
            f"damaged DICOM file ({type(error).__name__}); obtain the file again"
        ) from error
    return gray, remarks + noticed


def _parsed(content: bytes) -> "pydicom.Dataset":
    import pydicom
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    file = io.BytesIO(content)
    pydicom.filereader.read_preamble(file, force=False)
    meta = pydicom.filereader._read_file_meta_info(file)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:  # Of unbounded size.
        raise NotARadiograph(
            "DICOM file in the deflated transfer syntax, which is not supported; rewrite it "
            "with a DICOM tool, such as dcmconv"
        )
    if "TransferSyntaxUID" not in meta:
        raise NotARadiograph("DICOM file without a TransferSyntaxUID; obtain the file again")
    file.seek(0)
    return pydicom.dcmread(file)


def _check_pixels(dicom: "pydicom.Dataset") -> None:
    """Rejects, by the header, files without pixels, with too many, or not of one gray frame."""
    if "PixelData" not in dicom:
        raise NotARadiograph(f"DICOM file without pixel data ({_told(dicom, 'Modality')})")
    if missing := [tag for tag in ("Rows", "Columns", "SamplesPerPixel") if not dicom.get(tag)]:
        raise NotARadiograph(f"DICOM file without {missing[0]}; obtain the file again")
    frames = int(dicom.get("NumberOfFrames") or 1)
    if (
        math.prod(map(int, (dicom.Rows, dicom.Columns, dicom.SamplesPerPixel, frames)))
        > MOST_PIXELS
    ):
        raise NotARadiograph(
            f"DICOM image of {dicom.Rows} rows, {dicom.Columns} columns and {frames} frames; "
            f"expected one of at most {MOST_PIXELS:,} pixels"
        )
    if frames > 1:
        raise NotARadiograph(
            f"DICOM image of {frames} frames; expected one: save the intended frame by itself"
        )
    if dicom.HighBit != dicom.BitsStored - 1:  # Older than DICOM 3; pydicom ignores it.
        raise NotARadiograph(
            f"DICOM image whose {dicom.BitsStored} stored bits end at bit {dicom.HighBit}; rewrite "
            "it with a DICOM tool, such as dcmconv"
        )
    if not dicom.get("PhotometricInterpretation"):
        raise NotARadiograph(
            "DICOM image without PhotometricInterpretation, so it is unknown whether 0 is "
            "black; expected MONOCHROME1 or MONOCHROME2"
        )
    if dicom.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise NotARadiograph(
            f"DICOM image in colour ({_told(dicom, 'PhotometricInterpretation')}); expected gray, "
            "MONOCHROME1 or MONOCHROME2"
        )


def _other_views(dicom: "pydicom.Dataset") -> list[str]:
    """Returns the header's evidence against a frontal view of the chest."""
    view = str(dicom.get("ViewPosition") or "").strip().upper()
    part = str(dicom.get("BodyPartExamined") or "").strip().upper()
    told = [f"lateral view ({_told(dicom, 'ViewPosition')})"] if view in _LATERAL else []
    if part and not any(word in part for word in _CHEST):
        told.append(f"another body part ({_told(dicom, 'BodyPartExamined')})")
    return told


def _told(dicom: "pydicom.Dataset", tag: str) -> str:
    return f"{tag} {one_line(str(dicom.get(tag) or 'missing'))[:40]}"


def _check_decoder(syntax: "pydicom.uid.UID") -> None:
    """Rejects an encoding without an available decoder."""
    from pydicom.pixels import get_decoder

    if not syntax.is_transfer_syntax:
        raise NotARadiograph(f"DICOM file of an unknown encoding ({one_line(str(syntax))[:64]})")
    if not syntax.is_compressed:
        return
    try:
        is_available = get_decoder(syntax).is_available
    except NotImplementedError as error:
        raise NotARadiograph(
            f"DICOM image in an encoding that pydicom does not decode ({syntax.name}); write it "
            "uncompressed with a DICOM tool, such as dcmdjpeg or gdcmconv"
        ) from error
    if not is_available:
        raise NotARadiograph(f"DICOM image compressed as {syntax.name}, which needs {INSTALL}")
