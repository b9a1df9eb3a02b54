"""What a user can choose of an evaluation of runs."""

import dataclasses
import math

from trainer.errors import UserError
from trainer.settings import section, setting


@section("What is evaluated")
@dataclasses.dataclass(frozen=True)
class Subject:
    """Which radiographs are predicted, and how.

    Attributes:
        split: of the runs' dataset; None: `test`, or the fold held out.
        data_dir: where the dataset lies; None: where the runs found it.
        images_dir: a folder of own images instead, one sub-folder for each class.
        manifest: a CSV file of own images instead.
        any_view: whether DICOM files of lateral views and of other parts of the body are read too.
        ensemble: whether the mean of the runs' probabilities is evaluated too.
        tta: test-time augmentation.
    """

    split: str | None = setting(None, "Split to evaluate on; default: test, or the fold held out.")
    data_dir: str | None = setting(None, "Data directory of the dataset; default: that of the run.")
    images_dir: str | None = setting(None, "Folder of your own images, one sub-folder per class.")
    manifest: str | None = setting(
        None, "CSV file of your own images: path, label, patient, site, ..."
    )
    any_view: bool = setting(False, "Also read DICOM files of lateral views and other body parts.")
    ensemble: bool = setting(False, "Also evaluate the mean of the runs' probabilities.")
    tta: str = setting("none", "Average with the flipped radiograph.", choices=("none", "flip"))

    @property
    def are_own(self) -> bool:
        """Whether a user's own images are evaluated, and not a split of a dataset."""
        return bool(self.images_dir or self.manifest)

    def check(self, runs: int) -> None:
        """Refuses what contradicts itself.

        Args:
            runs: how many are evaluated.

        Raises:
            UserError: it does.
        """
        if not runs:
            raise UserError("there is no run to evaluate: give --workdir")
        if sum(map(bool, (self.split, self.images_dir, self.manifest))) > 1:
            raise UserError("give one of --split=SPLIT, --images_dir=DIR and --manifest=CSV")
        if self.ensemble and runs < 2:
            raise UserError("--ensemble averages several runs; give --workdir more than once")


@section("The report")
@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What the report says beside the metrics.

    Attributes:
        positive_class: of the operating point; None: the first.
        prevalence: shares of a class to give PPV and NPV for.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        note: a remark that stands at the top.
    """

    positive_class: str | None = setting(None, "Class of the operating point; default: the first.")
    prevalence: tuple[float | str, ...] = setting(
        (), "Prevalences, such as 0.02,0.1, at which to report PPV and NPV."
    )
    resamples: int = setting(2000, "Number of bootstrap resamples.", within=(100, math.inf))
    seed: int = setting(0, "Seed of the bootstrap.", within=(0, math.inf))
    note: str = setting("", "Note at the top of the report.")


@dataclasses.dataclass(frozen=True)
class Options(ReportOptions, Subject):
    """All of them."""
