"""The database as people have it: the extracted folder, or the zip file as Kaggle serves it."""

import hashlib
import pathlib
import posixpath
import shutil
import stat
import tempfile
import zipfile

from etils import epath

from . import disk, source
from .refusal import RefusedError

# The published archive holds 42,336 files of 0.8 GB, and PNG files do not shrink further.
_MOST_FILES = 200_000
_MOST_BYTES = 20 << 30
_HIGHEST_RATIO = 100
_SUFFIXES = (".png", ".xlsx", ".txt")


class NoDatabaseError(RefusedError, FileNotFoundError):
    """There is no copy of the database where it is looked for."""


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
      NoDatabaseError: There is neither the folder nor a zip file.
      NoRoomError: The disk is too full to extract.
    """
    if (manual_dir / source.DATABASE).is_dir():
        return manual_dir / source.DATABASE
    for name in source.ARCHIVES:
        if (manual_dir / name).is_file():
            return _extract(manual_dir / name, extract_dir)
    raise NoDatabaseError(
        f"There is no folder {source.DATABASE} in {manual_dir}, nor {' or '.join(source.ARCHIVES)}."
        f"\n{source.DOWNLOAD_INSTRUCTIONS}"
    )


def _extract(archive: epath.Path, extract_dir: epath.Path) -> epath.Path:
    try:
        with zipfile.ZipFile(archive) as file:
            members = _trusted_members(archive, file)
            target = extract_dir / f"covid19_radiography-{_contents_hash(members)}"
            if not target.exists():
                size = sum(member.file_size for member in members)
                disk.check(extract_dir, size, f"extracting {archive}")
                _extract_beside(file, members, pathlib.Path(target))
    except (zipfile.BadZipFile, EOFError) as error:
        raise ArchiveError(f"{archive} is damaged ({error}): download it again.") from error
    return target / source.DATABASE


def _trusted_members(archive: epath.Path, file: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of the database in an archive, after a look at everything the archive announces."""
    members = [member for member in file.infolist() if not member.is_dir()]
    size = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if len(members) > _MOST_FILES or size > _MOST_BYTES or size > _HIGHEST_RATIO * max(1, packed):
        raise ArchiveError(
            f"{archive} would extract {len(members):,} files of {size:,} bytes from {packed:,}; at "
            f"most {_MOST_FILES:,} files, {_MOST_BYTES:,} bytes and {_HIGHEST_RATIO} times what is "
            "packed are accepted. Is it the file from Kaggle?"
        )
    if strays := [member.filename for member in members if _strays(member)]:
        raise ArchiveError(
            f"{archive} holds {len(strays)} entries that would lead out of the folder it is "
            f"extracted to, or are links: {', '.join(strays[:5])}. Is it the file from Kaggle?"
        )
    wanted = [
        member
        for member in members
        if member.filename.startswith(f"{source.DATABASE}/")
        and member.filename.lower().endswith(_SUFFIXES)
    ]
    if not wanted:
        raise ArchiveError(
            f"{archive} holds no folder {source.DATABASE}.\n{source.DOWNLOAD_INSTRUCTIONS}"
        )
    return wanted


def _strays(member: zipfile.ZipInfo) -> bool:
    name = member.filename
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    is_elsewhere = posixpath.isabs(name) or ".." in name.split("/") or "\\" in name or ":" in name
    return is_link or is_elsewhere


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
    with tempfile.TemporaryDirectory(prefix=".extracting-", dir=target.parent) as scratch:
        for member in members:
            path = pathlib.Path(scratch, "database", *member.filename.split("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            with file.open(member) as packed, path.open("xb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        pathlib.Path(scratch, "database").rename(target)
