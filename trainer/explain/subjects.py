"""The radiographs that are explained, with what is known of each, and which of them to take."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from cxr_command.foreign_text import as_unicode
from trainer.data.cases import Cases
from trainer.data.mask_folder import MaskFolder
from trainer.data.radiographs import read_radiograph
from trainer.errors import Damaged, UserError


@dataclasses.dataclass(frozen=True)
class Subject:
    """One radiograph.

    Attributes:
        id: the example's id, or the file's name.
        source: the collection it was taken from, or the file's path; empty if nobody knows.
        label: its true class, None if nobody knows.
        image: `[H, W, 1] uint8`.
        lungs: `[H, W] bool`, None if nobody drew them.
        finding: `[H, W] bool`, None if there is none or nobody drew it.
    """

    id: str
    source: str
    label: int | None
    image: np.ndarray
    lungs: np.ndarray | None = None
    finding: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which cases of a split to take; what is None chooses nothing.

    Attributes:
        classes: names of true classes.
        ids: ids.
        answered: `any`, `correct` or `incorrect`.
        per_class: so many of each true class, the first ones.
        most: so many in all, the first ones.
    """

    classes: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    answered: str = "any"
    per_class: int | None = None
    most: int | None = None

    def check(self, cases: Cases) -> None:
        """Raises `UserError` for a class or an id that the cases do not have."""
        for name in self.classes or ():
            if name not in cases.class_names:
                raise UserError(
                    f"--classes: there is no class {name!r}; expected some of "
                    f"{', '.join(cases.class_names)}"
                )
        if unknown := [name for name in self.ids or () if name not in set(cases.ids)]:
            raise UserError(
                f"--ids: the split has no {', '.join(unknown)}; its ids look like "
                f"{', '.join(cases.ids[:3])}"
            )

    def rows(self, cases: Cases, predicted: np.ndarray | None) -> np.ndarray:
        """The cases to take, in their order.

        Args:
            cases: of a split.
            predicted: `[cases] int`, the model's answers; not needed if `answered` is `any`.

        Returns:
            `[taken] int`.

        Raises:
            UserError: there are none.
        """
        taken = np.ones(len(cases.ids), bool)
        if self.classes:
            taken &= np.isin(np.array(cases.class_names)[cases.labels], self.classes)
        if self.ids:
            taken &= np.isin(cases.ids, self.ids)
        if self.answered != "any":
            taken &= (predicted == cases.labels) == (self.answered == "correct")
        if self.per_class:
            for label in range(len(cases.class_names)):
                taken[np.flatnonzero(taken & (cases.labels == label))[self.per_class :]] = False
        rows = np.flatnonzero(taken)[: self.most]
        if not len(rows):
            raise UserError(
                f"none of the {len(cases.ids)} radiographs of the split is left to explain after "
                "--classes, --ids and --answered; ask for less"
            )
        return rows


def subjects_of_cases(
    cases: Cases, rows: np.ndarray, drawn: MaskFolder | None
) -> Iterator[Subject]:
    """The cases in some rows.

    Args:
        cases: of a split.
        rows: `[taken] int`.
        drawn: masks drawn beside the radiographs; the split's own lungs come first.

    Yields:
        Each.
    """
    stored = {}
    if cases.masks is not None and cases.masked is not None:
        stored = dict(zip(cases.masked, cases.masks, strict=True))
    for row in rows:
        case = str(cases.ids[row])
        lungs = drawn.lungs(case) if drawn else None
        if row in stored:
            lungs = stored[row][:, :, 0]
        source = "" if cases.sources is None else str(cases.sources[row])
        finding = drawn.finding(case) if drawn else None
        yield Subject(case, source, int(cases.labels[row]), cases.images[row], lungs, finding)


def subjects_of_files(
    paths: Sequence[pathlib.Path], image_shape: Sequence[int], drawn: MaskFolder | None
) -> Iterator[Subject]:
    """A user's own files; those that are no image are reported and left out.

    Args:
        paths: the files.
        image_shape: `[height, width, 1]` to bring each to.
        drawn: masks named after the files.

    Yields:
        Each.
    """
    for path in paths:
        try:
            image = read_radiograph(path, image_shape)
            lungs = drawn.lungs(path.stem) if drawn else None
            finding = drawn.finding(path.stem) if drawn else None
        except Damaged as error:
            logging.error("left out: %s", error)
            continue
        case, source = as_unicode(path.name), as_unicode(str(path))
        yield Subject(case, source, None, image, lungs, finding)
