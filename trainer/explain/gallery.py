"""A Grad-CAM directory: a panel and a raw heatmap for each image, their index, page and summary."""

import csv
import json
import os
import pathlib
import re
from types import TracebackType
from typing import Any, Self

import numpy as np

from trainer import templates
from trainer.directory import unfinished, writing_to
from trainer.errors import UserError
from trainer.explain.judgement import PER_IMAGE, totals
from trainer.explain.panel import draw_panel
from trainer.explain.subjects import Subject

_INDEX, _PAGE, _SUMMARY = "index.csv", "index.html", "summary.json"


class Gallery:
    """Writes explanations one by one, and when it is finished moves all to their place.

    A context: what is left unfinished leaves nothing behind.
    """

    def __init__(
        self, directory: pathlib.Path, class_names: tuple[str, ...], method: str, layer: str
    ) -> None:
        """Opens a gallery.

        Args:
            directory: where to, made if missing; `finish` replaces a gallery that lies there.
            class_names: names of the classes.
            method: name of the method, for the index.
            layer: name of the layer, likewise.

        Raises:
            UserError: an index.csv lies there that is not a gallery's.
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
        """Removes what was not finished."""
        self._unfinished.__exit__(kind, error, trace)

    def add(
        self,
        subject: Subject,
        heatmap: np.ndarray,
        heat: np.ndarray,
        probabilities: np.ndarray,
        target: int,
        numbers: dict[str, float | bool | None],
    ) -> None:
        """Writes an image's panel and raw heatmap.

        Args:
            subject: the radiograph.
            heatmap: `[h, w] float32`, not negative.
            heat: the same `[H, W]`, from 0 to 1.
            probabilities: `[classes] float32`.
            target: the class that is explained.
            numbers: what `judge` says.

        Raises:
            UserError: they cannot be written.
        """
        stem = f"{len(self.rows):05d}-{re.sub(r'[^A-Za-z0-9_-]+', '_', subject.id)[:80]}"
        predicted = int(probabilities.argmax())
        row = {
            "id": subject.id,
            "source": subject.source,
            "true": "" if subject.label is None else self._class_names[subject.label],
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
            draw_panel(panel, subject, heat, probabilities, target, self._class_names)
        self.rows.append(row)

    def finish(self, about: dict[str, Any], randomisation: dict[str, Any]) -> dict[str, Any]:
        """Writes index.csv, index.html and summary.json, and moves everything to its place.

        Args:
            about: what was explained and how.
            randomisation: what `randomisation_check` says, and `how_to_read` it.

        Returns:
            The content of summary.json.

        Raises:
            UserError: they cannot be written.
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
            for name in self._previous:
                (self._directory / name).unlink(missing_ok=True)
            for path in sorted(self._partial.iterdir()):
                os.replace(path, self._directory / path.name)
        return summary

    def _write_texts(self, summary: dict[str, Any]) -> None:
        with (self._partial / _INDEX).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        text = json.dumps(summary, indent=2, allow_nan=False)
        (self._partial / _SUMMARY).write_text(text + "\n")
        page = templates.environment("trainer.explain").get_template("gallery.html")
        (self._partial / _PAGE).write_text(
            page.render(summary=summary, rows=self.rows), encoding="utf-8"
        )


def _files_of(index: pathlib.Path) -> list[str]:
    """Names of the files of the gallery that an index.csv tells of, its own included."""
    if not index.exists():
        return []
    with index.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        if not {"panel", "heatmap"}.issubset(reader.fieldnames or ()):
            raise UserError(
                f"{index} is not the index of an earlier export and would be replaced; "
                "give another --output_dir"
            )
        named = [row[column] for row in reader for column in ("panel", "heatmap")]
    return [pathlib.Path(name).name for name in named if name] + [_INDEX]


def _rounded(value: float | bool | None) -> float | bool | None:
    return round(value, 6) if isinstance(value, float) else value
