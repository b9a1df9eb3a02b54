"""Where caches lie: folders of a local disk, named after all that their content depends on."""

import hashlib
import os
import pathlib
import shutil
import tempfile

from absl import logging


def cache_root() -> pathlib.Path:
    """Where caches are kept: CXR_CACHE_DIR, else a folder of the temporary directory."""
    default = pathlib.Path(tempfile.gettempdir()) / "cxr-trainer-cache"
    return pathlib.Path(os.environ.get("CXR_CACHE_DIR", default))


def free_bytes() -> int:
    """The room on the disk of `cache_root`."""
    existing = next(path for path in (cache_root(), *cache_root().parents) if path.exists())
    return shutil.disk_usage(existing).free


def set_aside(path: pathlib.Path) -> None:
    """Renames what is damaged; what was set aside in its place before is replaced."""
    aside = path.with_name(f"damaged-{path.name}")
    if aside.is_dir():
        shutil.rmtree(aside)
    path.replace(aside)
    logging.warning("%s is damaged: it is now %s, and made anew", path, aside.name)


def folder_of(dataset: str, split: str, kind: str, key: str) -> pathlib.Path:
    """Names the folder of a split's cache; creates nothing.

    Args:
        dataset: name of a built dataset.
        split: its split.
        kind: of the cache.
        key: spells out all that the content depends on.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    name = dataset.replace("/", "-").replace(":", "-")
    return cache_root() / f"{name}-{split}-{kind}-{digest}"
