"""Where caches lie: folders of a local disk, named after all that their content depends on."""

import hashlib
import os
import pathlib
import shutil
import tempfile

from trainer.data.dataset import BuiltDataset


def cache_root() -> pathlib.Path:
    """Where caches are kept: CXR_CACHE_DIR, else a folder of the temporary directory."""
    default = pathlib.Path(tempfile.gettempdir()) / "cxr-trainer-cache"
    return pathlib.Path(os.environ.get("CXR_CACHE_DIR", default))


def free_bytes() -> int:
    """The room on the disk of `cache_root`."""
    existing = next(path for path in (cache_root(), *cache_root().parents) if path.exists())
    return shutil.disk_usage(existing).free


def stored_files(dataset: BuiltDataset, split: str) -> list[list]:
    """Name and size of each of a split's files: part of what a cache depends on."""
    return [[os.path.basename(path), os.path.getsize(path)] for path in dataset.files(split)]


def folder_of(dataset: BuiltDataset, split: str, kind: str, key: str) -> pathlib.Path:
    """Names the folder of a split's cache; creates nothing.

    Args:
        dataset: a built dataset.
        split: its split.
        kind: of the cache.
        key: spells out all that the content depends on.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    name = dataset.name.replace("/", "-").replace(":", "-")
    return cache_root() / f"{name}-{split}-{kind}-{digest}"
