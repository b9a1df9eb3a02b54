"""The directory of an exported model: complete, or not there at all."""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from trainer.directory import require_writable, unfinished, writing_to
from trainer.errors import UserError

# What tells a directory that this command wrote from anything else that a user may keep there.
_OURS = "export.json"


@contextlib.contextmanager
def package(output_dir: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a directory to write to, which takes the output's place when all is written.

    Args:
        output_dir: the directory to make; an earlier export there is replaced.

    Yields:
        A directory beside it.

    Raises:
        UserError: something else lies there, or it cannot be written.
    """
    target = pathlib.Path(output_dir).resolve()
    if target.exists() and not (target / _OURS).exists() and not _is_empty(target):
        raise UserError(
            f"--output_dir={output_dir} is a file, or holds files that are no exported model; "
            "give a directory that is empty or new"
        )
    require_writable(target.parent, "output_dir")
    with writing_to(target), unfinished(target.parent, f".{target.name}-") as scratch:
        # Its own mode is for the owner alone; whoever serves the model is another user.
        partial = scratch / "whole"
        partial.mkdir()
        yield partial
        if target.exists():
            shutil.rmtree(target)
        os.replace(partial, target)


def _is_empty(path: pathlib.Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
