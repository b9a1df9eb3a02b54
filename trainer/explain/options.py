"""A user's options for the export of heatmaps."""

import dataclasses
import math
from collections.abc import Sequence

from trainer.errors import UserError
from trainer.explain.methods import METHODS
from trainer.explain.selection import Selection
from trainer.settings import section, setting

# Targets that are not class names.
PREDICTED, TRUE = "predicted", "true"


@section("The radiographs")
@dataclasses.dataclass(frozen=True)
class Subject:
    """The radiographs to explain.

    Attributes:
        any_view: whether DICOM files of lateral views and of other parts of the body are read too.
        split: split of the run's dataset; None: own files instead.
        data_dir: directory of the dataset; None: the one recorded by the run.
        classes: true classes to select from the split; empty: all.
        ids: ids to select from the split; empty: all.
        answered: select only examples of the split with `correct` or `incorrect` predictions.
        per_class: maximum number of examples per class of the split; None: all.
        max_images: maximum number of radiographs; None: all.
    """

    any_view: bool = setting(False, "Of DICOM files, lateral views and other body parts too.")
    split: str | None = setting(None, "Split of the run's dataset to explain.")
    data_dir: str | None = setting(None, "Where the dataset lies; default: where the run found it.")
    classes: tuple[str, ...] = setting((), "Of the split, only radiographs of these true classes.")
    ids: tuple[str, ...] = setting((), "Of the split, only these ids.")
    answered: str = setting(
        "any", "Of the split, only these answers.", choices=("any", "correct", "incorrect")
    )
    per_class: int | None = setting(
        None, "Of the split, so many of each class.", within=(1, math.inf)
    )
    max_images: int | None = setting(None, "Explain at most so many images.", within=(1, math.inf))

    @property
    def selection(self) -> Selection:
        """Returns the selection from the split."""
        return Selection(self.classes, self.ids, self.answered, self.per_class, self.max_images)


@section("The heatmaps")
@dataclasses.dataclass(frozen=True)
class Heatmaps:
    """Options of the heatmaps.

    Attributes:
        method: a key of `METHODS`.
        layer: name of the layer to explain; None: the last convolutional one.
        target: the class to explain: `predicted`, `true`, or a class's name.
    """

    method: str = setting("gradcam", "How heatmaps are made.", choices=METHODS)
    layer: str | None = setting(None, "Layer to explain at; default: the last convolutional one.")
    target: str = setting(PREDICTED, "Class to explain: predicted, true, or a class's name.")


@section("The gallery")
@dataclasses.dataclass(frozen=True)
class Checks:
    """Options of the checks beside the heatmaps.

    Attributes:
        masks_dir: a folder of `CLASS/masks/ID.png` and `CLASS/findings/ID.png`; None: none.
        curves: whether to measure deletion and insertion, with 52 predictions per image.
        seed: seed of random heatmaps and shuffled weights.
        note: a remark at the top of the gallery.
    """

    masks_dir: str | None = setting(None, "Folder of CLASS/masks/ID.png and CLASS/findings/ID.png.")
    curves: bool = setting(True, "Draw deletion and insertion curves, 52 answers an image.")
    seed: int = setting(0, "Of random heatmaps and shuffled weights.", within=(0, math.inf))
    note: str = setting("", "A remark that stands at the top of the gallery.")


@dataclasses.dataclass(frozen=True)
class Options(Checks, Heatmaps, Subject):
    """All options of an export."""

    def check(self, images: Sequence[str]) -> None:
        """Rejects contradictory options.

        Args:
            images: a user's own files; empty: explain a split.

        Raises:
            UserError: the options contradict each other.
        """
        if (self.split is None) == (not images):
            raise UserError("give either --split=SPLIT or --images=GLOB")
        given = [name for name in ("classes", "ids", "per_class") if getattr(self, name)]
        if self.answered != "any":
            given.append("answered")
        if images and given:
            raise UserError(
                f"--{given[0]} chooses from a --split; own --images have no known class"
            )
        if images and self.target == TRUE:
            raise UserError("--target=true needs a --split; the class of own --images is not known")

    def target_among(self, class_names: Sequence[str]) -> int | str:
        """Returns the class to explain, or `predicted` or `true`.

        Raises:
            UserError: the class does not exist.
        """
        if self.target in (PREDICTED, TRUE):
            return self.target
        if self.target not in class_names:
            raise UserError(
                f"--target={self.target}: there is no such class; expected predicted, true or one "
                f"of {', '.join(class_names)}"
            )
        return class_names.index(self.target)
