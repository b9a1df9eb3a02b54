"""The Matplotlib figure used for all plots."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

DPI = 130


def new_figure(title: str, height: float = 4.4) -> tuple[Figure, Axes]:
    """Creates a figure with one plot.

    Args:
        title: title of the plot.
        height: inches.

    Returns:
        The figure, to be saved at `DPI`, and its axes.
    """
    figure = Figure(figsize=(5.6, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize="medium")
    return figure, axes
