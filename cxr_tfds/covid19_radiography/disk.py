"""Checks the free disk space before writing."""

import shutil

from etils import epath

from . import paths
from .refusal import RefusedError


class NoRoomError(RefusedError, OSError):
    """The disk has too little free space."""


def check(folder: epath.Path, needed: int, purpose: str) -> None:
    """Fails if the disk has too little free space.

    Args:
      folder: The folder to write to; it need not exist yet.
      needed: The number of bytes needed.
      purpose: The purpose, for the message.

    Raises:
      NoRoomError: The disk has less free space.
    """
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if existing is None or not paths.is_local(folder):
        return  # Object stores have no limit.
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise NoRoomError(
            f"Not enough disk: {purpose} needs {needed / 1e6:,.0f} MB in {folder}, and only "
            f"{free / 1e6:,.0f} MB are free there. Make room, or choose another directory."
        )
