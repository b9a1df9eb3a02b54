"""A panel per image: radiograph, heatmap, overlay and probabilities."""

import pathlib

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.data.examples import Example
from trainer.drawn_name import drawn

_LUNGS, _FINDING = "deepskyblue", "lime"


def draw_panel(
    path: pathlib.Path,
    example: Example,
    heat: np.ndarray,
    probabilities: np.ndarray,
    target: int,
    class_names: tuple[str, ...],
) -> None:
    """Draws a panel.

    Args:
        path: the PNG file to write.
        example: the radiograph.
        heat: `[H, W] float32` from 0 to 1.
        probabilities: `[classes] float32`.
        target: the explained class.
        class_names: names of the classes.
    """
    names = list(map(drawn, class_names))
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    radiograph, heatmap, overlay, bars = figure.subplots(1, 4)
    _show(radiograph, example.image, "radiograph")
    picture = heatmap.imshow(heat, cmap="inferno", vmin=0, vmax=1)
    heatmap.set_title("heatmap" if heat.any() else "no evidence at this layer")
    _show(overlay, example.image, f"evidence for {names[target]}")
    # Transparent where there is almost no heat, so that the radiograph stays visible.
    overlay.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=np.minimum(2 * heat, 0.6))
    _outline(overlay, example)
    figure.colorbar(
        picture, ax=heatmap, location="bottom", label="heat relative to the maximum", shrink=0.8
    )
    for axes in (radiograph, heatmap, overlay):
        axes.set_axis_off()
    bars.barh(range(len(names)), probabilities, color="tab:blue")
    bars.set_yticks(range(len(names)), names)
    bars.invert_yaxis()
    bars.set(xlim=(0, 1), xlabel="probability", title="prediction")
    true = "" if example.label is None else f"true {names[example.label]}, "
    figure.suptitle(f"{drawn(example.id)}: {true}predicted {names[probabilities.argmax()]}")
    figure.savefig(path, dpi=100)


def _show(axes: Axes, image: np.ndarray, title: str) -> None:
    axes.imshow(image[:, :, 0], cmap="gray", vmin=0, vmax=255)
    axes.set_title(title)


def _outline(axes: Axes, example: Example) -> None:
    """Draws the outlines of lungs and finding, with a legend below."""
    drawn = []
    for name, mask, colour in (
        ("lungs", example.lungs, _LUNGS),
        ("finding", example.finding, _FINDING),
    ):
        if mask is not None:
            axes.contour(mask, levels=[0.5], colors=colour, linewidths=1)
            drawn.append((name, colour))
    for index, (name, colour) in enumerate(drawn):
        place = (0.02 + 0.3 * index, -0.02)
        axes.text(*place, name, color=colour, transform=axes.transAxes, va="top", weight="bold")
