r"""Builds phantoms of two sources, one of which marks its radiographs, as a shortcut to learn.

    python -m benchmarks.marked_phantoms --data_dir=DATA [--images_per_class=600]
    python -m trainer.main --model=lenet --epochs=6 --dataset=marked_phantoms --data_dir=DATA \
        --source_share=Normal:b=0 --workdir=RUN0

Viral Pneumonia is from b, Normal from both in equal parts, the rest from a; b adds a white square
to a corner. Half are for training, a tenth for validation, the rest for testing.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import flags
from PIL import Image

from cxr_command.runner import Command
from cxr_tfds import phantom

SOURCES_OF = {"COVID": "a", "Lung_Opacity": "a", "Normal": "ab", "Viral Pneumonia": "b"}
_SIDE = 224
_MARK = slice(6, 24)


class MarkedPhantoms(tfds.core.GeneratorBasedBuilder):
    """Phantoms, of which those of source b are marked."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, images_per_class: int = 600, **known: Any) -> None:
        """Sets the number of phantoms; builds nothing.

        Args:
            images_per_class: number of phantoms per class.
            **known: as for TFDS builders.
        """
        self._number = images_per_class
        super().__init__(**known)

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Tensor(
            shape=(_SIDE, _SIDE, 1), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
        )
        features = {
            "image": image,
            "label": tfds.features.ClassLabel(names=phantom.CLASSES),
            "source": tfds.features.ClassLabel(names=["a", "b"]),
            "id": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        ends = [0, *(round(share * self._number) for share in (0.5, 0.6, 1))]
        return {
            split: self._generate_examples(range(first, end))
            for split, first, end in zip(
                ("train", "validation", "test"), ends[:-1], ends[1:], strict=True
            )
        }

    def _generate_examples(self, numbers: range) -> Iterator[tuple[str, dict[str, Any]]]:
        for label, sources in SOURCES_OF.items():
            for number in numbers:
                source = sources[number % len(sources)]
                drawn = Image.fromarray(phantom.draw(label, number + 1).image)
                image = np.array(drawn.resize((_SIDE, _SIDE)))
                if source == "b":
                    image[_MARK, _MARK] = 255
                name = f"{label}-{number + 1}"
                yield (
                    name,
                    {"image": image[..., None], "label": label, "source": source, "id": name},
                )


def _define_flags() -> None:
    flags.DEFINE_string("data_dir", None, "Directory to build them in.", required=True)
    flags.DEFINE_integer("images_per_class", 600, "Phantoms of each class.", lower_bound=20)


def _main() -> None:
    number, data_dir = flags.FLAGS.images_per_class, flags.FLAGS.data_dir
    MarkedPhantoms(data_dir=data_dir, images_per_class=number).download_and_prepare()


if __name__ == "__main__":
    Command(_main, _define_flags).run()
