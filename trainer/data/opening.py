"""Opens a dataset built by `tfds build`, or explains why it cannot be opened."""

import glob
import os
import pathlib
import re

import numpy as np
import tensorflow_datasets as tfds

from cxr_command import record_index
from cxr_command.checksums import SUMS, sha256_of
from cxr_command.foreign_text import first_line
from trainer.data import integrity
from trainer.data.dataset import BuiltDataset
from trainer.errors import Damaged, UserError
from trainer.parsing import unreadable

# Encoded images are resized to this, the size the networks were designed for.
_NETWORK_SHAPE = (224, 224, 1)
# The datasets built by this project, and the input of each builder.
_BUILDERS = {"covid19_radiography": "KAGGLE_FOLDER", "own_radiographs": "FOLDER"}


def default_data_dir() -> str:
    """Returns the default of `tfds build`: TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return str(pathlib.Path(tfds.core.constants.DATA_DIR).expanduser())


def open_dataset(name: str, data_dir: str) -> BuiltDataset:
    """Opens a dataset built by `tfds build`.

    Args:
        name: TFDS name, `name[/config][:version]`.
        data_dir: the directory given to `tfds build --data_dir`.

    Returns:
        The dataset, with its full name including the version.

    Raises:
        UserError: the directory or the dataset does not exist, or the dataset does not hold
            labelled uint8 images.
    """
    if not os.path.isdir(data_dir):
        raise UserError(
            f"the data directory {data_dir} does not exist; give --data_dir=DIR, "
            f"the directory of a built dataset, or build one with: {_how_to_build(name, data_dir)}"
        )
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except MemoryError:
        raise
    except PermissionError as error:
        raise unreadable(f"{name} in {data_dir}", first_line(error)) from error
    except Exception as error:  # The parsers of names, versions and files raise many types.
        raise UserError(_why_not_opened(name, data_dir)) from error
    if not pathlib.Path(builder.data_dir, "dataset_info.json").exists():
        raise UserError(_why_not_opened(name, data_dir))
    _require_indexable(name, builder)
    _require_own_metadata(name, pathlib.Path(builder.data_dir))
    stored = _image_feature(name, builder)
    is_gray = _holds_gray_pixels(stored)
    return BuiltDataset(
        name=f"{builder.info.full_name}".replace(f"/{builder.version}", f":{builder.version}"),
        data_dir=data_dir,
        class_names=tuple(_label_feature(name, builder).names),
        image_shape=tuple(stored.shape) if is_gray else _NETWORK_SHAPE,
        stores_pixels=is_gray,
        builder=builder,
    )


def _how_to_build(name: str, data_dir: str) -> str:
    for dataset, folder in _BUILDERS.items():
        if name.startswith(dataset):
            return f"tfds build cxr_tfds/{dataset} --manual_dir={folder} --data_dir={data_dir}"
    return f"tfds build {name.partition(':')[0]} --data_dir={data_dir}"


def _why_not_opened(name: str, data_dir: str) -> str:
    """Explains what the directory contains instead of the dataset, and what to do."""
    built = _built(data_dir)
    if name in built + [full_name.partition(":")[0] for full_name in built]:
        found = f"{name} in {data_dir} is damaged"
    else:
        found = f"{data_dir} has no built dataset {name}"
        if built:
            found += f", but {', '.join(built)}"
        first = re.split("[:/]", name)[0]
        # A glob of `pathlib` would raise at a name too long for a folder.
        place = glob.escape(os.path.join(data_dir, first, ""))
        if first.isidentifier() and glob.glob(f"{place}**/incomplete.*", recursive=True):
            found += ", and the remains of an interrupted build"
    return f"{found}; build it with: {_how_to_build(name, data_dir)}"


def _built(data_dir: str) -> list[str]:
    """Lists the datasets in a directory, as `name[/config]:version`."""
    infos = [
        path.parent.relative_to(data_dir)
        for pattern in ("*/*/dataset_info.json", "*/*/*/dataset_info.json")
        for path in pathlib.Path(data_dir).glob(pattern)
    ]
    return sorted(
        f"{path.parent}:{path.name}" for path in infos if not path.name.startswith("incomplete")
    )


def _label_feature(name: str, builder: tfds.core.DatasetBuilder) -> tfds.features.ClassLabel:
    label = dict(builder.info.features).get("label")
    if not isinstance(label, tfds.features.ClassLabel):
        raise UserError(f"{name} has no feature `label` with class names; it cannot be trained on")
    if len(set(label.names)) < len(label.names):
        raise Damaged(
            f"{name} in {builder.data_dir} names a class twice ({', '.join(label.names)}): build "
            "the dataset again"
        )
    return label


def _require_indexable(name: str, builder: tfds.core.DatasetBuilder) -> None:
    formats = record_index.TFRECORD, record_index.ARRAY_RECORD
    if builder.info.file_format.value not in formats:
        raise UserError(
            f"{name} in {builder.data_dir} is stored as {builder.info.file_format.value}, which "
            f"cannot be trained on: build it with --file_format={' or '.join(formats)}"
        )


def _require_own_metadata(name: str, folder: pathlib.Path) -> None:
    """Verifies the files of class names and features against the digests of the build."""
    for file, digest in integrity.read_sums(folder).items():
        if file.endswith((".labels.txt", "features.json")):
            path = folder / file
            if not path.exists() or sha256_of(path) != digest:
                raise Damaged(
                    f"{name} in {folder} is damaged ({file} is not the file that was built: "
                    f"{SUMS} beside it has another SHA-256): build the dataset again"
                )


def _image_feature(name: str, builder: tfds.core.DatasetBuilder) -> tfds.features.Tensor:
    image = dict(builder.info.features).get("image")
    if isinstance(image, tfds.features.Tensor | tfds.features.Image) and len(image.shape) == 3:
        if image.np_dtype == np.uint8 and image.shape[2] in (1, 3, 4):
            return image
    raise UserError(
        f"{name} cannot be trained on: its feature `image` is {image}; expected uint8 images of 1, "
        "3 or 4 channels"
    )


def _holds_gray_pixels(image: tfds.features.Tensor) -> bool:
    """Whether records hold gray pixels of one size as raw bytes, not an encoded file or a list."""
    if isinstance(image, tfds.features.Image) or image.to_json_content().encoding != "bytes":
        return False
    return image.shape[2] == 1 and None not in image.shape
