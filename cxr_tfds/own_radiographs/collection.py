"""A user's radiographs on disk: class folders, or a manifest with their paths."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping

from etils import epath

from cxr_command.foreign_text import as_unicode, one_line, spelling
from cxr_command.radiograph import links, listing, manifest
from cxr_tfds.covid19_radiography import paths, refusal, source, survey
from cxr_tfds.covid19_radiography.faults import Fault, Kind

from .patient_splits import UNKNOWN_SITE, PatientSplits

MANIFEST = "manifest.csv"
INSTRUCTIONS = f"""\
The manual directory (`--manual_dir`) holds a folder of radiographs for each class, however deep
they lie in it, or a table {MANIFEST} with the columns path and label, and any of
{", ".join(name for name in manifest.COLUMNS if name not in ("path", "label"))}. Lung masks lie in
folders `masks` beside the radiographs or their folder `images`, under the same names.
"""
_MISNAMED = {"manifest", MANIFEST}
_NOT_STORED = ("sex", "age", "view", "device")
_REMEDY = "Fix these files or remove them (and their lines in the manifest)"


class CollectionError(refusal.RefusedError, ValueError):
    """A folder or manifest is not a collection that can be built; the message says what to do."""


def find(manual_dir: epath.Path, test_sites: tuple[str, ...]) -> survey.Collection:
    """Lists a user's radiographs and checks that they can be split, without opening them.

    Args:
      manual_dir: The folder of the radiographs.
      test_sites: The sites to test on; empty: test on patients of all sites.

    Returns:
      The radiographs.

    Raises:
      CollectionError: The folder or the manifest is not laid out as expected.
      SplitError: They cannot be split.
    """
    if not paths.is_local(manual_dir):
        raise CollectionError(f"{manual_dir} is not on a local file system: copy it to one.")
    folder = pathlib.Path(manual_dir)
    given: Mapping[str, str] = {}
    if paths.exists(manual_dir / MANIFEST):
        radiographs, faults, given = _listed(folder)
    else:
        _refuse_other_table(folder)
        radiographs, faults = _in_folders(folder)
    _require_classes(folder, radiographs)
    assign = PatientSplits(given, {one.id: one.source for one in radiographs}, test_sites)
    # Check what is known before the images are read, so that mistakes are found early.
    alone = {one.id: one.id for one in radiographs}
    groups = links.join(alone, {one.id: one.links for one in radiographs})
    assign({one.id: one.label for one in radiographs}, groups)
    return survey.Collection(manual_dir, radiographs, faults, assign, _REMEDY)


def _listed(folder: pathlib.Path) -> tuple[list[source.Radiograph], list[Fault], dict[str, str]]:
    """Returns the radiographs of a manifest, its faults, and the splits given in it."""
    try:
        table = manifest.read(folder / MANIFEST, required=("path", "label"))
    except manifest.ManifestError as error:
        raise CollectionError(f"{error}") from error
    outside = [case for case in table.cases if any(map(_leads_out, (case.path, case.mask)))]
    if outside:
        raise CollectionError(
            f"{folder / MANIFEST} names files that do not lie below {folder}, the first of "
            f"{len(outside):,} in line {outside[0].line}: move them there, or put a link to their "
            "folder there."
        )
    radiographs = [_of_case(folder, case) for case in table.cases]
    without = [case for case in table.cases if not case.split]
    if "split" in table.columns and without:
        raise CollectionError(
            f"{folder / MANIFEST} gives {len(without):,} of {len(table.cases):,} radiographs no "
            f"split, such as line {without[0].line}: fill the column, or take it away."
        )
    given = {} if without else {_id(case): case.split for case in table.cases}
    faults = [Fault(MANIFEST, Kind.REMARK, told) for told in _told(table)]
    faults += _not_listed(folder, radiographs)
    return radiographs, faults, given


def _of_case(folder: pathlib.Path, case: manifest.Case) -> source.Radiograph:
    links_of_case = {"patient": case.patient, "group": case.group}
    return source.Radiograph(
        id=_id(case),
        label=case.label,
        source=case.site or UNKNOWN_SITE,
        image=epath.Path(folder / case.path),
        mask=epath.Path(folder / case.mask) if case.mask else None,
        is_published=False,
        links=tuple(f"{name} {value}" for name, value in links_of_case.items() if value),
    )


def _id(case: manifest.Case) -> str:
    return pathlib.PurePath(case.path).as_posix()


def _leads_out(path: str) -> bool:
    return pathlib.PurePath(path).is_absolute() or ".." in pathlib.PurePath(path).parts


def _told(table: manifest.Manifest) -> Iterator[str]:
    for name in table.unknown:
        yield f"column {one_line(name)!r} is unknown and not read"
    if kept_out := [name for name in _NOT_STORED if name in table.columns]:
        yield f"{', '.join(kept_out)}: not stored"
    if without := sum(not case.patient for case in table.cases):
        yield f"{without:,} radiographs without a patient: each counts as a separate patient"


def _not_listed(folder: pathlib.Path, radiographs: list[source.Radiograph]) -> list[Fault]:
    """Returns a fault for each radiograph in the folder that the manifest does not list."""
    named = {pathlib.Path(path) for one in radiographs for path in (one.image, one.mask) if path}
    others = [path for path in listing.find(folder).files if path not in named]
    if not others:
        return []
    found = f"{len(others):,}, such as {_below(folder, others[0])}"
    return [Fault("image files that the manifest does not list", Kind.LEFT_OUT, found)]


def _refuse_other_table(folder: pathlib.Path) -> None:
    """Rejects a misnamed manifest; without the manifest a patient could be in two splits."""
    names = sorted(os.listdir(folder))
    if found := [name for name in names if pathlib.Path(name).stem.lower() in _MISNAMED]:
        raise CollectionError(
            f"{folder} holds {one_line(found[0])} and no {MANIFEST}: save it as CSV under that "
            "name, or take it away if the folders are to be the classes."
        )


def _in_folders(folder: pathlib.Path) -> tuple[list[source.Radiograph], list[Fault]]:
    """Returns the radiographs of class folders, and the skipped files."""
    try:
        files, left_out = listing.find_by_class(folder)
    except listing.LayoutError as error:
        raise CollectionError(
            f"{folder} {error}; or list the radiographs in {folder / MANIFEST}, with the columns "
            "path and label."
        ) from error
    if flat := {"images", "masks"}.intersection(map(str.lower, files)):
        raise CollectionError(
            f"{folder} holds radiographs in the folder {min(flat)}, which names no class; expected "
            f"a folder for each class, or {MANIFEST} with the columns path and label."
        )
    masks = {_place_of_mask(path): path for path, _ in left_out if _is_mask(path)}
    radiographs, used = [], set()
    for label, paths_of_class in files.items():
        for path in paths_of_class:
            mask = masks.get(_place_of_image(path))
            used.add(mask)
            radiographs.append(_of_file(folder, path, label, mask))
    return radiographs, [*_told_of(folder, left_out, used)]


def _of_file(
    folder: pathlib.Path, path: pathlib.Path, label: str, mask: pathlib.Path | None
) -> source.Radiograph:
    return source.Radiograph(
        id=_below(folder, path),
        label=as_unicode(label),
        source=UNKNOWN_SITE,
        image=epath.Path(path),
        mask=epath.Path(mask) if mask else None,
        is_published=False,
    )


def _told_of(
    folder: pathlib.Path, left_out: Iterable[listing.LeftOut], used: set[pathlib.Path | None]
) -> Iterator[Fault]:
    yield Fault(
        str(folder), Kind.REMARK, "no manifest: each radiograph counts as a separate patient"
    )
    for path, reason in left_out:
        if _is_mask(path):
            if path not in used:
                yield Fault(_below(folder, path), Kind.MASK_ALONE)
        else:
            yield Fault(_below(folder, path), Kind.LEFT_OUT, reason)


def _is_mask(path: pathlib.Path) -> bool:
    return path.parent.name.lower() == "masks"


def _place_of_mask(path: pathlib.Path) -> pathlib.Path:
    """Returns a mask's path without its suffix, as if it were beside `masks`."""
    return path.parents[1] / path.stem


def _place_of_image(path: pathlib.Path) -> pathlib.Path:
    """Returns the same for a radiograph beside `masks`, or in `images` beside it."""
    is_beside = path.parent.name.lower() != "images"
    return (path.parent if is_beside else path.parents[1]) / path.stem


def _below(folder: pathlib.Path, path: pathlib.Path) -> str:
    return as_unicode(path.relative_to(folder).as_posix())


def _require_classes(folder: pathlib.Path, radiographs: list[source.Radiograph]) -> None:
    if len(labels := {one.label for one in radiographs}) == 1:
        raise CollectionError(
            f"{folder} holds radiographs of one class alone, {labels.pop()}; expected two or more. "
            "If its sub-folders are the classes, give that folder as --manual_dir."
        )
    known: dict[str, str] = {}
    for label in sorted(labels):
        if (other := known.setdefault(spelling(label), label)) != label:
            raise CollectionError(
                f"{folder} holds the classes {other!r} and {label!r}; use one name for each class."
            )
