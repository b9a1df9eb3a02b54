"""The examples to explain: a selection from a split, or a user's own files."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from cxr_command.foreign_text import as_unicode
from cxr_command.radiograph.account import Account
from trainer.data import own_files
from trainer.data.examples import Example, Examples
from trainer.data.mask_folder import MaskFolder
from trainer.errors import UserError


@dataclasses.dataclass(frozen=True)
class Selection:
    """Criteria for examples of a split; None means no restriction.

    Attributes:
        classes: names of the true classes.
        ids: ids of the examples.
        answered: `any`, `correct` or `incorrect`.
        per_class: maximum number of each true class, in order.
        most: maximum number in total, in order.
    """

    classes: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    answered: str = "any"
    per_class: int | None = None
    most: int | None = None

    def check(self, examples: Examples) -> None:
        """Raises `UserError` for a class or an id that does not occur in the examples."""
        for name in self.classes or ():
            if name not in examples.class_names:
                raise UserError(
                    f"--classes: unknown class {name!r}; expected some of "
                    f"{', '.join(examples.class_names)}"
                )
        if unknown := [name for name in self.ids or () if name not in set(examples.ids)]:
            raise UserError(
                f"--ids: the split has no {', '.join(unknown)}; its ids look like "
                f"{', '.join(examples.ids[:3])}"
            )

    def rows(self, examples: Examples, predicted: np.ndarray | None) -> np.ndarray:
        """Returns the selected rows, in order.

        Args:
            examples: the examples of a split.
            predicted: `[examples] int`, the predicted classes; not needed if `answered` is `any`.

        Returns:
            `[taken] int`.

        Raises:
            UserError: no example matches.
        """
        taken = np.ones(len(examples.ids), bool)
        if self.classes:
            taken &= np.isin(np.array(examples.class_names)[examples.labels], self.classes)
        if self.ids:
            taken &= np.isin(examples.ids, self.ids)
        if self.answered != "any":
            taken &= (predicted == examples.labels) == (self.answered == "correct")
        if self.per_class:
            for label in range(len(examples.class_names)):
                of_class = np.flatnonzero(taken & (examples.labels == label))
                taken[of_class[self.per_class :]] = False
        rows = np.flatnonzero(taken)[: self.most]
        if not len(rows):
            raise UserError(
                f"none of the {len(examples.ids)} radiographs of the split is left to explain "
                "after --classes, --ids and --answered; ask for less"
            )
        return rows


def selected(examples: Examples, rows: np.ndarray, masks: MaskFolder | None) -> Iterator[Example]:
    """Iterates over the examples in some rows, adding masks.

    Args:
        examples: the examples of a split.
        rows: `[taken] int`.
        masks: masks named after the ids; the split's own lung masks take precedence.

    Yields:
        One example per row.
    """
    for example in examples.take(rows):
        yield masks.add_to(example, example.id) if masks else example


def examples_of_files(
    paths: Sequence[pathlib.Path],
    image_shape: Sequence[int],
    masks: MaskFolder | None,
    account: Account,
    *,
    any_view: bool = False,
) -> Iterator[Example]:
    """Iterates over a user's own files; those that are not radiographs are reported and skipped.

    Args:
        paths: the files.
        image_shape: `[height, width, 1]` to resize to.
        masks: masks named after the files.
        account: counts files read and skipped.
        any_view: whether DICOM files of lateral views and of other parts of the body are read too.

    Yields:
        One example per radiograph.
    """
    for position, image in own_files.read(paths, image_shape, account, any_view=any_view):
        path = paths[position]
        example = Example(as_unicode(path.name), as_unicode(str(path)), None, image)
        yield masks.add_to(example, path.stem) if masks else example
