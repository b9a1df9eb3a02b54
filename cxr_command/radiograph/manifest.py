"""A table of radiographs, one per line, with paths and metadata.

    path,label,patient,site,sex,age,view,device
    scans/0001.dcm,Normal,P17,North,F,61,PA,DX-D 300

A CSV file in UTF-8 with a header; columns may have any order and case, and are separated by commas,
semicolons or tabs. Paths are absolute or relative to the table's folder. `COLUMNS` describes the
columns; an empty cell means unknown.
"""

import dataclasses
import io
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterator, Sequence

from cxr_command import csv_file
from cxr_command.foreign_text import first_line, one_line, spelling

COLUMNS = {
    "path": "the image file",
    "label": "its class",
    "patient": "pseudonym of the patient",
    "site": "hospital or site",
    "sex": "the patient's",
    "age": "the patient's, in years",
    "view": "such as PA, AP or lateral",
    "device": "X-ray device",
    "group": "shared by radiographs that belong together for another reason",
    "split": "train, validation or test",
    "mask": "the image file of its lung mask",
}
SPLITS = ("train", "validation", "test")
# Columns of names, in which two spellings would be two classes, patients or sites.
_NAMES = ("label", "patient", "site", "sex", "view", "device", "group")
# Values for an empty cell in tables of R, pandas and people.
_NOT_KNOWN = {"na", "n/a", "nan", "null", "none", "unknown", "-", "?"}
_SHOWN = 20
_OLDEST = 130


class ManifestError(ValueError):
    """A table cannot be used; the message says what was found, expected, and what to do."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One radiograph of a table; unknown texts are empty.

    Attributes:
        line: line number in the table, from 1.
        path: path as written in the table.
        label: name of the class.
        patient: pseudonym of the patient.
        site: hospital or site.
        sex: sex of the patient.
        age: age in years, such as 61 or 0.5.
        view: view, such as PA, AP or lateral.
        device: X-ray device.
        group: equal for radiographs that must stay together for another reason.
        split: train, validation or test.
        mask: path of the lung mask.
    """

    line: int
    path: str
    label: str = ""
    patient: str = ""
    site: str = ""
    sex: str = ""
    age: str = ""
    view: str = ""
    device: str = ""
    group: str = ""
    split: str = ""
    mask: str = ""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The content of a table.

    Attributes:
        folder: folder that relative paths refer to.
        cases: its radiographs, in the order of the table.
        columns: the columns of `COLUMNS` that it has.
        unknown: its other columns, which are ignored.
    """

    folder: pathlib.Path
    cases: list[Case]
    columns: tuple[str, ...]
    unknown: tuple[str, ...]


def read(path: pathlib.Path, required: Sequence[str] = ("path",)) -> Manifest:
    """Reads a table and checks that its files exist, without opening them.

    Args:
        path: the CSV file.
        required: columns in which no cell may be empty.

    Returns:
        The content of the table.

    Raises:
        ManifestError: the table is invalid; the message lists all invalid lines.
        OSError: the operating system could not read the file.
    """
    try:
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # Byte order mark.
        lines = io.StringIO(content.decode("utf-8"), newline="")
        header, *rows = list(csv_file.spreadsheet_rows(lines)) or [[]]
    except FileNotFoundError as error:
        raise ManifestError(f"no manifest found at {path}") from error
    except ValueError as error:
        raise ManifestError(
            f"{path} cannot be read ({one_line(first_line(error))}): save it as CSV in UTF-8"
        ) from error
    names = [name.strip().lower() for name in header]
    _check_header(path, names, required)
    cases, mistakes = [], []
    for line, row in enumerate(rows, start=2):
        if any(map(str.strip, row)):
            values = dict(zip(names, map(str.strip, row), strict=False))
            values |= {name: unicodedata.normalize("NFC", values.get(name, "")) for name in _NAMES}
            cases.append(Case(line, **{name: values.get(name, "") for name in COLUMNS}))
            if len(row) != len(names):
                mistakes.append(f"line {line}: {len(row)} cells, expected {len(names)}")
    mistakes += [text for case in cases for text in _mistakes(case, path.parent, required)]
    mistakes += [*_twice(cases, path.parent), *_spelled_otherwise(cases)]
    if not cases:
        mistakes.append("no radiograph: expected a line for each below the header")
    if mistakes:
        raise ManifestError(f"{path} has {_listed(mistakes)}")
    known = tuple(name for name in COLUMNS if name in names)
    return Manifest(path.parent, cases, known, tuple(n for n in names if n and n not in COLUMNS))


def _check_header(path: pathlib.Path, names: list[str], required: Sequence[str]) -> None:
    others = [name for name in COLUMNS if name not in required]
    expected = f"expected {', '.join(required)} and any of {', '.join(others)}"
    found = one_line(", ".join(names)) or "none"
    if missing := [name for name in required if name not in names]:
        raise ManifestError(f"{path} has no column {missing[0]} (its header: {found}); {expected}")
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise ManifestError(f"{path} has the column {twice[0]} twice; rename one of them")
    for column in COLUMNS:
        alike = [name for name in names if column not in names and _means(name, column)]
        if alike:  # If ignored, `patient_id` could leave a patient in two splits.
            raise ManifestError(
                f"{path} has the unknown column {one_line(alike[0])!r}: name it {column!r} "
                f"({COLUMNS[column]}), or remove it"
            )


def _means(name: str, column: str) -> bool:
    """Whether a name, such as `patient_id` or `patientid`, seems to mean a column."""
    is_in_front = len(column) > 3 and name.startswith(column)
    return is_in_front or column in re.findall("[a-z]+", name)


def _mistakes(case: Case, folder: pathlib.Path, required: Sequence[str]) -> Iterator[str]:
    empty = [name for name in required if not getattr(case, name)]
    if empty:
        yield f"line {case.line}: no {' and no '.join(empty)}"
    for file in filter(None, (case.path, case.mask)):
        if not os.path.isfile(folder / file):
            hint = "; write / between folders" if "\\" in file else ""
            yield f"line {case.line}: there is no file {one_line(file)}{hint}"
    for name in ("patient", "group"):  # Unrelated radiographs would become one patient.
        if (text := getattr(case, name)).lower() in _NOT_KNOWN:
            yield f"line {case.line}: the {name} is {text!r}; leave the cell empty if not known"
    for name in ("label", "site"):  # They name classes, which are listed one per line.
        if one_line(text := getattr(case, name)) != text:
            yield f"line {case.line}: the {name} {one_line(text)!r} has unprintable characters"
    if case.age and not _is_age(case.age):
        yield (
            f"line {case.line}: the age is {one_line(case.age)!r}, expected years, such as 61, or "
            "an empty cell"
        )
    if case.split and case.split not in SPLITS:
        yield (
            f"line {case.line}: the split is {one_line(case.split)!r}, expected one of "
            f"{', '.join(SPLITS)}"
        )


def _is_age(text: str) -> bool:
    try:
        return 0 <= float(text) <= _OLDEST
    except ValueError:
        return False


def _twice(cases: list[Case], folder: pathlib.Path) -> Iterator[str]:
    """Yields files that are listed twice, possibly by different paths."""
    first: dict[str, int] = {}
    for case in cases:
        line = first.setdefault(os.path.abspath(folder / case.path), case.line)
        if case.path and line != case.line:
            yield f"line {case.line}: {one_line(case.path)} stands in line {line} too"


def _spelled_otherwise(cases: list[Case]) -> Iterator[str]:
    """Yields names with several spellings in a table, which would count as different names."""
    for name in _NAMES:
        of_text: dict[str, Case] = {}
        for case in cases:
            of_text.setdefault(getattr(case, name), case)
        first: dict[str, tuple[str, Case]] = {}
        for text, case in of_text.items():
            known, before = first.setdefault(spelling(text), (text, case))
            if text != known:
                yield (
                    f"line {case.line}: the {name} {text!r} is spelled {known!r} in line "
                    f"{before.line}; spell it one way, or rename one if they are two"
                )


def _listed(mistakes: list[str]) -> str:
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes):,} mistakes"
    more = len(mistakes) - _SHOWN
    shown = mistakes[:_SHOWN] + ([f"and {more:,} more"] if more > 0 else [])
    return f"{count}:\n" + "\n".join(f"  {text}" for text in shown)
