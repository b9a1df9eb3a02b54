"""A dataset of other classes, as stored by another TFDS builder: RGB PNG files, no ids."""

import numpy as np
import tensorflow_datasets as tfds

CLASSES = ("bright", "dark", "striped")
SIZES = {"train": 18, "validation": 6, "test": 6}


def draw(index):
    """Draws `[40 + index, 50, 3] uint8` of class `index % 3`."""
    rng = np.random.default_rng(index)
    image = rng.integers(0, 40, (40 + index, 50, 3)) + (200, 20, 90)[index % 3]
    if index % 3 == 2:
        image[::4] += 100
    return image.astype(np.uint8)


class OtherImages(tfds.core.GeneratorBasedBuilder):
    """Images of three classes, each of a different size."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=CLASSES),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SIZES}

    def _generate_examples(self, split):
        start = 100 * list(SIZES).index(split)
        for index in range(start, start + SIZES[split]):
            yield index, {"image": draw(index), "label": CLASSES[index % 3]}
