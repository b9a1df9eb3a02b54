"""Masks drawn beside radiographs: where the lungs are, and where a finding is."""

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

    The published database has `masks`, the lungs. Phantom radiographs have `findings` too. A mask
    that cannot be read is reported and counts as one that nobody drew.
    """

    def __init__(self, directory: pathlib.Path, size: tuple[int, int]) -> None:
        """Lists the folder.

        Args:
            directory: the folder; the layout may begin anywhere below it.
            size: `(height, width)` to bring every mask to.

        Raises:
            UserError: there is no mask in it.
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
        """An example with the masks of a name; lungs that it has already are kept.

        Args:
            example: any.
            name: of its masks' files, without the extension.
        """
        lungs, finding = self.lungs(name), self.finding(name)
        if example.lungs is not None:
            lungs = example.lungs
        return dataclasses.replace(example, lungs=lungs, finding=finding)

    def lungs(self, name: str) -> np.ndarray | None:
        """`[height, width] bool`, true in the lungs; None where nobody drew them."""
        return self._read(self._lungs, name)

    def finding(self, name: str) -> np.ndarray | None:
        """`[height, width] bool`, true in the finding; None where there is none."""
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
        # A pixel belongs to the mask where half of what it covers does, as in the built dataset.
        inside = tf.image.resize(mask, self._size, method="area").numpy()[:, :, 0] >= 127.5
        return inside if inside.any() else None
