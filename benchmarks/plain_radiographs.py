"""A straightforward TFDS builder: a generator that decodes the radiographs one by one.

`benchmarks.dataset_build` measures it beside the project's builder. It stores the same pixels and
labels, assigns splits in file order, and does not check for duplicates or damage.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from PIL import Image

_SHARES = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}


class PlainRadiographs(tfds.core.GeneratorBasedBuilder):
    """Gray radiographs of 224x224 pixels and their masks."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "A copy of the database."

    def _info(self) -> tfds.core.DatasetInfo:
        pixels = {"shape": (224, 224, 1), "dtype": np.uint8}
        zlib = tfds.features.Encoding.ZLIB
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(encoding=tfds.features.Encoding.BYTES, **pixels),
                    "mask": tfds.features.Tensor(encoding=zlib, **pixels),
                    "label": tfds.features.Text(),
                    "id": tfds.features.Text(),
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        database = dl_manager.manual_dir / "COVID-19_Radiography_Dataset"
        images = sorted(database.glob("*/images/*.png"))
        return {
            split: self._generate_examples([p for n, p in enumerate(images) if n % 10 in share])
            for split, share in _SHARES.items()
        }

    def _generate_examples(self, images: list[epath.Path]) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in images:
            mask = path.parents[1] / "masks" / path.name
            yield (
                path.stem,
                {
                    "image": _read(path),
                    "mask": _read(mask) // 128 if mask.exists() else np.zeros_like(_read(path)),
                    "label": path.parents[1].name,
                    "id": path.stem,
                },
            )


def _read(path: epath.Path) -> np.ndarray:
    gray = Image.open(path).convert("L").resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(gray)[..., None]
