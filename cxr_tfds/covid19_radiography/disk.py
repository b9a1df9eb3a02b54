"""Is there room for what is about to be written?"""

import shutil

from etils import epath

from . import paths
from .refusal import RefusedError


class NoRoomError(RefusedError, OSError):
    """The disk has too little left."""


def check(folder: epath.Path, needed: int, purpose: str) -> None:
    """Refuses to begin what the disk cannot hold.

    Args:
      folder: Where it will be written; it need not exist yet.
      needed: How many bytes.
      purpose: What for, for the message.

    Raises:
      NoRoomError: The disk has less left.
    """
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if existing is None or not paths.is_local(folder):
        return  # An object store has no end.
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise NoRoomError(
            f"Not enough disk: {purpose} needs {needed / 1e6:,.0f} MB in {folder}, and only "
            f"{free / 1e6:,.0f} MB are free there. Make room, or choose another directory."
        )
