"""The plot of a study: a dot per run, mean and interval per configuration."""

import pathlib
from collections.abc import Sequence

import numpy as np

from trainer.drawn_name import drawn
from trainer.evaluation.metrics import ACCURACY
from trainer.evaluation.plots import COLOURS
from trainer.evaluation.study.estimates import Configuration
from trainer.figure import DPI, new_figure


def plot_configurations(configurations: Sequence[Configuration], path: pathlib.Path) -> None:
    """Plots the accuracy of every run, and each configuration's mean with its interval.

    Args:
        configurations: configurations, including the ensembles.
        path: the PNG file to write.
    """
    height = 1.7 + 0.6 * len(configurations)
    figure, axes = new_figure("accuracy over the runs", height)
    for row, configuration in enumerate(configurations):
        values = [run.values[ACCURACY.name] for run in configuration.runs]
        # Spread horizontally, as runs may coincide.
        places = row + np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else [row]
        label = "run" if row == 0 else None
        axes.plot(values, places, "o", color=COLOURS[0], alpha=0.45, markersize=4, label=label)
        over_runs = configuration.metrics[ACCURACY.name].over_runs
        if over_runs and over_runs.interval:
            axes.plot(over_runs.interval, [row, row], color=COLOURS[1], linewidth=2)
        label = "mean, 95 % interval" if row == 0 else None
        axes.plot(np.mean(values), row, "D", color=COLOURS[1], label=label)
    axes.set_yticks(range(len(configurations)), [drawn(one.title) for one in configurations])
    axes.set_ylim(len(configurations) - 0.5, -0.5)
    axes.set(xlabel="accuracy")
    axes.grid(axis="x", alpha=0.4)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    figure.savefig(path, dpi=DPI)
