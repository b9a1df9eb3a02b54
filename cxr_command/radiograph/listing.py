"""Lists radiograph files, and skipped files with reasons, without reading pixels."""

import dataclasses
import glob
import os
import pathlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

from cxr_command.foreign_text import one_line
from cxr_command.radiograph import dicom, image_file

LeftOut = tuple[pathlib.Path, str]

# Files created by macOS and Windows, not by people.
_NOTHING = {"__macosx", ".ds_store", "thumbs.db", "desktop.ini"}
_NOTHING_BEGINS = "._"
# Folders of the published database, and of phantoms, with masks as PNG files.
_MASKS = {"masks", "findings"}
_SHOWN = 3
# Number of reasons listed separately, as decoders' messages differ between damaged files.
_REASONS_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Found:
    """The files found in one or several places.

    Attributes:
        files: the files to read as radiographs, sorted by name.
        left_out: the skipped files, each with the reason, as a clause.
    """

    files: list[pathlib.Path]
    left_out: list[LeftOut]


class LayoutError(ValueError):
    """A folder has an unexpected layout; the message says what was found and what to do."""


def find(pattern: str | os.PathLike) -> Found:
    """Lists the files that a user names.

    Args:
        pattern: a file of any kind; a folder, which is searched recursively; or a glob. Existing
            paths are taken literally: `scan[1].png`, `a[1]/*`.

    Returns:
        The files; both lists are empty if there is nothing.

    Raises:
        OSError: a folder cannot be listed; `filename` names it.
    """
    files, left_out = [], []
    for match in _matches(os.fspath(pattern)):
        if not os.path.isdir(match):
            files.append(pathlib.Path(match))
            continue
        for path in sorted(_below(match)):
            if reason := _why_not(path):
                left_out.append((path, reason))
            else:
                files.append(path)
    return Found(files, left_out)


def find_by_class(
    directory: str | os.PathLike, class_names: Sequence[str] | None = None
) -> tuple[dict[str, list[pathlib.Path]], list[LeftOut]]:
    """Lists a folder with one sub-folder per class, such as the published database.

    All files in a class' folder, at any depth, belong to that class; folders named `masks` and
    `findings` are skipped.

    Args:
        directory: the folder.
        class_names: the classes; None: the names of the sub-folders with radiographs.

    Returns:
        The radiographs of each non-empty class, in the order of the classes and by name, and the
        skipped files.

    Raises:
        LayoutError: a sub-folder with radiographs is not a class, or there is no radiograph.
        OSError: a folder cannot be listed; `filename` names it.
    """
    directory = pathlib.Path(directory)
    found = find(directory)
    files: dict[str, list[pathlib.Path]] = defaultdict(list)
    left_out = list(found.left_out)
    for path in found.files:
        folder, *below = path.relative_to(directory).parts
        if not below:
            left_out.append((path, "not in a class folder"))
        elif _MASKS.intersection(map(str.lower, below[:-1])):
            left_out.append((path, "in a masks folder"))
        else:
            files[folder].append(path)
    expected = ", ".join(class_names or ())
    if strange := sorted(set(files).difference(class_names or files)):
        raise LayoutError(
            f"has radiographs in the sub-folder {strange[0]!r}, which is not a class; expected one "
            f"sub-folder for each of {expected}{_hint(directory, strange[0], class_names)}"
        )
    if not files:
        raise LayoutError(
            f"has no radiograph in a class folder ({told(0, left_out)}); expected "
            f"one sub-folder of radiographs for each class{f': {expected}' if expected else ''}"
        )
    order = class_names or sorted(files)
    return {name: files[name] for name in order if name in files}, left_out


def told(read: int, left_out: Iterable[LeftOut]) -> str:
    """Summarises how many files were read and skipped.

    Args:
        read: number of radiographs.
        left_out: the skipped files, each with the reason.

    Returns:
        One line, with three examples of each of the most common reasons.
    """
    by_reason: dict[str, list[pathlib.Path]] = defaultdict(list)
    for path, reason in left_out:
        by_reason[reason].append(path)
    count = sum(map(len, by_reason.values()))
    text = f"{_number(read, 'radiograph')} read, {_number(count, 'file')} left out"
    commonest = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    reasons = [
        f"{len(paths):,} {reason} ({', '.join(one_line(str(path)) for path in paths[:_SHOWN])}"
        f"{', ...' if len(paths) > _SHOWN else ''})"
        for reason, paths in commonest[:_REASONS_SHOWN]
    ]
    if others := commonest[_REASONS_SHOWN:]:
        reasons.append(f"{sum(len(paths) for _, paths in others):,} for other reasons")
    return f"{text}: {'; '.join(reasons)}" if reasons else text


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _matches(pattern: str) -> list[str]:
    """Expands a glob; an existing part of it is taken literally."""
    if not pattern:
        return []
    if os.path.lexists(pattern):
        return [pattern]
    parents = map(str, pathlib.Path(pattern).parents)
    literal = next((parent for parent in parents if os.path.exists(parent)), ".")
    rest = os.path.relpath(pattern, literal)
    return sorted(glob.glob(os.path.join(glob.escape(literal), rest), recursive=True))


def _below(folder: str) -> Iterator[pathlib.Path]:
    """Yields the files in a folder, recursively, and links to folders, which are not followed."""
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not _is_nothing(name)]
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in [*links, *names]:
            if not _is_nothing(name):
                yield pathlib.Path(parent, name)


def _raise(error: OSError) -> NoReturn:
    raise error


def _is_nothing(name: str) -> bool:
    return name.lower() in _NOTHING or name.startswith(_NOTHING_BEGINS)


def _why_not(path: pathlib.Path) -> str | None:
    """Returns why a file is not a radiograph, by suffix or first bytes; None if it is one."""
    if not path.is_file():
        return "a link to a folder, or not a file"
    if path.suffix.lower() in (*image_file.SUFFIXES, *dicom.SUFFIXES):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(dicom.HEAD)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if dicom.is_marked(head) or image_file.has_signature(head):
        return None
    return f"no {image_file.KINDS} image and no DICOM file"


def _hint(directory: pathlib.Path, strange: str, class_names: Sequence[str] | None) -> str:
    """Suggests the folder to use instead, if it can be guessed."""
    classes = set(class_names or ())
    if classes.intersection(os.listdir(directory / strange)):
        return f": give {directory / strange}"
    if directory.name in classes:
        return f": give {directory.parent}"
    return ""
