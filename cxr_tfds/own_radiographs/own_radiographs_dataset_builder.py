"""Your own radiographs, in class folders or listed in a manifest."""

import json
import re
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets.public_api as tfds
from etils import epath

from cxr_tfds.covid19_radiography import radiograph_builder, refusal, survey

# Relative, because `tfds build` imports this folder as a top-level package.
from . import collection


class OptionError(refusal.RefusedError, ValueError):
    """An option does not exist, or has an invalid value."""


class Configuration(tfds.core.BuilderConfig):
    """How to build: `--config='{"name": "external", "test_sites": ["North", "South"]}'`.

    Attributes:
      test_sites: The sites whose radiographs are the test split; the others train and validate.
      full: Whether to keep the radiographs' size instead of resizing them to 224x224.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        test_sites: Sequence[str] = (),
        full: bool = False,
        **unknown: object,
    ):
        """Creates a configuration from the option `--config`, as TFDS does.

        Args:
          name: The name of the configuration, by which training refers to it.
          test_sites: The test sites, at least one.
          full: Whether to keep the radiographs' size.
          **unknown: Unknown options, which are rejected.

        Raises:
          OptionError: An option does not exist, or has an invalid value.
        """
        if unknown:
            raise OptionError(
                f"--config has no option {', '.join(unknown)}; expected name, test_sites and full."
            )
        if not isinstance(name, str) or not re.fullmatch(r"[\w+.-]+", name, re.ASCII):
            found = "no name" if name is None else f"the name {name!r}"
            raise OptionError(
                f"--config has {found}; expected one of letters, digits, . + - _ such as "
                f"{refusal.EXAMPLE}"
            )
        is_list = isinstance(test_sites, list | tuple)
        if not is_list or not all(isinstance(site, str) for site in test_sites):
            raise OptionError(f'test_sites is {test_sites!r}; expected a list: ["North", "South"]')
        if not isinstance(full, bool):
            raise OptionError(f"full is {full!r}; expected true or false")
        size = "Grayscale, in the original size." if full else "Grayscale, resized to 224x224."
        sites = f" Test sites: {', '.join(sorted(set(test_sites)))}." if test_sites else ""
        super().__init__(name=name, description=size + sites)
        self.test_sites = tuple(test_sites)
        self.full = full


class Builder(radiograph_builder.RadiographBuilder):
    """Your own radiographs, in class folders or listed in a manifest."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = collection.INSTRUCTIONS
    OTHER_CONFIGS = f"or, to test on sites, {refusal.EXAMPLE}"
    BUILDER_CONFIGS = [Configuration("full", full=True), Configuration("224x224")]

    @property
    def _is_full(self) -> bool:
        return self.builder_config.full

    def download_and_prepare(self, **kwargs: Any) -> None:
        """Builds the dataset, unless it exists.

        Args:
          **kwargs: As for every TFDS builder.

        Raises:
          RefusedError: It cannot be built, or exists with other test sites.
        """
        if self.is_prepared():
            with refusal.in_words(f"open {self.data_dir}"):
                info = json.loads((self.data_path / "dataset_info.json").read_text())
            built, wanted = info.get("configDescription", ""), self.builder_config.description
            if built != wanted:
                raise OptionError(
                    f"{self.data_dir} is built otherwise ({built.rstrip('.')}), and is to be "
                    f"({wanted.rstrip('.')}): give --config another name, or --overwrite."
                )
        super().download_and_prepare(**kwargs)

    def _find(self, manual_dir: epath.Path, extract_dir: epath.Path) -> survey.Collection:
        return collection.find(manual_dir, self.builder_config.test_sites)
