"""The possible faults in a copy of the database, and which of them stop a build."""

import enum
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from .refusal import RefusedError


class Kind(enum.Enum):
    """A kind of fault with its description, and whether it stops the build.

    Faults that could put a wrong image, label or source into the dataset stop the build. Others are
    reported and tolerated.
    """

    NO_RADIOGRAPH = "no radiograph", True
    NO_IMAGE = "no image of any class", True
    WRONG_FOLDER = "images in a folder that is not named after a class", True
    WRONG_PLACE = "image in an unexpected place; expected CLASS/images/COVID-1.png", True
    NOT_NAMED_PNG = "image that is not a PNG file; save it as PNG", True
    TWICE = "two files whose names differ only in the case of the suffix", True
    WRONG_NAME = "file not named after its class and a number, such as COVID-137.png", True
    NO_WORKBOOK = "missing metadata workbook", True
    WRONG_WORKBOOK = "no xlsx workbook with the columns FILE NAME and URL", True
    WRONG_ID = "workbook row that names no radiograph of its class, or one named before", True
    LEAVES_FOLDER = "link that points outside the database folder", True
    UNREADABLE = "cannot be read", True
    EMPTY = "zero bytes", True
    JPEG = "a JPEG file named .png", True
    NOT_PNG = "not a PNG file", True
    DAMAGED = "truncated or damaged PNG", True
    ENORMOUS = "enormous, not decoded", True
    TINY = "too small for a radiograph", True
    ONE_VALUE = "every pixel has the same value", True
    ALMOST_BLACK = "almost black", True
    DEPTH = "16-bit PNG that uses fewer bits, which `full` cannot represent; build 224x224", True
    MASK_SHAPE = "lung mask whose aspect ratio differs from its image", True

    MASK_SIZE = "lung mask that is not 256x256, resized", False
    MASK_EMPTY = "lung mask in which every pixel has the same value", False
    MASK_ALONE = "lung mask without an image, ignored", False
    SIXTEEN_BITS = "16-bit PNG, reduced to its upper 8 bits", False
    NO_ROW = "image without a row in the workbook; its source is unknown", False
    IMAGES_MISSING = "images that the workbook lists are missing", False
    REMARK = "noticed", False
    LEFT_OUT = "left out", False
    MASKS_MISSING = "radiographs have no lung mask", False

    def __init__(self, text: str, stops: bool):
        self.text = text
        self.stops = stops


class Fault(NamedTuple):
    """A fault: the file or folder, the kind, and what was found."""

    path: str
    kind: Kind
    found: str = ""


class DatabaseError(RefusedError, ValueError):
    """A copy of the database cannot be built from; the message lists all faults."""


def describe(faults: Iterable[Fault]) -> str:
    """Lists faults by kind, with the number of each kind.

    Args:
      faults: The faults, in any order.

    Returns:
      Lines of text: a heading per kind, followed by each file and what was found.
    """
    by_kind = defaultdict(list)
    for fault in faults:
        by_kind[fault.kind].append(fault)
    lines = []
    for kind in Kind:
        if kind in by_kind:
            lines.append(f"  {kind.text} ({len(by_kind[kind])}):")
            lines += [
                f"    {fault.path}" + (f": {fault.found}" if fault.found else "")
                for fault in sorted(by_kind[kind])
            ]
    return "\n".join(lines)


def stop_if_any(found: Iterable[Fault], folder: object, remedy: str) -> None:
    """Raises an error if any fault stops a build.

    Args:
      found: All faults.
      folder: The folder of the radiographs, for the message.
      remedy: What to do about them, as a clause.

    Raises:
      DatabaseError: A fault stops the build; the message lists all of them.
    """
    stopping = [fault for fault in found if fault.kind.stops]
    if stopping:
        faults = "1 fault" if len(stopping) == 1 else f"{len(stopping)} faults"
        raise DatabaseError(
            f"Found {faults} in {folder}; nothing was built. {remedy}, and build again:\n"
            + describe(stopping)
        )
