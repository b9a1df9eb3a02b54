"""Masks that accompany radiographs: of the lungs, and of a finding."""

import dataclasses
import os
import pathlib

import numpy as np
import tensorflow as tf
from absl import logging

from cxr_command.radiograph import reading
from cxr_command.radiograph.refusal import NotARadiograph
from trainer.data.examples import Example
from trainer.errors import UserError
from trainer.parsing import unreadable


class MaskFolder:
    """A folder in the layout of the database: `CLASS/masks/ID.png`, `CLASS/findings/ID.png`.

    The published database has `masks`, the lungs. Phantom radiographs have `findings` too. An
    unreadable mask is reported and treated as missing.
    """

    def __init__(self, directory: pathlib.Path, size: tuple[int, int]) -> None:
        """Lists the masks in the folder.

        Args:
            directory: the folder; the layout may start at any depth below it.
            size: `(height, width)` to resize every mask to.

        Raises:
            UserError: the folder contains no mask.
        """
        self._size = size
        files = list(directory.rglob("*.png")) if os.path.isdir(directory) else []
        self._lungs = {path.stem: path for path in files if path.parent.name == "masks"}
        self._findings = {path.stem: path for path in files if path.parent.name == "findings"}
        if not self._lungs and not self._findings:
            raise UserError(
                f"--masks_dir={directory} has no mask; expected CLASS/masks/ID.png, the lungs, "
                "or CLASS/findings/ID.png, the finding"
            )

    def add_to(self, example: Example, name: str) -> Example:
        """Adds the masks with a given name to an example; an existing lung mask is kept.

        Args:
            example: an example.
            name: name of its mask files, without the extension.
        """
        lungs, finding = self.lungs(name), self.finding(name)
        if example.lungs is not None:
            lungs = example.lungs
        return dataclasses.replace(example, lungs=lungs, finding=finding)

    def lungs(self, name: str) -> np.ndarray | None:
        """Returns `[height, width] bool`, true in the lungs; None if there is no mask."""
        return self._read(self._lungs, name)

    def finding(self, name: str) -> np.ndarray | None:
        """Returns `[height, width] bool`, true in the finding; None if there is none."""
        return self._read(self._findings, name)

    def _read(self, paths: dict[str, pathlib.Path], name: str) -> np.ndarray | None:
        if name not in paths:
            return None
        try:
            mask = reading.read(paths[name]).pixels[..., None]
        except NotARadiograph as error:
            logging.error("left out: %s is not a readable mask: %s", paths[name], error)
            return None
        except OSError as error:
            raise unreadable(paths[name], error.strerror or str(error)) from error
        # A pixel belongs to the mask if at least half of its area does, as in the built dataset.
        inside = tf.image.resize(mask, self._size, method="area").numpy()[:, :, 0] >= 127.5
        return inside if inside.any() else None
