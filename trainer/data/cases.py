"""Labelled radiographs listed in a table, with patient, site and acquisition attributes."""

import pathlib
from collections.abc import Sequence

import numpy as np
from absl import logging

from cxr_command.radiograph import links, manifest
from cxr_command.radiograph.account import Account
from trainer.data import own_files
from trainer.data.examples import Examples
from trainer.errors import UserError
from trainer.parsing import unreadable

ATTRIBUTES = ("site", "sex", "age", "view", "device")
_UNKNOWN = "unknown"
_NOT_READ = ("split", "mask")
# The first year of every age group except the first group.
_AGES = (18, 40, 60, 80)


def load_manifest(
    path: pathlib.Path,
    class_names: Sequence[str],
    image_shape: tuple[int, int, int],
    *,
    any_view: bool = False,
) -> Examples:
    """Reads the radiographs listed in a table.

    Args:
        path: the CSV file with the columns path and label; `manifest` lists the optional columns.
        class_names: names of the classes; each label must be one of them.
        image_shape: `[height, width, 1]` to resize to.
        any_view: whether DICOM files of lateral views and of other parts of the body are read too.

    Returns:
        The examples; `ids` are the paths in the table, `sources` the sites, and `groups` the
        patients.

    Raises:
        UserError: the table is invalid, or none of its files can be read.
        Unreadable: a file could not be read but may be intact.
    """
    table = _read(path, class_names)
    account, files = Account(), [table.folder / case.path for case in table.cases]
    images, rows = own_files.read_all(files, image_shape, account, any_view=any_view)
    if not rows:
        raise UserError(f"--manifest={path}: {account.told()}")
    cases = [table.cases[row] for row in rows]
    return Examples(
        class_names=tuple(class_names),
        ids=np.array([case.path for case in cases]),
        labels=np.array([class_names.index(case.label) for case in cases]),
        images=images,
        sources=_known([case.site for case in cases]),
        groups=_groups(table, cases),
        account=account,
        attributes={
            name: _of_attribute(name, cases) for name in ATTRIBUTES if name in table.columns
        },
    )


def _read(path: pathlib.Path, class_names: Sequence[str]) -> manifest.Manifest:
    try:
        table = manifest.read(path, required=("path", "label"))
    except manifest.ManifestError as error:
        raise UserError(f"--manifest: {error}") from error
    except OSError as error:
        raise unreadable(str(path), error.strerror or str(error)) from error
    strange = [case for case in table.cases if case.label not in class_names]
    if strange:
        raise UserError(
            f"--manifest={path} has the label {strange[0].label!r} in line {strange[0].line}, "
            f"which is not a class of the run; expected one of {', '.join(class_names)}"
        )
    if unread := [*table.unknown, *(name for name in _NOT_READ if name in table.columns)]:
        logging.warning("%s: the columns %s are not read", path, ", ".join(unread))
    return table


def _groups(table: manifest.Manifest, cases: Sequence[manifest.Case]) -> np.ndarray | None:
    """Returns each case's patient, merged with those of the same group; None if unknown."""
    if {"patient", "group"}.isdisjoint(table.columns):
        return None
    of_case = {
        case.path: [
            f"{name} {value}"
            for name, value in (("patient", case.patient), ("group", case.group))
            if value
        ]
        for case in cases
    }
    return np.array([*links.join({name: name for name in of_case}, of_case).values()])


def _of_attribute(name: str, cases: Sequence[manifest.Case]) -> np.ndarray:
    values = [getattr(case, name) for case in cases]
    if name == "age":
        values = [age_group(value) if value else value for value in values]
    return np.array([value or _UNKNOWN for value in values])


def age_group(years: str) -> str:
    """Returns the age group: 0-17, 18-39, 40-59, 60-79 or 80+.

    Args:
        years: age in years, such as 61 or 0.5.
    """
    first = [0, *_AGES]
    place = int(np.searchsorted(_AGES, float(years), side="right"))
    return f"{first[place]}-{_AGES[place] - 1}" if place < len(_AGES) else f"{first[place]}+"


def _known(values: list[str]) -> np.ndarray | None:
    return np.array(values) if any(values) else None
