"""The base class of the radiograph builders, which surveys, splits, writes and digests."""

import abc
import contextlib
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets.public_api as tfds
from absl import logging
from etils import epath

from cxr_command import record_index, split_table

# Relative, because `tfds build` imports this folder as a top-level package.
from . import (
    building_site,
    datasheet,
    decode,
    digests,
    disk,
    examples,
    inspection,
    on_beam,
    paths,
    refusal,
    shards,
    source,
    spool,
    survey,
)


class OpeningError(refusal.RefusedError, ValueError):
    """The configuration or version does not exist, or the dataset is damaged."""


class RadiographBuilder(tfds.core.GeneratorBasedBuilder):
    """Builds radiographs from disk, in the configurations `full` and 224x224.

    Attributes:
      CLASSES: The names of the classes; None: those of the radiographs found.
      SOURCES: The names of the sources; None: those of the radiographs found.
      HOMEPAGE: The URL of the description, or None.
      LICENSE: The terms of use, or None.
      TOLD: Answers for the datasheet, as for `datasheet.write`.
      OTHER_CONFIGS: The possible configurations besides `BUILDER_CONFIGS`, as a clause.
    """

    CLASSES: Sequence[str] | None = None
    SOURCES: Sequence[str] | None = None
    HOMEPAGE: str | None = None
    LICENSE: str | None = None
    TOLD: Mapping[str, str] = {}
    OTHER_CONFIGS: str = ""

    @abc.abstractmethod
    def _find(self, manual_dir: epath.Path, extract_dir: epath.Path) -> survey.Collection:
        """Finds the radiographs of the manual directory without opening them."""

    def __init__(self, **kwargs: Any):
        """Opens the dataset if it is built.

        Args:
          **kwargs: As for every TFDS builder.

        Raises:
          OpeningError: The configuration or version does not exist, or the dataset is damaged.
        """
        try:
            super().__init__(**kwargs)
        except (MemoryError, refusal.RefusedError):
            raise
        except Exception as error:  # TFDS, protobuf and json raise a dozen types.
            names = " or ".join(config.name for config in self.BUILDER_CONFIGS)
            reason = refusal.first_line(error).split(" Here are ")[0].removesuffix(".")
            raise OpeningError(
                f"Cannot open {self.name} in {kwargs.get('data_dir')}: {reason}. Expected "
                f"--config={names}{self.OTHER_CONFIGS and f' {self.OTHER_CONFIGS}'}."
            ) from error

    def _info(self) -> tfds.core.DatasetInfo:
        scalar, text = tfds.features.Scalar, tfds.features.Text
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    **(_original_pixels() if self._is_full else _resized_pixels()),
                    "has_mask": scalar(np.bool_, doc="Whether the radiograph has a lung mask."),
                    "label": tfds.features.ClassLabel(names=self.CLASSES),
                    "source": tfds.features.ClassLabel(
                        names=self.SOURCES, doc="The collection or site of the radiograph."
                    ),
                    "id": text(doc="Unique identifier, such as the file name."),
                    "group": text(
                        doc="Id shared by all radiographs that must be in the same split."
                    ),
                    "height": scalar(np.int32, doc="Of the image file, in pixels."),
                    "width": scalar(np.int32, doc="Of the image file, in pixels."),
                }
            ),
            supervised_keys=("image", "label"),
            homepage=self.HOMEPAGE,
            license=self.LICENSE,
        )

    @property
    def _is_full(self) -> bool:
        return self.builder_config.name == "full"

    def is_prepared(self) -> bool:
        """Whether the dataset is built; TFDS would interpret its folder's name as a pattern."""
        with refusal.in_words(f"open {self.data_dir}"):
            return paths.exists(self.data_path / "dataset_info.json")

    def download_and_prepare(self, **kwargs: Any) -> None:
        """Builds the dataset, unless it exists.

        Args:
          **kwargs: As for every TFDS builder.

        Raises:
          RefusedError: It cannot be built.
        """
        self._config = kwargs.get("download_config") or tfds.download.DownloadConfig()
        building_site.check_name(self.data_dir_root, self._is_on_beam)
        was_built = self.is_prepared()
        if was_built:
            logging.warning(
                "%s is already built and was kept; --overwrite rebuilds it.", self.data_dir
            )
        with refusal.in_words(f"build {self.info.full_name} in {self.data_dir}"):
            building_site.clear(self.data_path, was_built)
            try:
                super().download_and_prepare(**kwargs)
            except OSError as error:
                if was_built or not self.is_prepared():
                    raise
                raise building_site.overtaken(self.data_path) from error

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> None:
        """Surveys the database, builds the splits, and writes their table and digests."""
        if download_config.max_examples_per_split == 0:
            return
        keeps_pixels = not (self._is_full or self._is_on_beam)
        with building_site.marked(self.data_path):
            with spool.Spool(self.data_path) if keeps_pixels else contextlib.nullcontext() as kept:
                self._pixels = kept
                self._examples = self._survey(dl_manager)
                sizes = list(map(len, self._examples.values()))
                num_shards = shards.number(sizes, download_config.num_shards)
                download_config = download_config.replace(num_shards=num_shards)
                super()._download_and_prepare(dl_manager, download_config)
            rows = [one.row() for of_split in self._examples.values() for one in of_split]
            split_table.write(self.data_path, sorted(rows, key=lambda row: self._order[row.id]))
            # TFDS writes the same files again at the end.
            self.info.features.save_config(self.data_path)
            self._write_indexes()
            digests.write(self.data_path)
            self._write_datasheet()

    def _write_datasheet(self) -> None:
        told = dict(self.TOLD)
        if self.LICENSE:
            told["license"] = self.LICENSE
        built = [one for of_split in self._examples.values() for one in of_split]
        description = self.builder_config.description
        datasheet.write(self.data_path, self.info.full_name, description, built, told)

    def _write_indexes(self) -> None:
        """Writes an index of the records beside the shards, for random access."""
        for split, info in self.info.splits.items():
            files = [str(self.data_path / path.name) for path in info.filepaths]
            index = record_index.make(files, self.info.file_format.value)
            with (self.data_path / record_index.name_of(self.name, split)).open("wb") as file:
                np.save(file, index, allow_pickle=False)

    def _survey(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[survey.Example]]:
        """Finds the radiographs of each split, in storage order."""
        extract_dir = self._config.extract_dir or dl_manager.download_dir / "extracted"
        try:
            manual_dir = dl_manager.manual_dir
        except AssertionError as error:  # TFDS asserts that the manual directory exists.
            raise refusal.NothingToBuildError(str(error)) from error
        except NotADirectoryError as error:
            raise refusal.NothingToBuildError(
                f"{self._config.manual_dir} is a file: give the folder that holds it as "
                "--manual_dir."
            ) from error
        collection = self._find(manual_dir, epath.Path(extract_dir))
        self._name_classes(collection.radiographs)
        found = {one.radiograph.id: one for one in self._take(collection)}
        self._order = {radiograph_id: place for place, radiograph_id in enumerate(found)}
        ids = {
            split: shards.shuffled([i for i in found if found[i].split == split], split)
            for split in ("train", "validation", "test")
        }
        most = self._config.max_examples_per_split
        return {split: [found[i] for i in ids[split][:most]] for split in ids}

    def _name_classes(self, radiographs: Iterable[source.Radiograph]) -> None:
        """Sets the names of labels and sources that are not class attributes."""
        features = self.info.features
        if self.CLASSES is None:
            features["label"].names = sorted({one.label for one in radiographs})
        if self.SOURCES is None:
            features["source"].names = sorted({one.source for one in radiographs})

    def _take(self, collection: survey.Collection) -> list[survey.Example]:
        return survey.take(collection, self._inspect, keeps_files=self._is_full)

    @property
    def _is_on_beam(self) -> bool:
        return bool(self._config.beam_options or self._config.beam_runner)

    def _inspect(self, radiographs: list[source.Radiograph]) -> Iterable[inspection.Inspection]:
        expected = examples.expected_bytes(radiographs, self._is_full)
        disk.check(self.data_path, expected, f"building {self.info.full_name}")
        if not self._is_on_beam:
            return survey.inspect_here(radiographs, self._pixels)
        config, folder = self._config, self.data_path / "inspected"
        return on_beam.inspect_all(radiographs, folder, config.beam_runner, config.beam_options)

    def _example_writer(self) -> tfds.core.ExampleWriter:
        return shards.CanonicalWriter(file_format=self.info.file_format)

    def _generate_splits(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> list[tfds.core.SplitInfo]:
        if self._is_on_beam:
            return super()._generate_splits(dl_manager, download_config)
        return [
            shards.write(split, generator, len(of_split), download_config.num_shards, self)
            for (split, generator), of_split in zip(
                self._split_generators(dl_manager).items(), self._examples.values(), strict=True
            )
        ]

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {name: self._generate_examples(split) for name, split in self._examples.items()}

    def _generate_examples(self, split: list[survey.Example]) -> Any:
        if self._is_on_beam:
            return on_beam.read(split, functools.partial(examples.read_one, full=self._is_full))
        return examples.read(split, self._pixels)


def _original_pixels() -> dict[str, tfds.features.FeatureConnector]:
    return {
        # One channel, even though some files are RGB: files are stored unchanged and decoded to
        # gray.
        "image": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
        "mask": tfds.features.Tensor(
            shape=(), dtype=np.object_, doc="The lung mask's PNG file, empty if there is none."
        ),
    }


def _resized_pixels() -> dict[str, tfds.features.FeatureConnector]:
    shape = (decode.SIZE, decode.SIZE, 1)
    return {
        # Raw bytes, which training reads with parse_example and decode_raw, without decoding
        # images.
        "image": tfds.features.Tensor(
            shape=shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
        ),
        "mask": tfds.features.Tensor(
            shape=shape,
            dtype=np.uint8,
            encoding=tfds.features.Encoding.ZLIB,
            doc="1 in the lungs and 0 elsewhere, all 0 if there is no mask.",
        ),
    }
