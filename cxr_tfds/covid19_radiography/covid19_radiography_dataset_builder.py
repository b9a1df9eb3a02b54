"""The COVID-19 Radiography Database."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets.public_api as tfds

# Relative, because `tfds build` imports this folder as a top-level package.
from . import decode, source, splits

_LICENSE = (
    "The radiographs come from several collections, each with its own terms (see the description). "
    "For research only."
)


class Builder(tfds.core.GeneratorBasedBuilder):
    """The COVID-19 Radiography Database."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = source.DOWNLOAD_INSTRUCTIONS
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="full", description="The published PNG files, byte for byte."),
        tfds.core.BuilderConfig(
            name="224x224",
            description="Gray, resized to 224x224 and stored decoded, to train from.",
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    **(_original_pixels() if self._is_full else _resized_pixels()),
                    "has_mask": tfds.features.Scalar(
                        np.bool_, doc="Whether the radiograph has a lung mask."
                    ),
                    "label": tfds.features.ClassLabel(names=source.CLASSES),
                    "source": tfds.features.ClassLabel(
                        names=source.SOURCES, doc="The collection it was taken from."
                    ),
                    "id": tfds.features.Text(doc="The file's name without extension: COVID-137."),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
            license=_LICENSE,
        )

    @property
    def _is_full(self) -> bool:
        return self.builder_config.name == "full"

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        radiographs = source.find_radiographs(dl_manager.manual_dir)
        split_of = splits.assign({radiograph.id: radiograph.label for radiograph in radiographs})
        return {
            split: self._generate_examples([r for r in radiographs if split_of[r.id] == split])
            for split in ("train", "validation", "test")
        }

    def _generate_examples(
        self, radiographs: list[source.Radiograph]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        read = _read_original if self._is_full else _read_resized
        for radiograph, (image, mask) in zip(radiographs, read(radiographs), strict=True):
            yield (
                radiograph.id,
                {
                    "image": image,
                    "mask": mask,
                    "has_mask": radiograph.mask is not None,
                    "label": radiograph.label,
                    "source": radiograph.source,
                    "id": radiograph.id,
                },
            )


def _original_pixels() -> dict[str, tfds.features.FeatureConnector]:
    return {
        # One channel, although some files are RGB: the file is stored as it is and decoded to gray.
        "image": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
        "mask": tfds.features.Tensor(
            shape=(), dtype=np.object_, doc="The lung mask's PNG file, empty if there is none."
        ),
    }


def _resized_pixels() -> dict[str, tfds.features.FeatureConnector]:
    shape = (decode.SIZE, decode.SIZE, 1)
    return {
        # Raw bytes, which training reads with parse_example and decode_raw, decoding nothing.
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


def _read_original(radiographs: list[source.Radiograph]) -> Iterator[tuple[Any, bytes]]:
    for radiograph in radiographs:
        yield radiograph.image, radiograph.mask.read_bytes() if radiograph.mask else b""


def _read_resized(radiographs: list[source.Radiograph]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    images = [str(radiograph.image) for radiograph in radiographs]
    masks = [str(radiograph.mask or "") for radiograph in radiographs]
    return decode.read_resized(images, masks)
