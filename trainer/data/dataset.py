"""A dataset that `tfds build` made: where it lies, its classes, its sizes."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds

from trainer.errors import UserError

DEFAULT_DATASET = "covid19_radiography/224x224"
# What images that are stored encoded are resized to: the size that the networks were made for.
_NETWORK_SHAPE = (224, 224, 1)


@dataclasses.dataclass(frozen=True)
class BuiltDataset:
    """A dataset on disk.

    Attributes:
        name: TFDS name, `name/config:version`.
        data_dir: the directory given to `tfds build --data_dir`.
        class_names: names of the classes in the order of their labels.
        image_shape: `[height, width, 1]` of the gray uint8 images that it gives.
        stores_pixels: whether its records hold the bytes of such images, and need no decoding.
        builder: the read-only TFDS builder of the files on disk.
    """

    name: str
    data_dir: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    stores_pixels: bool
    builder: tfds.core.DatasetBuilder

    def require_classes(self, class_names: Sequence[str]) -> None:
        """Checks that the dataset has a run's classes.

        Raises:
            UserError: it has others, or in another order.
        """
        if list(self.class_names) != list(class_names):
            raise UserError(
                f"{self.name} in {self.data_dir} has the classes {', '.join(self.class_names)}; "
                f"the run was trained on {', '.join(class_names)}: give its --data_dir"
            )

    def num_examples(self, split: str) -> int:
        """Number of examples in a split.

        Raises:
            UserError: the dataset has no such split, or the split is empty.
        """
        splits = self.builder.info.splits
        if split not in splits:
            raise UserError(
                f"{self.name} has no split {split!r}; it has {', '.join(sorted(splits))}"
            )
        if splits[split].num_examples == 0:
            raise UserError(
                f"split {split!r} of {self.name} in {self.data_dir} is empty: "
                "build the dataset from more images"
            )
        return splits[split].num_examples

    def files(self, split: str) -> list[str]:
        """Paths of a split's TFRecord shards, in order."""
        return [str(path) for path in self.builder.info.splits[split].filepaths]


def default_data_dir() -> str:
    """Where `tfds build` puts datasets by default: TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return str(pathlib.Path(tfds.core.constants.DATA_DIR).expanduser())


def open_dataset(name: str, data_dir: str) -> BuiltDataset:
    """Opens a dataset that `tfds build` has made.

    Args:
        name: TFDS name, `name[/config][:version]`.
        data_dir: the directory given to `tfds build --data_dir`.

    Returns:
        The dataset, with its full name including the version.

    Raises:
        UserError: there is no such directory, no such dataset in it, or it is none of labelled
            uint8 images.
    """
    how_to_build = (
        f"tfds build cxr_tfds/covid19_radiography --manual_dir=KAGGLE_FOLDER --data_dir={data_dir}"
    )
    if not pathlib.Path(data_dir).is_dir():
        raise UserError(
            f"the data directory {data_dir} does not exist; give --data_dir=DIR, "
            f"the directory of a built dataset, or build one with: {how_to_build}"
        )
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, FileNotFoundError, ValueError, AssertionError):
        builder = None
    if builder is None or not pathlib.Path(builder.data_dir, "dataset_info.json").exists():
        raise UserError(f"{data_dir} holds no built dataset {name}; build it with: {how_to_build}")
    stored = _image_feature(name, builder)
    stores_pixels = _stores_pixels(stored)
    return BuiltDataset(
        name=f"{builder.info.full_name}".replace(f"/{builder.version}", f":{builder.version}"),
        data_dir=data_dir,
        class_names=tuple(_label_feature(name, builder).names),
        image_shape=tuple(stored.shape) if stores_pixels else _NETWORK_SHAPE,
        stores_pixels=stores_pixels,
        builder=builder,
    )


def _label_feature(name: str, builder: tfds.core.DatasetBuilder) -> tfds.features.ClassLabel:
    label = dict(builder.info.features).get("label")
    if not isinstance(label, tfds.features.ClassLabel):
        raise UserError(f"{name} has no feature `label` with class names; it cannot be trained on")
    return label


def _image_feature(name: str, builder: tfds.core.DatasetBuilder) -> tfds.features.Tensor:
    image = dict(builder.info.features).get("image")
    if isinstance(image, tfds.features.Tensor | tfds.features.Image) and len(image.shape) == 3:
        if image.np_dtype == np.uint8 and image.shape[2] in (1, 3, 4):
            return image
    raise UserError(
        f"{name} cannot be trained on: its feature `image` is {image}; expected uint8 images of 1, "
        "3 or 4 channels"
    )


def _stores_pixels(image: tfds.features.Tensor) -> bool:
    """Whether records hold the bytes of gray pixels of one size, and not a file or a list."""
    if isinstance(image, tfds.features.Image) or image.to_json_content().encoding != "bytes":
        return False
    return image.shape[2] == 1 and None not in image.shape
