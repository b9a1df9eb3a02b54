"""The directory of an exported model, written atomically."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from trainer.directory import require_writable, unfinished, writing_to
from trainer.errors import UserError
from trainer.evaluation.training_features import FILES

# Marks directories written by this command, as opposed to a user's own.
_OURS = "export.json"
_WRITTEN = {
    _OURS, "class_names.json", "model.keras", "model_card.md", "model.tflite", "model.onnx",
    "saved_model.pb", "fingerprint.pb", "variables", "assets", *FILES,
}  # fmt: skip


@contextlib.contextmanager
def package(output_dir: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Provides a directory that replaces the output directory when everything is written.

    Args:
        output_dir: the output directory; an earlier export is replaced.

    Yields:
        A temporary directory beside it.

    Raises:
        UserError: the output directory holds other files, or cannot be written.
    """
    require_writable(output_dir, "output_dir")
    target = pathlib.Path(output_dir).resolve()
    _require_replaceable(target, output_dir)
    require_writable(target.parent, "output_dir")
    with writing_to(target), unfinished(target.parent) as scratch:
        # The temporary directory is private to its owner; the model may be served by another user.
        partial = scratch / "whole"
        partial.mkdir()
        yield partial
        _replace(target, partial, scratch / "replaced")


def _require_replaceable(target: pathlib.Path, output_dir: str | os.PathLike) -> None:
    """Raises `UserError` if a directory holds anything that an export did not write."""
    found = {path.name for path in target.iterdir()} if target.exists() else set()
    others = found - _WRITTEN if _OURS in found else found
    if others:
        raise UserError(
            f"--output_dir={output_dir} has files that are not an exported model, such as "
            f"{min(others)}; give a directory that is empty or new"
        )


def _replace(target: pathlib.Path, new: pathlib.Path, old: pathlib.Path) -> None:
    """Replaces a directory by another; the old one is moved away, or stays in case of an error."""
    if not target.exists():
        os.replace(new, target)
        return
    try:
        os.replace(target, old)
        os.replace(new, target)
    except BaseException:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
