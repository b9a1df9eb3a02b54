"""The database as people have it: the extracted folder, or the zip file as Kaggle serves it."""

import contextlib
import hashlib
import itertools
import os
import pathlib
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator

from etils import epath

from . import disk, paths, refusal, scratch, source
from .refusal import NothingToBuildError, RefusedError

# The published archive holds 42,336 files of 0.8 GB, and PNG files do not shrink further.
_MOST_FILES = 200_000
_MOST_BYTES = 20 << 30
_HIGHEST_RATIO = 100
_SUFFIXES = (".png", ".xlsx", ".txt")
_LONGEST_NAME = 255  # Of a file or folder in most file systems, in bytes.
_LONGEST_PATH = 500  # Below the folder it is extracted to.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED = 1


class ArchiveError(RefusedError, ValueError):
    """A zip file that is damaged, or that would write where or what it should not."""


def open_database(manual_dir: epath.Path, extract_dir: epath.Path) -> epath.Path:
    """Finds the database in the manual directory, extracting the zip file if that is all there is.

    Args:
      manual_dir: Where the user put the folder or the zip file. Nothing is written there.
      extract_dir: Where to extract a zip file; what an earlier build extracted is used again.

    Returns:
      The folder `COVID-19_Radiography_Dataset`.

    Raises:
      ArchiveError: The zip file cannot be trusted, or does not hold the database.
      NothingToBuildError: There is neither the folder nor a zip file.
      NoRoomError: The disk is too full to extract.
    """
    if folder := _folder(manual_dir):
        return folder
    for name in source.ARCHIVES:
        if paths.exists(manual_dir / name):
            return _extract(manual_dir / name, extract_dir)
    raise NothingToBuildError(
        f"No folder {source.DATABASE} in {manual_dir}, nor {' or '.join(source.ARCHIVES)}."
        f"{_elsewhere(manual_dir)}\n{source.DOWNLOAD_INSTRUCTIONS}"
    )


def _folder(manual_dir: epath.Path) -> epath.Path | None:
    """The database's folder, be it inside itself or the manual directory; None if there is none."""
    database = manual_dir / source.DATABASE
    for folder in (database, database / source.DATABASE, manual_dir):
        if any(paths.exists(folder / label / "images") for label in source.CLASSES):
            return folder
    return database if paths.exists(database) else None


def _elsewhere(manual_dir: epath.Path) -> str:
    """Names the folder that was meant, one level above, two above or one below, if it is one."""
    with contextlib.suppress(OSError):
        below = [path for path in paths.listed(manual_dir) if path.is_dir()]
        for place in (*sorted(below), *manual_dir.parents[:2]):
            archives = any(paths.exists(place / name) for name in source.ARCHIVES)
            if archives or _folder(place):
                return f" It is in {place}: give --manual_dir={place}."
    return ""


def _extract(archive: epath.Path, extract_dir: epath.Path) -> epath.Path:
    with refusal.in_words(f"extract {archive} to {extract_dir}"), _reading(archive):
        if not paths.size(archive):
            raise ArchiveError(f"{archive} is damaged (the file is empty): download it again.")
        with zipfile.ZipFile(archive) as file:
            members = _trusted_members(archive, file)
            target = extract_dir / f"covid19_radiography-{_contents_hash(members)}"
            if not target.exists():
                size = sum(member.file_size for member in members)
                disk.check(extract_dir, size, f"extracting {archive}")
                _extract_beside(file, members, pathlib.Path(target))
    return target / source.DATABASE


@contextlib.contextmanager
def _reading(archive: epath.Path) -> Iterator[None]:
    """While open, whatever `zipfile` raises of an archive's content is an `ArchiveError`.

    It raises a dozen types, such as `zlib.error`, `EOFError` and `UnicodeDecodeError`. An `OSError`
    of bz2 has no number; one of the system's, which says nothing of the archive, has one.
    """
    try:
        yield
    except (RefusedError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        cause = refusal.first_line(error)
        raise ArchiveError(f"{archive} is damaged ({cause}): download it again.") from error


def _trusted_members(archive: epath.Path, file: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of the database in an archive, after a look at everything the archive announces."""
    members = [member for member in file.infolist() if not _name(member).endswith("/")]
    size = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if len(members) > _MOST_FILES or size > _MOST_BYTES or size > _HIGHEST_RATIO * max(1, packed):
        raise ArchiveError(
            f"{archive} would extract {len(members):,} files of {size:,} bytes from {packed:,}; at "
            f"most {_MOST_FILES:,} files, {_MOST_BYTES:,} bytes and {_HIGHEST_RATIO} times what is "
            "packed are accepted. Is it the file from Kaggle?"
        )
    what = "would lead out of the folder it is extracted to, or are links"
    _refuse(archive, what, (member.filename for member in members if _strays(member)))
    root = _root(archive, map(_name, members))
    wanted = [
        member
        for member in members
        if _name(member).startswith(root) and _name(member).lower().endswith(_SUFFIXES)
    ]
    for member in wanted:
        member.filename = _name(member).removeprefix(root.removesuffix(f"{source.DATABASE}/"))
    if not wanted:
        raise ArchiveError(
            f"{archive} has no folder {source.DATABASE}.\n{source.DOWNLOAD_INSTRUCTIONS}"
        )
    _refuse(archive, "are encrypted", (m.filename for m in wanted if m.flag_bits & _ENCRYPTED))
    what = "use an unknown compression method"
    _refuse(archive, what, (m.filename for m in wanted if m.compress_type not in _METHODS))
    what = "have names that this file system does not allow"
    _refuse(archive, what, (m.filename for m in wanted if _is_no_name(m.filename)))
    _refuse(archive, "have the name of another file or of its folder", _clashes(wanted))
    return wanted


def _name(member: zipfile.ZipInfo) -> str:
    """An entry's name; some programs on Windows write it with backslashes."""
    return member.filename.replace("\\", "/")


def _root(archive: epath.Path, names: Iterable[str]) -> str:
    """What the names of the database begin with: its folder, which may lie in others."""
    folder = f"{source.DATABASE}/"
    parts = [name.rpartition(folder) for name in names]
    roots = {
        before + folder
        for before, found, rest in parts
        if found and rest.split("/")[0] in source.CLASSES and not before.startswith("__MACOSX")
    }
    if len(roots) > 1:
        raise ArchiveError(
            f"{archive} holds the database {len(roots)} times, in {', '.join(sorted(roots))}; "
            "expected it once."
        )
    return roots.pop() if roots else folder


def _refuse(archive: epath.Path, what: str, names: Iterable[str]) -> None:
    """Refuses an archive if there is any name of which something is so."""
    if found := list(names):
        raise ArchiveError(
            f"{archive} holds {len(found)} entries that {what}: "
            f"{', '.join(repr(name[:100]) for name in found[:5])}. Is it the file from Kaggle?"
        )


def _strays(member: zipfile.ZipInfo) -> bool:
    name = _name(member)
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    is_elsewhere = not {"", ".", ".."}.isdisjoint(name.split("/")) or ":" in name
    return is_link or is_elsewhere


def _is_no_name(name: str) -> bool:
    """Whether file systems have no room for a name, or the locale no letters."""
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        return True
    return len(encoded) > _LONGEST_PATH or max(map(len, encoded.split(b"/"))) > _LONGEST_NAME


def _clashes(members: list[zipfile.ZipInfo]) -> Iterator[str]:
    """Names that are there twice, or that take another file for a folder."""
    # Sorted like this, a file is followed by what takes it for a folder.
    names = sorted(member.filename.replace("/", "\0") for member in members)
    for one, other in itertools.pairwise(names):
        if other == one or other.startswith(f"{one}\0"):
            yield other.replace("\0", "/")


def _contents_hash(members: list[zipfile.ZipInfo]) -> str:
    """Names what an archive holds, so that an archive that was replaced is extracted anew."""
    listing = sorted((member.filename, member.file_size, member.CRC) for member in members)
    return hashlib.sha256(repr(listing).encode()).hexdigest()[:16]


def _extract_beside(
    file: zipfile.ZipFile, members: list[zipfile.ZipInfo], target: pathlib.Path
) -> None:
    """Extracts to a folder beside the target and renames it, so that the target is whole or absent.

    `zipfile` writes no more bytes than a member announces, and checks its checksum.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch.folder(target.parent, ".extracting-") as unfinished:
        database = unfinished / "database"
        for member in members:
            path = database.joinpath(*member.filename.split("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            with file.open(member) as packed, path.open("xb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        try:
            database.rename(target)
        except OSError:
            if not target.is_dir():  # Another build has extracted the same in the meantime.
                raise
