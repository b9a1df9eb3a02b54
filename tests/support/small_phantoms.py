"""Phantom radiographs small enough to train deep networks in a minute."""

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from cxr_tfds.phantom import CLASSES, draw

SIDE = 48
PER_CLASS = {"train": 60, "validation": 20}


class SmallPhantoms(tfds.core.GeneratorBasedBuilder):
    """Gray phantoms of the four classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = tfds.features.Tensor(
            shape=(SIDE, SIDE, 1), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
        )
        label = tfds.features.ClassLabel(names=CLASSES)
        features = {"image": image, "label": label, "id": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in PER_CLASS}

    def _generate_examples(self, split):
        seed = list(PER_CLASS).index(split)
        for name in CLASSES:
            for number in range(1, PER_CLASS[split] + 1):
                image = Image.fromarray(draw(name, number, seed).image).resize((SIDE, SIDE))
                pixels, key = np.asarray(image)[..., None], f"{name}-{number}"
                yield key, {"image": pixels, "label": name, "id": key}
