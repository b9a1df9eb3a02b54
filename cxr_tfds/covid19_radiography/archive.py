"""Access to the database: an extracted folder, or the zip file from Kaggle."""

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

# The published archive holds 42,336 files of 0.8 GB; PNG files do not compress further.
_MOST_FILES = 200_000
_MOST_BYTES = 20 << 30
_HIGHEST_RATIO = 100
_SUFFIXES = (".png", ".xlsx", ".txt")
_LONGEST_NAME = 255  # Maximum name length in most file systems, in bytes.
_LONGEST_PATH = 500  # Relative to the folder it is extracted to.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED = 1


class ArchiveError(RefusedError, ValueError):
    """A zip file is damaged, or would write outside its folder or unexpected files."""


def open_database(manual_dir: epath.Path, extract_dir: epath.Path) -> epath.Path:
    """Finds the database in the manual directory, extracting the zip file if necessary.

    Args:
      manual_dir: The directory with the user's folder or zip file; nothing is written to it.
      extract_dir: The directory to extract a zip file to; files extracted by an earlier build are
        reused.

    Returns:
      The folder `COVID-19_Radiography_Dataset`.

    Raises:
      ArchiveError: The zip file cannot be trusted, or does not hold the database.
      NothingToBuildError: Neither the folder nor a zip file exists.
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
    """Returns the database's folder, which may be nested in another one; None if there is none."""
    database = manual_dir / source.DATABASE
    for folder in (database, database / source.DATABASE, manual_dir):
        if any(paths.exists(folder / label / "images") for label in source.CLASSES):
            return folder
    return database if paths.exists(database) else None


def _elsewhere(manual_dir: epath.Path) -> str:
    """Names the probably intended folder, one or two levels above or one below; empty if none."""
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
    """Converts whatever `zipfile` raises for an archive's content to an `ArchiveError`.

    It raises a dozen types, such as `zlib.error`, `EOFError` and `UnicodeDecodeError`. An `OSError`
    of bz2 has no errno; one of the operating system, which is unrelated to the archive, has one.
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
    """Returns the database's files in an archive after validating all of the archive's entries."""
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
    """Returns an entry's name; some Windows programs write it with backslashes."""
    return member.filename.replace("\\", "/")


def _root(archive: epath.Path, names: Iterable[str]) -> str:
    """Returns the common prefix of the database's names: its folder, which may be nested."""
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
    """Raises an error about the given names of entries, if there are any."""
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
    """Whether a name is too long for file systems, or not encodable in the locale."""
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        return True
    return len(encoded) > _LONGEST_PATH or max(map(len, encoded.split(b"/"))) > _LONGEST_NAME


def _clashes(members: list[zipfile.ZipInfo]) -> Iterator[str]:
    """Yields names that occur twice, or that use another file as a folder."""
    # In this order, a file is followed by names that use it as a folder.
    names = sorted(member.filename.replace("/", "\0") for member in members)
    for one, other in itertools.pairwise(names):
        if other == one or other.startswith(f"{one}\0"):
            yield other.replace("\0", "/")


def _contents_hash(members: list[zipfile.ZipInfo]) -> str:
    """Returns a hash of an archive's listing, so that a replaced archive is extracted again."""
    listing = sorted((member.filename, member.file_size, member.CRC) for member in members)
    return hashlib.sha256(repr(listing).encode()).hexdigest()[:16]


def _extract_beside(
    file: zipfile.ZipFile, members: list[zipfile.ZipInfo], target: pathlib.Path
) -> None:
    """Extracts to a temporary folder and renames it, so that the target is complete or absent.

    `zipfile` writes no more bytes than a member declares, and verifies its checksum.
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
            if not target.is_dir():  # Another build may have extracted the same archive.
                raise
