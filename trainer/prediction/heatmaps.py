"""Panels and raw heatmaps of predictions, in the style of trainer.export_gradcam."""

import pathlib
import re
from collections.abc import Sequence

import keras
import numpy as np
from absl import logging

from cxr_command.foreign_text import as_unicode
from trainer.data.examples import Example
from trainer.directory import writing_to
from trainer.explain.heatmap import enlarge
from trainer.explain.methods import METHODS
from trainer.explain.panel import draw_panel

_STRANGE = re.compile(r"[^A-Za-z0-9_-]+")


class Heatmaps:
    """A folder of `NUMBER-NAME.png` and `.npy`, numbered in reading order."""

    def __init__(
        self, directory: pathlib.Path, network: keras.Model, class_names: tuple[str, ...],
        method: str,
    ) -> None:  # fmt: skip
        """Creates the folder.

        Args:
            directory: the folder.
            network: the network to explain.
            class_names: names of its classes.
            method: one of `METHODS`.
        """
        self._directory, self._class_names = directory, class_names
        self._explain = METHODS[method](network)
        if self._explain.caution:
            logging.warning(self._explain.caution)
        with writing_to(directory):
            directory.mkdir(parents=True, exist_ok=True)

    def draw(
        self, first: int, paths: Sequence[str], pixels: np.ndarray, probabilities: np.ndarray
    ) -> list[str]:
        """Draws the heatmaps of a batch.

        Args:
            first: number of radiographs drawn before.
            paths: paths of the batch's radiographs.
            pixels: `[batch, H, W, 1] uint8`, starting with those radiographs.
            probabilities: `[paths, classes]`.

        Returns:
            Names of the panels.

        Raises:
            UserError: the files cannot be written.
        """
        heatmaps, _ = self._explain(pixels)
        return [
            self._draw(first + place, path, pixels[place], heatmaps[place], probabilities[place])
            for place, path in enumerate(paths)
        ]

    def _draw(
        self,
        number: int,
        path: str,
        image: np.ndarray,
        heatmap: np.ndarray,
        probabilities: np.ndarray,
    ) -> str:
        file = pathlib.PurePath(path)
        panel = self._directory / f"{number:07d}-{_STRANGE.sub('_', file.stem)[:80]}.png"
        example = Example(as_unicode(file.name), as_unicode(path), None, image)
        heat = enlarge(heatmap, image.shape[:2])
        with writing_to(self._directory):
            np.save(panel.with_suffix(".npy"), heatmap, allow_pickle=False)
            target = int(probabilities.argmax())
            draw_panel(panel, example, heat, probabilities, target, self._class_names)
        return panel.name
