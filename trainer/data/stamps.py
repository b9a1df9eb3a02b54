"""Digests of files, computed once per version of a file.

A file's stamp consists of its size, modification time and inode; while the stamp is unchanged, the
stored digest is reused. Stamps are stored in the cache folder.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

from cxr_command import whole_file
from cxr_command.checksums import sha256_of
from trainer.data.cache_folder import cache_root
from trainer.errors import Damaged, Unreadable
from trainer.json_file import Field, integer, list_of, mapping, read_object, record, text
from trainer.parsing import parsing

_FILES = {"files": mapping(record({"stamp": list_of(integer(0)), "sha256": text()}))}


def digests_of(paths: Sequence[str]) -> list[str]:
    """Computes the SHA-256 of files in one folder.

    Args:
        paths: the files.

    Returns:
        The hexadecimal digest of each file.

    Raises:
        Unreadable: a file could not be read.
        Damaged: a file is missing.
    """
    if not paths:
        return []
    kept_in = _file_of(pathlib.Path(paths[0]).parent)
    known = (recall(kept_in, _FILES) or {"files": {}})["files"]

    def digest(path: str) -> dict:
        with parsing(path, "put it back"):
            stamp = _stamp_of(path)
            entry = known.get(os.path.basename(path))
            if entry and entry["stamp"] == stamp:
                return entry
            return {"stamp": stamp, "sha256": sha256_of(path)}

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(digest, paths))
    entries = {os.path.basename(path): entry for path, entry in zip(paths, found, strict=True)}
    if any(known.get(name) != entry for name, entry in entries.items()):
        keep(kept_in, {"files": known | entries})
    return [entry["sha256"] for entry in found]


def folder() -> pathlib.Path:
    """Returns this user's folder for stamps and for data stored by digest."""
    return cache_root() / f"stamps-{os.getuid()}"


def keep(path: pathlib.Path, content: dict) -> None:
    """Writes a file of `folder`; if it cannot be written, the next reading just takes longer."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with whole_file.writing(path, shared=True) as partial:
            partial.write_text(json.dumps({"sha256": _sha256(content), "content": content}))


def recall(path: pathlib.Path, fields: Mapping[str, Field]) -> dict | None:
    """Reads a file written by `keep`.

    Args:
        path: a file of `folder`.
        fields: the expected fields of its content.

    Returns:
        The content; None if it is missing or was altered, as one wrong digit would make a whole
        dataset look damaged.
    """
    with contextlib.suppress(Damaged, Unreadable):
        kept = read_object(path, {"sha256": text(), "content": record(fields)}, "")
        if kept["sha256"] == _sha256(kept["content"]):
            return kept["content"]
    return None


def _sha256(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _file_of(directory: pathlib.Path) -> pathlib.Path:
    name = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
    return folder() / f"files-{name}.json"


def _stamp_of(path: str) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ino]
