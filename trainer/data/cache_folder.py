"""Cache folders on a local disk, named after everything their content depends on."""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator

from absl import logging

from trainer.lock import lock_file


def cache_root() -> pathlib.Path:
    """Returns the root of the caches: CXR_CACHE_DIR, else a folder of the temporary directory."""
    default = pathlib.Path(tempfile.gettempdir()) / "cxr-trainer-cache"
    return pathlib.Path(os.environ.get("CXR_CACHE_DIR", default))


def free_bytes() -> int:
    """Returns the free space, in bytes, on the disk of `cache_root`."""
    existing = next(path for path in (cache_root(), *cache_root().parents) if path.exists())
    return shutil.disk_usage(existing).free


@contextlib.contextmanager
def locked(
    folder: pathlib.Path, while_waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Locks a cache's folder against other processes that would fill it.

    Args:
        folder: the folder, which need not exist.
        while_waiting: called every second while another process holds the lock.

    Raises:
        OSError: the lock file beside the folder cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        while not lock_file(lock):
            logging.log_every_n_seconds(logging.INFO, "%s: in use by another process", 30, folder)
            while_waiting()
            time.sleep(1)
        yield


def set_aside(path: pathlib.Path) -> None:
    """Renames a damaged file or folder, replacing a previously renamed one."""
    aside = path.with_name(f"damaged-{path.name}")
    if aside.is_dir():
        shutil.rmtree(aside)
    path.replace(aside)
    logging.warning("%s is damaged: renamed to %s and recreated", path, aside.name)


def folder_of(dataset: str, split: str, kind: str, key: str) -> pathlib.Path:
    """Returns the folder of a split's cache; creates nothing.

    Args:
        dataset: name of a built dataset.
        split: its split.
        kind: kind of cache.
        key: describes everything the content depends on.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.-]", "-", f"{dataset}-{split}")
    return cache_root() / f"{name}-{kind}-{digest}"
