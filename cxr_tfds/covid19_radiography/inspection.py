"""Inspects a radiograph before the build: validates it and identifies its content."""

import dataclasses
import hashlib
import json
import os
import pathlib
import struct
from typing import NamedTuple

import numpy as np
from etils import epath

from cxr_command.largest_image import MOST_PIXELS
from cxr_command.radiograph import fingerprints, reading
from cxr_command.radiograph.refusal import NotARadiograph

from . import paths, source
from .faults import Fault, Kind

SHORTEST_SIDE = 32
_MOST_BYTES = 8 * MOST_PIXELS  # Of a file: uncompressed 16-bit colour with transparency.
_MASK_SIZE = (256, 256)

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_END = 33  # Signature and IHDR chunk with length, name and checksum.


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The result of inspecting a radiograph.

    Attributes:
      id: Its id.
      faults: Faults of the radiograph or its mask. If any of them stops the build, the rest is
        empty.
      sha256: The SHA-256 of the image file, hexadecimal.
      pixels: The SHA-256 of its size and its gray pixels, hexadecimal.
      fingerprint: The result of `fingerprints.fingerprint`, hexadecimal.
      height: The height of the image, in pixels.
      width: The width of the image, in pixels.
      depth: The number of bits in use in a 16-bit image; 0 for an 8-bit image.
    """

    id: str
    faults: tuple[Fault, ...] = ()
    sha256: str = ""
    pixels: str = ""
    fingerprint: str = ""
    height: int = 0
    width: int = 0
    depth: int = 0

    def to_json(self) -> str:
        """Serializes it to one line, for transfer between Beam workers."""
        faults = [(fault.path, fault.kind.name, fault.found) for fault in self.faults]
        return json.dumps(dataclasses.asdict(self) | {"faults": faults})

    @classmethod
    def from_json(cls, line: str) -> "Inspection":
        """Parses the result of `to_json`."""
        values = json.loads(line)
        faults = tuple(Fault(path, Kind[kind], found) for path, kind, found in values["faults"])
        return cls(**values | {"faults": faults})


class _Picture(NamedTuple):
    encoded: bytes
    gray: np.ndarray
    faults: list[Fault]
    depth: int = 0


def inspect(radiograph: source.Radiograph) -> Inspection:
    """Reads and decodes a radiograph and its mask; their faults raise no error.

    Args:
      radiograph: The radiograph to inspect.

    Returns:
      The inspection.
    """
    return look(radiograph)[0]


def look(radiograph: source.Radiograph) -> tuple[Inspection, np.ndarray, np.ndarray | None]:
    """Inspects a radiograph and returns its pixels, too.

    Args:
      radiograph: The radiograph to inspect.

    Returns:
      The inspection and, unless a fault stops the build, the gray image and the mask or None, both
      `[height, width] uint8`.
    """
    image = _read(radiograph.image, radiograph)
    mask = _read(radiograph.mask, radiograph) if radiograph.mask else None
    faults = [*image.faults]
    if _is_constant(image):
        faults.append(_fault(radiograph.image, Kind.ONE_VALUE, f"{image.gray.flat[0]}"))
    elif image.gray.size and (flaw := reading.flaw_of(image.gray)):
        faults.append(_fault(radiograph.image, Kind.ALMOST_BLACK, flaw))
    if mask:
        faults += [fault for fault in mask.faults if fault.kind != Kind.SIXTEEN_BITS]
        faults += _faults_of_mask(radiograph, mask, image)
    faults = [_named(fault, radiograph) for fault in faults]
    gray_mask = mask.gray if mask else None
    if any(fault.kind.stops for fault in faults):
        return Inspection(radiograph.id, tuple(faults)), image.gray, gray_mask
    return _describe(radiograph.id, faults, image), image.gray, gray_mask


def _describe(radiograph_id: str, faults: list[Fault], image: _Picture) -> Inspection:
    height, width = image.gray.shape
    return Inspection(
        id=radiograph_id,
        faults=tuple(faults),
        sha256=hashlib.sha256(image.encoded).hexdigest(),
        pixels=hashlib.sha256(struct.pack(">II", height, width) + image.gray.tobytes()).hexdigest(),
        fingerprint=fingerprints.fingerprint(image.gray).hex(),
        height=height,
        width=width,
        depth=image.depth,
    )


def _read(path: epath.Path, radiograph: source.Radiograph) -> _Picture:
    """Reads an image or mask as gray `[height, width] uint8`, empty if it cannot be read."""
    encoded, faults = _read_bytes(path, radiograph.is_published)
    if not faults and radiograph.is_published:
        faults = [_fault(path, *what) for what in _read_header(encoded)]
    gray = np.zeros((0, 0), np.uint8)
    if faults:
        return _Picture(encoded, gray, faults)
    depth = radiograph.depth if path == radiograph.image else None
    try:
        found = reading.decode(encoded, depth=depth)
    except NotARadiograph as error:
        if radiograph.is_published:
            faults.append(_fault(path, Kind.DAMAGED, f"{len(encoded):,} bytes"))
        else:
            faults.append(_fault(path, Kind.NO_RADIOGRAPH, str(error)))
        return _Picture(encoded, gray, faults)
    height, width = found.pixels.shape
    if min(height, width) < SHORTEST_SIDE:
        faults.append(_fault(path, *_tiny(width, height)))
    if found.depth:
        faults.append(_fault(path, Kind.SIXTEEN_BITS, f"it uses {found.depth}"))
    remarks = [one for one in found.remarks if one != found.flaw and not radiograph.is_published]
    faults += [_fault(path, Kind.REMARK, remark) for remark in remarks]
    return _Picture(encoded, found.pixels, faults, found.depth or 0)


def _read_bytes(path: epath.Path, is_published: bool) -> tuple[bytes, list[Fault]]:
    """Returns a file's bytes, and why it was not read."""
    # Parent folders were checked when they were listed.
    if is_published and os.path.islink(path) and source.leaves(path, path.parents[2]):
        return b"", [_fault(path, Kind.LEAVES_FOLDER)]
    try:
        size = paths.size(path)
        if size > _MOST_BYTES:
            found = f"{size:,} bytes, at most {_MOST_BYTES:,}"
            return b"", [_fault(path, Kind.ENORMOUS, found)]
        if not size:
            return b"", [_fault(path, Kind.EMPTY)]
        return path.read_bytes(), []
    except OSError as error:
        return b"", [_fault(path, Kind.UNREADABLE, error.strerror or str(error))]


def _read_header(encoded: bytes) -> list[tuple[Kind, str]]:
    """Returns faults visible in a file's first bytes, without decoding."""
    if not encoded.startswith(_SIGNATURE):
        kind = Kind.JPEG if encoded.startswith(b"\xff\xd8\xff") else Kind.NOT_PNG
        return [(kind, f"it starts with {encoded[:8]!r}")]
    if len(encoded) < _HEADER_END:
        return [(Kind.DAMAGED, f"{len(encoded)} bytes")]
    width, height = struct.unpack(">II", encoded[16:24])
    if width * height > MOST_PIXELS:
        return [(Kind.ENORMOUS, f"{width:,}x{height:,}, at most {MOST_PIXELS:,} pixels")]
    if min(width, height) < SHORTEST_SIDE:
        return [_tiny(width, height)]
    return []


def _tiny(width: int, height: int) -> tuple[Kind, str]:
    return Kind.TINY, f"{width}x{height}, at least {SHORTEST_SIDE}x{SHORTEST_SIDE}"


def _faults_of_mask(radiograph: source.Radiograph, mask: _Picture, image: _Picture) -> list[Fault]:
    path = radiograph.mask
    if not mask.gray.size or not image.gray.size:
        return []
    (height, width), (image_height, image_width) = mask.gray.shape, image.gray.shape
    faults = []
    # One percent allows for sides rounded to whole pixels.
    if abs(height * image_width / (width * image_height) - 1) > 0.01:
        found = f"{width}x{height}, the image is {image_width}x{image_height}"
        faults.append(_fault(path, Kind.MASK_SHAPE, found))
    elif radiograph.is_published and mask.gray.shape != _MASK_SIZE:
        faults.append(_fault(path, Kind.MASK_SIZE, f"{width}x{height}"))
    if _is_constant(mask):
        faults.append(_fault(path, Kind.MASK_EMPTY, f"{mask.gray.flat[0]}"))
    return faults


def _is_constant(picture: _Picture) -> bool:
    return picture.gray.size > 0 and picture.gray.min() == picture.gray.max()


def _fault(path: epath.Path, kind: Kind, found: str = "") -> Fault:
    return Fault(str(path), kind, found)


def _named(fault: Fault, radiograph: source.Radiograph) -> Fault:
    """Shortens the file's path to start at its class folder or at the manual directory."""
    first = -3
    if not radiograph.is_published:  # Its id is its relative path.
        first = len(radiograph.image.parts) - len(pathlib.PurePath(radiograph.id).parts)
    return fault._replace(path="/".join(pathlib.PurePath(fault.path).parts[first:]))
