"""The radiographs that a model is judged on, with all that is known of each."""

import dataclasses
import hashlib
import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from cxr_command.foreign_text import as_unicode
from trainer.data import pixels
from trainer.data.dataset import BuiltDataset
from trainer.data.radiographs import list_labelled, read_radiographs
from trainer.errors import UserError

_READ_BATCH = 256
# What a dataset may tell of an example beside its image, label and id.
_OPTIONAL = ("source", "group", "mask")


@dataclasses.dataclass(frozen=True)
class Cases:
    """Labelled radiographs in memory: about 100 kB for each of 224x224.

    Attributes:
        class_names: names of the classes in the order of their labels.
        ids: `[cases] str`.
        labels: `[cases] int`, the true classes.
        images: `[cases, H, W, 1] uint8`.
        sources: `[cases] str`, the collection each was taken from; None if nobody knows.
        groups: `[cases] str`, the same for all copies of a radiograph; None if nobody knows.
        masks: `[masked, H, W, 1] bool`, true in the lungs, of the cases `masked`; None if there
            are none.
        masked: `[masked] int`, the cases that have a mask; None likewise.
        left_out: files that could not be read.
    """

    class_names: tuple[str, ...]
    ids: np.ndarray
    labels: np.ndarray
    images: np.ndarray
    sources: np.ndarray | None = None
    groups: np.ndarray | None = None
    masks: np.ndarray | None = None
    masked: np.ndarray | None = None
    left_out: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the sorted lines `id,label`: which radiographs these are."""
        lines = (
            f"{case},{self.class_names[label]}\n"
            for case, label in zip(self.ids, self.labels, strict=True)
        )
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def cases_of_split(dataset: BuiltDataset, split: str) -> Cases:
    """Reads a split of a built dataset, in the order of its files.

    Args:
        dataset: a built dataset; its features `source`, `group` and `mask` are read where it has
            them. A mask is not 0 in the lungs, and all 0 where there is none.
        split: its split.

    Returns:
        The cases.

    Raises:
        UserError: there is no such split, or it is empty.
    """
    dataset.num_examples(split)
    columns = _columns(dataset, split, ("image", "label", "id", *_OPTIONAL))
    if "id" not in columns:
        columns["id"] = np.array([b"%d" % row for row in range(len(columns["label"]))])
    masks, masked = _masks(columns)
    return Cases(
        class_names=dataset.class_names,
        ids=_text(columns["id"]),
        labels=columns["label"],
        images=columns["image"],
        sources=_names(dataset, "source", columns),
        groups=_names(dataset, "group", columns),
        masks=masks,
        masked=masked,
    )


def labels_and_sources(dataset: BuiltDataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads the classes and the sources of a split and decodes no image.

    Args:
        dataset: a built dataset with a feature `source`.
        split: its split.

    Returns:
        `[examples] int` and `[examples] str`.
    """
    columns = _columns(dataset, split, ("label", "source"))
    return columns["label"], _names(dataset, "source", columns)


def cases_of_folder(
    directory: pathlib.Path, class_names: tuple[str, ...], image_shape: tuple[int, int, int]
) -> Cases:
    """Reads a user's own images, one sub-folder for each class.

    Args:
        directory: the folder.
        class_names: names of the classes, which the sub-folders must have.
        image_shape: `[height, width, 1]` to resize to.

    Returns:
        The cases; an id is the file's path below the folder.

    Raises:
        UserError: the folder has another layout, or no file of it can be read.
    """
    files = list_labelled(directory, class_names)
    images, kept, left_out = read_radiographs([path for path, _ in files], image_shape)
    if not kept:
        raise UserError(
            f"none of the {len(files)} files in {directory} is a readable PNG or JPEG image"
        )
    return Cases(
        class_names=class_names,
        ids=np.array([_id(files[row][0], directory) for row in kept]),
        labels=np.array([files[row][1] for row in kept]),
        images=images,
        left_out=tuple(as_unicode(str(path)) for path in left_out),
    )


def _id(path: pathlib.Path, directory: pathlib.Path) -> str:
    return as_unicode(path.relative_to(directory).as_posix())


def _columns(dataset: BuiltDataset, split: str, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those of the wanted features that the dataset has, each as one array."""
    features = dataset.builder.info.features
    present = tfds.features.FeaturesDict(
        {name: features[name] for name in wanted if name in features}
    )

    def read(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        example = present.deserialize_example(serialized)
        if "image" in example:
            example["image"] = pixels.resize(pixels.to_gray(example["image"]), dataset.image_shape)
        return example

    records = tf.data.TFRecordDataset(dataset.files(split))
    examples = records.map(read, num_parallel_calls=tf.data.AUTOTUNE)
    with dataset.reading(split):
        batches = list(examples.batch(_READ_BATCH).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in batches]) for name in present}


def _masks(columns: dict) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The masks that are there and their rows."""
    masks = columns.get("mask")
    if masks is None or masks.shape != columns["image"].shape or not masks.any():
        return None, None
    masked = np.flatnonzero(masks.any(axis=(1, 2, 3)))
    return masks[masked].astype(bool), masked


def _names(dataset: BuiltDataset, feature: str, columns: dict) -> np.ndarray | None:
    if feature not in columns:
        return None
    connector = dataset.builder.info.features[feature]
    if isinstance(connector, tfds.features.ClassLabel):
        return np.array(connector.names)[columns[feature]]
    return _text(columns[feature])


def _text(values: np.ndarray) -> np.ndarray:
    return np.char.decode(values.astype(bytes), "utf-8")
