"""A dataset of small images, stored as pixels, with steps of a few milliseconds."""

import numpy as np
import tensorflow_datasets as tfds

SIDE = 32
SIZES = {"train": 96, "validation": 32, "test": 4}


class SmallImages(tfds.core.GeneratorBasedBuilder):
    """Images of four classes that differ in brightness."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = tfds.features.Tensor(
            shape=(SIDE, SIDE, 1), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
        )
        label = tfds.features.ClassLabel(names=["a", "b", "c", "d"])
        features = {"image": image, "label": label, "id": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SIZES}

    def _generate_examples(self, split):
        rng = np.random.default_rng(list(SIZES).index(split))
        for index in range(SIZES[split]):
            image = rng.integers(0, 60, (SIDE, SIDE, 1)) + 40 * (index % 4)
            name = f"{split}-{index}"
            yield name, {"image": image.astype(np.uint8), "label": index % 4, "id": name}


def build(directory):
    """Builds it; returns flags that train LeNet on it, with a checkpoint at every step."""
    SmallImages(data_dir=directory).download_and_prepare()
    return flags(directory)


def flags(directory, name="small_images"):
    """Returns flags that train LeNet on such a dataset."""
    return [
        "--model=lenet", "--recipe=seed", f"--dataset={name}", f"--data_dir={directory}",
        "--deterministic", "--global_batch_size=12", "--scaling=torch", "--learning_rate=1e-4",
        "--patience=1000", "--checkpoint_steps=1", "--log_steps=1",
    ]  # fmt: skip
