"""A user's options for the evaluation of runs."""

import dataclasses
import math

from trainer.errors import UserError
from trainer.settings import section, setting


@section("What is evaluated")
@dataclasses.dataclass(frozen=True)
class Subject:
    """The radiographs to predict, and how.

    Attributes:
        split: split of the runs' dataset; None: `test`, or the held-out fold.
        data_dir: directory of the dataset; None: the one recorded by the runs.
        images_dir: a folder of own images instead, with one sub-folder per class.
        manifest: a CSV file of own images instead.
        any_view: whether DICOM files of lateral views and of other parts of the body are read too.
        ensemble: whether to evaluate the mean of the runs' probabilities as well.
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
        """Whether the user's own images are evaluated instead of a split of a dataset."""
        return bool(self.images_dir or self.manifest)

    def check(self, runs: int) -> None:
        """Rejects contradictory options.

        Args:
            runs: number of runs to evaluate.

        Raises:
            UserError: the options contradict each other.
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
    """Options for the content of the report besides the metrics.

    Attributes:
        positive_class: class of the operating point; None: the first.
        prevalence: prevalences to compute PPV and NPV for.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
        note: a remark at the top of the report.
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
    """All options of an evaluation."""
