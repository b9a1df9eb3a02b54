"""A Grad-CAM directory: a panel and raw heatmap per image, with an index, page and summary."""

import json
import os
import pathlib
import re
from types import TracebackType
from typing import Any, Self

import numpy as np

from cxr_command import csv_file
from trainer import templates
from trainer.data.examples import Example
from trainer.directory import move_files, unfinished, writing_to
from trainer.errors import UserError
from trainer.explain.heatmap_metrics import PER_IMAGE, totals
from trainer.explain.panel import draw_panel
from trainer.parsing import parsing

_INDEX, _PAGE, _SUMMARY = "index.csv", "index.html", "summary.json"
# Names of the files that `Gallery.add` writes for an image.
_FILE_OF_IMAGE = re.compile(r"\d{5,}-[A-Za-z0-9_-]*\.(png|npy)")


class Gallery:
    """Writes explanations one by one, and moves all of them to their place when finished.

    A context manager: an unfinished gallery leaves nothing behind.
    """

    def __init__(
        self, directory: pathlib.Path, class_names: tuple[str, ...], method: str, layer: str
    ) -> None:
        """Initializes a gallery.

        Args:
            directory: output directory, created if missing; `finish` replaces an existing gallery.
            class_names: names of the classes.
            method: name of the method, for the index.
            layer: name of the layer, for the index.

        Raises:
            UserError: the directory holds an index.csv that is not a gallery's.
        """
        self._directory, self._class_names = directory, class_names
        self._previous = _files_of(directory / _INDEX)
        self._made_by = {"method": method, "layer": layer}
        self._unfinished = unfinished(directory)
        self.rows: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """Opens the context."""
        with writing_to(self._directory):
            self._partial = self._unfinished.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Removes unfinished files."""
        self._unfinished.__exit__(kind, error, trace)

    def add(
        self,
        example: Example,
        heatmap: np.ndarray,
        heat: np.ndarray,
        probabilities: np.ndarray,
        target: int,
        numbers: dict[str, float | bool | None],
    ) -> None:
        """Writes an image's panel and raw heatmap.

        Args:
            example: the radiograph.
            heatmap: `[h, w] float32`, non-negative.
            heat: the heatmap as `[H, W]`, scaled to 0 to 1.
            probabilities: `[classes] float32`.
            target: the explained class.
            numbers: the result of `evaluate_heatmap`.

        Raises:
            UserError: the files cannot be written.
        """
        stem = f"{len(self.rows):05d}-{re.sub(r'[^A-Za-z0-9_-]+', '_', example.id)[:80]}"
        predicted = int(probabilities.argmax())
        row = {
            "id": example.id,
            "source": example.source,
            "true": "" if example.label is None else self._class_names[example.label],
            "predicted": self._class_names[predicted],
            "probability": round(float(probabilities[predicted]), 6),
            "target": self._class_names[target],
            **self._made_by,
            "empty": not heatmap.any(),
            **{name: _rounded(numbers[name]) for name in PER_IMAGE},
            "panel": f"{stem}.png",
            "heatmap": f"{stem}.npy",
        }
        panel = self._partial / f"{stem}.png"
        with writing_to(self._directory):
            np.save(self._partial / f"{stem}.npy", heatmap, allow_pickle=False)
            draw_panel(panel, example, heat, probabilities, target, self._class_names)
        self.rows.append(row)

    def finish(self, about: dict[str, Any], randomisation: dict[str, Any]) -> dict[str, Any]:
        """Writes index.csv, index.html and summary.json, and moves all files to their place.

        Args:
            about: description of the images and the method.
            randomisation: the result of `randomisation_check`, and `how_to_read`.

        Returns:
            The content of summary.json.

        Raises:
            UserError: the files cannot be written.
        """
        summary = {
            "research_use": templates.RESEARCH_USE,
            **about,
            **self._made_by,
            "images": len(self.rows),
            "empty_heatmaps": sum(row["empty"] for row in self.rows),
            "checks": totals(self.rows) | {"randomisation": randomisation},
        }
        with writing_to(self._directory):
            self._write_texts(summary)
            written = {path.name for path in self._partial.iterdir()}
            move_files(self._partial, self._directory)
            for name in self._previous.difference(written):
                (self._directory / name).unlink(missing_ok=True)
        return summary

    def _write_texts(self, summary: dict[str, Any]) -> None:
        table = [list(self.rows[0]), *(list(row.values()) for row in self.rows)]
        (self._partial / _INDEX).write_bytes(csv_file.encode(table))
        text = json.dumps(summary, indent=2, allow_nan=False)
        (self._partial / _SUMMARY).write_text(text + "\n", encoding="utf-8")
        page = templates.environment("trainer.explain").get_template("gallery.html")
        templates.write(self._partial / _PAGE, page.render(summary=summary, rows=self.rows))


def _files_of(index: pathlib.Path) -> set[str]:
    """Returns the image files listed in the index.csv of an earlier gallery."""
    if not os.path.lexists(index):
        return set()
    with parsing(index, "give another --output_dir"):
        content = index.read_bytes()
    try:
        header, *rows = csv_file.decode(content) or [[]]
        columns = [header.index(name) for name in ("panel", "heatmap")]
    except ValueError as error:
        raise UserError(
            f"{index} is not the index of an earlier export and would be overwritten; "
            "give another --output_dir"
        ) from error
    named = [row[column] for row in rows for column in columns if column < len(row)]
    return {name for name in named if _FILE_OF_IMAGE.fullmatch(name)}


def _rounded(value: float | bool | None) -> float | bool | None:
    return round(value, 6) if isinstance(value, float) else value
