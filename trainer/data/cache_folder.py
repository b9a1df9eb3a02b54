"""Where caches lie: folders of a local disk, named after all that their content depends on."""

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
    """Where caches are kept: CXR_CACHE_DIR, else a folder of the temporary directory."""
    default = pathlib.Path(tempfile.gettempdir()) / "cxr-trainer-cache"
    return pathlib.Path(os.environ.get("CXR_CACHE_DIR", default))


def free_bytes() -> int:
    """The room on the disk of `cache_root`."""
    existing = next(path for path in (cache_root(), *cache_root().parents) if path.exists())
    return shutil.disk_usage(existing).free


@contextlib.contextmanager
def locked(
    folder: pathlib.Path, while_waiting: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """While open, no other process fills a cache's folder.

    Args:
        folder: the folder; it need not exist.
        while_waiting: called every second while another process does.

    Raises:
        OSError: no file can be written beside the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        while not lock_file(lock):
            logging.log_every_n_seconds(logging.INFO, "%s: in use by another process", 30, folder)
            while_waiting()
            time.sleep(1)
        yield


def set_aside(path: pathlib.Path) -> None:
    """Renames what is damaged; what was set aside in its place before is replaced."""
    aside = path.with_name(f"damaged-{path.name}")
    if aside.is_dir():
        shutil.rmtree(aside)
    path.replace(aside)
    logging.warning("%s is damaged: renamed to %s and recreated", path, aside.name)


def folder_of(dataset: str, split: str, kind: str, key: str) -> pathlib.Path:
    """Names the folder of a split's cache; creates nothing.

    Args:
        dataset: name of a built dataset.
        split: its split.
        kind: of the cache.
        key: spells out all that the content depends on.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.-]", "-", f"{dataset}-{split}")
    return cache_root() / f"{name}-{kind}-{digest}"
