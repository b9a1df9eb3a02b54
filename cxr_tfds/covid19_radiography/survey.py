"""Surveys a copy of the database before the build: validity, duplicates and splits.

Splits can only be assigned after all images have been read, so a build reads the images twice. In
between, memory only holds their hashes; pixels needed later are stored on disk.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from absl import logging
from etils import epath
from tensorflow_datasets.core import utils

from cxr_command import split_table
from cxr_command.radiograph import links

from . import (
    decode,
    duplicates,
    faults,
    inspection,
    parallel,
    paths,
    source,
    splits,
    spool,
)

_DEPTH = faults.Kind.DEPTH
REMEDY = "Replace these files by those of the Kaggle download, or remove them"
Inspector = Callable[[list[source.Radiograph]], Iterable[inspection.Inspection]]


@dataclasses.dataclass(frozen=True)
class Example:
    """One example of the dataset to be built.

    Attributes:
      radiograph: Its files, label and source.
      group: The id that names its group of duplicates.
      split: "train", "validation" or "test".
      sha256: The SHA-256 of the image file, hexadecimal.
      height: The height of the image, in pixels.
      width: The width of the image, in pixels.
    """

    radiograph: source.Radiograph
    group: str
    split: str
    sha256: str
    height: int
    width: int

    def row(self) -> split_table.Row:
        """Returns its row of the table of splits."""
        radiograph = self.radiograph
        return split_table.Row(
            radiograph.id,
            radiograph.label,
            radiograph.source,
            self.split,
            self.group,
            self.sha256,
        )


@dataclasses.dataclass(frozen=True)
class Collection:
    """Radiographs that were found but not yet opened.

    Attributes:
      folder: The folder of the radiographs.
      radiographs: The radiographs, in the order of the table of splits.
      faults: The faults of folders and names.
      assign: Assigns the radiographs to splits, as `splits.assign` does.
      remedy: What to do about files that stop a build, as a clause.
    """

    folder: epath.Path
    radiographs: list[source.Radiograph]
    faults: list[faults.Fault]
    assign: Callable[[dict[str, str], dict[str, str]], dict[str, str]] = splits.assign
    remedy: str = REMEDY


def take(collection: Collection, inspect_all: Inspector, *, keeps_files: bool) -> list[Example]:
    """Inspects every file of a collection, and logs faults that do not stop the build.

    Args:
      collection: The radiographs found.
      inspect_all: Inspects radiographs, in any order.
      keeps_files: Whether files are stored unchanged, so that readers take the upper 8 bits of
        16-bit ones.

    Returns:
      The examples in the order of the collection.

    Raises:
      DatabaseError: A fault stops the build; the message lists all of them.
      ValueError: There are too few radiographs for three splits.
    """
    wrong = list(collection.faults)
    inspections = {one.id: one for one in inspect_all(collection.radiographs)}
    radiographs, shallow = _of_one_depth(collection.radiographs, inspections)
    deep = [one for one in radiographs if one.depth]
    if keeps_files and deep and deep[0].is_published and deep[0].depth != 16:
        found = f"{deep[0].depth} bits"
        wrong += [faults.Fault(f"{one.label}/images/{one.id}.png", _DEPTH, found) for one in deep]
    elif shallow:
        inspections |= {one.id: one for one in inspect_all(shallow)}
    wrong += [fault for one in inspections.values() for fault in one.faults]
    faults.stop_if_any(wrong, collection.folder, collection.remedy)
    if wrong:
        told = paths.printable(faults.describe(wrong))
        logging.warning("The files in %s:\n%s", paths.printable(collection.folder), told)
    return _examples(radiographs, inspections, collection.assign)


def _of_one_depth(
    radiographs: list[source.Radiograph], inspections: dict[str, inspection.Inspection]
) -> tuple[list[source.Radiograph], list[source.Radiograph]]:
    """Returns all radiographs with the greatest 16-bit depth, and those inspected with another."""
    depth = max((one.depth for one in inspections.values()), default=0)
    if not depth:
        return radiographs, []
    logging.info("The 16-bit files use %d bits: 0 to %d is shown.", depth, 2**depth - 1)
    of_one = [
        dataclasses.replace(one, depth=depth) if inspections[one.id].depth else one
        for one in radiographs
    ]
    return of_one, [one for one in of_one if one.depth and inspections[one.id].depth != depth]


def inspect_here(
    radiographs: list[source.Radiograph], keep: spool.Spool | None = None
) -> Iterator[inspection.Inspection]:
    """Inspects radiographs on all cores of this machine, showing the progress.

    Args:
      radiographs: The radiographs to inspect.
      keep: The spool for their resized pixels, if they will be needed.

    Yields:
      The inspections, in order.
    """
    inspected = parallel.bounded_map(_inspect_and_resize if keep else _inspect, radiographs)
    for found, pixels in utils.tqdm(
        inspected,
        desc="Checking radiographs...",
        total=len(radiographs),
        unit=" radiographs",
        leave=False,
        mininterval=1.0,
    ):
        if keep and pixels:
            keep.add(found.id, *pixels)
        yield found


def _inspect(radiograph: source.Radiograph) -> tuple[inspection.Inspection, None]:
    return inspection.inspect(radiograph), None


def _inspect_and_resize(
    radiograph: source.Radiograph,
) -> tuple[inspection.Inspection, tuple[np.ndarray, np.ndarray] | None]:
    found, image, mask = inspection.look(radiograph)
    is_sound = not any(fault.kind.stops for fault in found.faults)
    return found, decode.resize_pair(image, mask) if is_sound else None


def _examples(
    radiographs: list[source.Radiograph],
    inspections: dict[str, inspection.Inspection],
    assign: Callable[[dict[str, str], dict[str, str]], dict[str, str]],
) -> list[Example]:
    found = {radiograph.id: inspections[radiograph.id] for radiograph in radiographs}
    group_of = duplicates.group(
        {radiograph_id: one.pixels for radiograph_id, one in found.items()},
        {radiograph_id: bytes.fromhex(one.fingerprint) for radiograph_id, one in found.items()},
    )
    labels = {radiograph.id: radiograph.label for radiograph in radiographs}
    _tell_of_two_labels(labels, group_of)
    group_of = links.join(group_of, {one.id: one.links for one in radiographs})
    # Groups are named after their content, so that assignments do not depend on file names.
    content: dict[str, str] = {}
    for radiograph_id, group in group_of.items():
        content[group] = min(content.get(group, "~"), found[radiograph_id].pixels)
    split_of = assign(labels, {i: content[group] for i, group in group_of.items()})
    return [
        Example(
            radiograph=radiograph,
            group=group_of[radiograph.id],
            split=split_of[radiograph.id],
            sha256=found[radiograph.id].sha256,
            height=found[radiograph.id].height,
            width=found[radiograph.id].width,
        )
        for radiograph in radiographs
    ]


def _tell_of_two_labels(labels: dict[str, str], group_of: dict[str, str]) -> None:
    """Logs copies of one image in two classes, one of which must be wrong."""
    torn = [(group, one) for one, group in group_of.items() if labels[one] != labels[group]]
    if torn:
        (first, other), *_ = torn
        logging.warning(
            "Images duplicated under another class: %d, such as %s (%s) and %s (%s).",
            *(len(torn), first, labels[first], other, labels[other]),
        )
