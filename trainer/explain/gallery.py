"""A Grad-CAM directory: one panel and one raw heatmap for each image, and an index of them."""

import csv
import dataclasses
import html
import json
import pathlib
import re
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from trainer.evaluation.report import RESEARCH_USE


@dataclasses.dataclass(frozen=True)
class Explanation:
    """One explained image.

    Attributes:
        id: the example's id, or the file's name.
        label: its true class, None if unknown.
        image: `[H, W, 1] uint8`.
        heatmap: `[h, w] float32`, not negative.
        probabilities: `[classes] float32`.
        target: index of the class that the heatmap explains.
    """

    id: str
    label: str | None
    image: np.ndarray
    heatmap: np.ndarray
    probabilities: np.ndarray
    target: int


class Gallery:
    """Writes explanations one by one, and at the end the index of all."""

    def __init__(
        self, directory: pathlib.Path, class_names: tuple[str, ...], about: dict[str, Any]
    ) -> None:
        """Opens a gallery; one that was written there before is removed.

        Args:
            directory: an existing directory.
            class_names: names of the classes.
            about: what was explained and how, for summary.json.
        """
        self._directory, self._class_names, self._about = directory, class_names, about
        self._rows: list[dict[str, Any]] = []
        self._remove_previous()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been added."""
        return not self._rows

    def add(self, explanation: Explanation) -> None:
        """Writes an image's panel and raw heatmap."""
        stem = f"{len(self._rows):05d}-{re.sub(r'[^A-Za-z0-9_-]+', '_', explanation.id)}"
        predicted = int(explanation.probabilities.argmax())
        row = {
            "id": explanation.id,
            "label": explanation.label or "",
            "predicted": self._class_names[predicted],
            "probability": round(float(explanation.probabilities[predicted]), 6),
            "target": self._class_names[explanation.target],
            "empty": not explanation.heatmap.any(),
            "panel": f"{stem}.png",
            "heatmap": f"{stem}.npy",
        }
        np.save(self._directory / row["heatmap"], explanation.heatmap, allow_pickle=False)
        _draw_panel(explanation, row, self._class_names, self._directory / row["panel"])
        self._rows.append(row)

    def close(self) -> None:
        """Writes index.csv, index.html and summary.json."""
        with (self._directory / "index.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self._rows[0]))
            writer.writeheader()
            writer.writerows(self._rows)
        empty = sum(row["empty"] for row in self._rows)
        summary = self._about | {"images": len(self._rows), "empty_heatmaps": empty}
        (self._directory / "summary.json").write_text(
            json.dumps({"research_use": RESEARCH_USE, **summary}, indent=2) + "\n"
        )
        (self._directory / "index.html").write_text(_page(self._rows))

    def _remove_previous(self) -> None:
        index = self._directory / "index.csv"
        if not index.exists():
            return
        with index.open(newline="") as file:
            for row in csv.DictReader(file):
                for name in (row["panel"], row["heatmap"]):
                    (self._directory / pathlib.Path(name).name).unlink(missing_ok=True)
        index.unlink()


def resize_heatmap(heatmap: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarges a heatmap to the image's size and scales it to at most 1.

    Args:
        heatmap: `[h, w] float32`, not negative.
        size: `(height, width)` of the image.

    Returns:
        `[height, width] float32` from 0 to 1; all 0 if the heatmap is.
    """
    large = keras.ops.image.resize(heatmap[None, :, :, None], size, interpolation="bilinear")
    large = np.asarray(large)[0, :, :, 0]
    return large / large.max() if large.max() > 0 else large


def _draw_panel(
    explanation: Explanation, row: dict, class_names: tuple[str, ...], path: pathlib.Path
) -> None:
    image = explanation.image[:, :, 0]
    heat = resize_heatmap(explanation.heatmap, image.shape)
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    radiograph, heatmap, overlay, bars = figure.subplots(1, 4)
    radiograph.imshow(image, cmap="gray", vmin=0, vmax=255)
    radiograph.set_title("radiograph")
    picture = heatmap.imshow(heat, cmap="inferno", vmin=0, vmax=1)
    heatmap.set_title("no evidence found" if row["empty"] else "heatmap")
    overlay.imshow(image, cmap="gray", vmin=0, vmax=255)
    # Transparent where there is no heat, so that the radiograph stays readable.
    overlay.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.6 * heat)
    overlay.set_title(f"evidence for {row['target']}")
    figure.colorbar(picture, ax=overlay, label="share of the highest heat")
    for axes in (radiograph, heatmap, overlay):
        axes.set_axis_off()
    bars.barh(class_names, explanation.probabilities, color="tab:blue")
    bars.invert_yaxis()
    bars.set(xlim=(0, 1), xlabel="probability")
    true = f"true {row['label']}, " if row["label"] else ""
    figure.suptitle(f"{row['id']}: {true}predicted {row['predicted']}")
    figure.savefig(path, dpi=100)


def _page(rows: list[dict[str, Any]]) -> str:
    panels = "\n".join(
        f'<figure><img loading="lazy" src="{row["panel"]}" alt="{html.escape(row["id"])}"></figure>'
        for row in rows
    )
    return (
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n"
        '<meta name=viewport content="width=device-width">\n<title>Grad-CAM</title>\n'
        "<style>body{font-family:sans-serif;margin:1rem auto;max-width:1100px}"
        "img{width:100%}figure{margin:0 0 1rem}</style>\n"
        f"<h1>Grad-CAM of {len(rows)} images</h1>\n<p>{RESEARCH_USE}</p>\n{panels}\n</html>\n"
    )
