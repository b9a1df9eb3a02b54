"""The pictures of a report."""

import pathlib

import numpy as np
from matplotlib.figure import Figure


def plot_confusion_matrix(
    matrix: np.ndarray, class_names: tuple[str, ...], title: str, path: pathlib.Path
) -> None:
    """Draws a confusion matrix: counts, shaded by the share of each true class.

    Args:
        matrix: `[classes, classes] int`, rows true, columns predicted.
        class_names: names of the classes.
        title: what was judged on what.
        path: the PNG file to write.
    """
    matrix = np.asarray(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(picture, ax=axes, label="share of the true class")
    axes.set_xticks(range(len(class_names)), class_names, rotation=20, ha="right")
    axes.set_yticks(range(len(class_names)), class_names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    for row, column in np.ndindex(matrix.shape):
        axes.text(
            column, row, f"{matrix[row, column]}\n{shares[row, column]:.0%}",
            ha="center", va="center", color="black" if shares[row, column] > 0.5 else "white",
        )  # fmt: skip
    figure.savefig(path, dpi=150)
