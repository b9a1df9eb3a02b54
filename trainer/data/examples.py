"""Labelled radiographs in memory, with their metadata, for evaluation and explanation."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from cxr_command.foreign_text import as_unicode
from cxr_command.radiograph.account import Account
from trainer.data import own_files
from trainer.data.dataset import BuiltDataset
from trainer.data.records import names_of, read_batches, text_of
from trainer.data.selection import select
from trainer.data.source_mix import sources_of
from trainer.errors import UserError


@dataclasses.dataclass(frozen=True)
class Example:
    """A radiograph with its label.

    Attributes:
        id: the example's id, or the file's name.
        source: the collection it was taken from, or the file's path; empty if unknown.
        label: its true class, None if unknown.
        image: `[H, W, 1] uint8`.
        lungs: `[H, W] bool`, the lung mask; None if there is none.
        finding: `[H, W] bool`, the mask of the finding; None if there is none.
    """

    id: str
    source: str
    label: int | None
    image: np.ndarray
    lungs: np.ndarray | None = None
    finding: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples in memory; about 100 kB each at 224x224.

    Attributes:
        class_names: names of the classes in the order of their labels.
        ids: `[examples] str`.
        labels: `[examples] int`, the true classes.
        images: `[examples, H, W, 1] uint8`.
        sources: `[examples] str`, the collection each was taken from; None if unknown.
        groups: `[examples] str`, equal for all copies of a radiograph; None if unknown.
        masks: `[masked, H, W, 1] bool`, true in the lungs, for the examples in `masked`; None if
            there are none.
        masked: `[masked] int`, rows of the examples that have a mask; None if there are none.
        account: for a user's own files, the counts of files read and skipped.
        attributes: further metadata, such as `view`: maps its name to `[examples] str`.
    """

    class_names: tuple[str, ...]
    ids: np.ndarray
    labels: np.ndarray
    images: np.ndarray
    sources: np.ndarray | None = None
    groups: np.ndarray | None = None
    masks: np.ndarray | None = None
    masked: np.ndarray | None = None
    account: Account | None = None
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Returns the SHA-256 of the sorted lines `id,label`, which identifies the examples."""
        lines = (
            f"{example_id},{self.class_names[label]}\n"
            for example_id, label in zip(self.ids, self.labels, strict=True)
        )
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()

    def take(self, rows: np.ndarray) -> Iterator[Example]:
        """Iterates over the examples in some rows.

        Args:
            rows: `[taken] int`.

        Yields:
            One example per row.
        """
        lungs: dict[int, np.ndarray] = {}
        if self.masks is not None and self.masked is not None:
            lungs = dict(zip(self.masked, self.masks, strict=True))
        for row in rows:
            yield Example(
                id=str(self.ids[row]),
                source="" if self.sources is None else str(self.sources[row]),
                label=int(self.labels[row]),
                image=self.images[row],
                lungs=lungs[row][:, :, 0] if row in lungs else None,
            )


def load_split(dataset: BuiltDataset, split: str) -> Examples:
    """Reads a split of a built dataset, in the order of its files.

    Args:
        dataset: a built dataset; its features `source`, `group` and `mask` are read if present. A
            mask is non-zero in the lungs, and all 0 if there is none.
        split: its split.

    Returns:
        The examples.

    Raises:
        UserError: the split does not exist or is empty.
    """
    columns = _columns(dataset, split, "image", "source", "group", "mask")
    masks, masked = _masks(columns)
    return Examples(
        class_names=dataset.class_names,
        ids=text_of(columns["id"]),
        labels=columns["label"],
        images=columns["image"],
        sources=_names(dataset, "source", columns),
        groups=_names(dataset, "group", columns),
        masks=masks,
        masked=masked,
    )


def labels_and_sources(dataset: BuiltDataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads the classes and sources of a split without decoding images.

    Args:
        dataset: a built dataset with a feature `source`.
        split: its split.

    Returns:
        `[examples] int` and `[examples] str`.

    Raises:
        UserError: the dataset has no such feature.
    """
    records = select(dataset, split)
    return records.index["label"], sources_of(dataset, split, records)


def count_sources(dataset: BuiltDataset, split: str) -> dict[str, dict[str, int]]:
    """Counts the examples of each class and source; raises as `labels_and_sources`."""
    labels, sources = labels_and_sources(dataset, split)
    return {
        name: dict(zip(*(part.tolist() for part in counted), strict=True))
        for label, name in enumerate(dataset.class_names)
        for counted in [np.unique(sources[labels == label], return_counts=True)]
    }


def load_folder(
    directory: pathlib.Path,
    class_names: tuple[str, ...],
    image_shape: tuple[int, int, int],
    *,
    any_view: bool = False,
) -> Examples:
    """Reads a user's own images from one sub-folder per class.

    Args:
        directory: the folder.
        class_names: names of the classes; every sub-folder must be named after one.
        image_shape: `[height, width, 1]` to resize to.
        any_view: whether DICOM files of lateral views and of other parts of the body are read too.

    Returns:
        The examples; `ids` are the file paths relative to the folder.

    Raises:
        UserError: the folder has another layout, or none of its files can be read.
    """
    files, left_out = own_files.find_labelled(directory, class_names)
    account, paths = Account(left_out), [path for path, _ in files]
    images, rows = own_files.read_all(paths, image_shape, account, any_view=any_view)
    if not rows:
        raise UserError(f"--images_dir={directory}: {account.told()}")
    return Examples(
        class_names=class_names,
        ids=np.array([_path_below(directory, files[row][0]) for row in rows]),
        labels=np.array([files[row][1] for row in rows]),
        images=images,
        account=account,
    )


def _path_below(directory: pathlib.Path, path: pathlib.Path) -> str:
    return as_unicode(path.relative_to(directory).as_posix())


def _columns(dataset: BuiltDataset, split: str, *features: str) -> dict[str, np.ndarray]:
    """Reads those of the features that the dataset has, each as one array."""
    records = select(dataset, split)
    with dataset.reading(split):
        batches = list(read_batches(dataset, records, features))
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return columns | {"label": records.index["label"], "id": records.index["id"]}


def _masks(columns: dict) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns the existing masks and their rows."""
    masks = columns.get("mask")
    if masks is None or masks.shape != columns["image"].shape or not masks.any():
        return None, None
    masked = np.flatnonzero(masks.any(axis=(1, 2, 3)))
    return masks[masked].astype(bool), masked


def _names(dataset: BuiltDataset, feature: str, columns: dict) -> np.ndarray | None:
    return names_of(dataset, feature, columns[feature]) if feature in columns else None
