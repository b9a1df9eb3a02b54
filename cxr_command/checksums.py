"""SHA-256 digests of a folder's files, stored beside them in the format of `sha256sum`."""

import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

SUMS = "SHA256SUMS"
_PART = 1 << 20


def sha256_of(path: str | os.PathLike) -> str:
    """Returns the hexadecimal SHA-256 of a file."""
    # Paths of an object store have their own `open`.
    opened: Any = path if isinstance(path, os.PathLike) else pathlib.Path(path)
    digest = hashlib.sha256()
    with opened.open("rb") as file:
        while part := file.read(_PART):
            digest.update(part)
    return digest.hexdigest()


def lines_of(digests: Mapping[str, str]) -> str:
    """Returns the lines of `SUMS` for digests by file name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def parse(lines: Iterable[str]) -> dict[str, str]:
    """Parses the output of `lines_of`.

    Args:
        lines: lines of a file `SUMS`.

    Returns:
        The digest of each file, by name.

    Raises:
        ValueError: a line has another form.
    """
    found = {}
    for line in lines:
        match = re.fullmatch(r"([0-9a-f]{64})  ([^/\n]+)\n?", line)
        if not match:
            raise ValueError(f"expected a SHA-256 and a file's name, found {line.strip()!r}")
        found[match[2]] = match[1]
    return found
