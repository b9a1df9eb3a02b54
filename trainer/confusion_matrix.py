"""The plot of a confusion matrix."""

import pathlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from trainer.drawn_name import drawn
from trainer.figure import DPI, new_figure


def plot_confusion_matrix(
    matrix: Sequence[Sequence[int]] | np.ndarray,
    class_names: tuple[str, ...],
    title: str,
    path: pathlib.Path | BinaryIO,
    *,
    normalised: bool = False,
) -> None:
    """Plots a confusion matrix, shaded by the share of each true class.

    Args:
        matrix: `[classes, classes] int`, rows true, columns predicted.
        class_names: names of the classes.
        title: title of the plot.
        path: the PNG file to write.
        normalised: whether the cells show shares of their row instead of counts.
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = new_figure(title)
    picture = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(picture, ax=axes, label="share of the true class")
    names = list(map(drawn, class_names))
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    for row, column in np.ndindex(counts.shape):
        share = shares[row, column]
        said = f"{share:.1%}" if normalised else str(counts[row, column])
        if not counts[row].any():
            said = "–"
        colour = "black" if share > 0.5 else "white"
        axes.text(column, row, said, ha="center", va="center", color=colour)
    figure.savefig(path, dpi=DPI)
