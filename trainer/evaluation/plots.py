"""The plots of a report."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from trainer.drawn_name import drawn
from trainer.evaluation.calibration import Calibration, ClassCalibration
from trainer.evaluation.decision_curve import DecisionCurve
from trainer.evaluation.metrics import ACCURACY, BALANCED_ACCURACY
from trainer.evaluation.operating_point import roc_and_precision_recall
from trainer.evaluation.selective import AccuracyCurve
from trainer.evaluation.statistics import Statistics
from trainer.figure import DPI, new_figure

# Okabe and Ito (2008): distinguishable by colour-blind readers; the line styles differ as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")


def plot_curves(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
    roc: pathlib.Path,
    precision_recall: pathlib.Path,
) -> None:
    """Plots the ROC and precision-recall curves of each class against the rest.

    Args:
        labels: `[examples] int`.
        probabilities: `[examples, classes] float`.
        class_names: names of the classes.
        roc: PNG file of the ROC curves.
        precision_recall: PNG file of the precision-recall curves.
    """
    roc_figure, roc_axes = new_figure("ROC curves (one versus rest)")
    roc_axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="chance")
    roc_axes.set(xlabel="1 - specificity", ylabel="sensitivity")
    recall_figure, recall_axes = new_figure("precision and recall, each class against the rest")
    recall_axes.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)")
    for index, name in enumerate(class_names):
        curves = roc_and_precision_recall(labels == index, probabilities[:, index])
        if curves is None:
            continue
        style = _style(index)
        roc_axes.plot(*curves[0], label=drawn(name), **style)
        recall_axes.step(*curves[1], where="post", label=drawn(name), **style)
    for figure, axes, path in (
        (roc_figure, roc_axes, roc),
        (recall_figure, recall_axes, precision_recall),
    ):
        _unit_square(axes)
        figure.savefig(path, dpi=DPI)


def plot_reliability(calibration: Calibration, path: pathlib.Path) -> None:
    """Plots accuracy against confidence; the size of a mark shows the number of examples.

    Args:
        calibration: calibration before and after temperature scaling.
        path: the PNG file to write.
    """
    figure, axes = new_figure("reliability of the predicted class")
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
    states = (
        (calibration.before, "uncalibrated", "o"),
        (calibration.after, "temperature-scaled", "s"),
    )
    for index, (state, label, marker) in enumerate(states):
        if state is None:
            continue
        filled = [bin_ for bin_ in state.bins if bin_.count]
        confidence = [bin_.confidence for bin_ in filled]
        accuracy = [bin_.accuracy for bin_ in filled]
        counts = np.array([bin_.count for bin_ in filled])
        label = f"{label} (ECE {state.ece:.3f})"
        axes.plot(confidence, accuracy, label=label, **_style(index))
        # The area of a mark is proportional to the share of examples in its bin.
        area = 15 + 400 * counts / counts.sum()
        axes.scatter(confidence, accuracy, area, COLOURS[index], marker=marker, alpha=0.7)
    axes.set(xlabel="mean probability of the predicted class", ylabel="accuracy")
    _unit_square(axes)
    figure.savefig(path, dpi=DPI)


def plot_reliability_by_class(classes: Mapping[str, ClassCalibration], path: pathlib.Path) -> None:
    """Plots the observed share of each class against its mean probability.

    Args:
        classes: calibration by class name.
        path: the PNG file to write.
    """
    figure, axes = new_figure("reliability, each class against the rest")
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
    for index, (name, of_class) in enumerate(classes.items()):
        predicted = [bin_.confidence for bin_ in of_class.bins]
        observed = [bin_.accuracy for bin_ in of_class.bins]
        style = _style(index)
        axes.plot(predicted, observed, label=drawn(name), marker=".", alpha=0.8, **style)
    axes.set(xlabel="mean probability of the class", ylabel="observed frequency")
    _unit_square(axes)
    figure.savefig(path, dpi=DPI)


def plot_decision_curve(curve: DecisionCurve, positive_class: str, path: pathlib.Path) -> None:
    """Plots net benefit, with its intervals, against the threshold probability.

    Args:
        curve: the decision curve.
        positive_class: name of the positive class.
        path: the PNG file to write.
    """
    figure, axes = new_figure(f"decision curve for {drawn(positive_class)}")
    axes.plot(curve.threshold, curve.model, label="model", **_style(0))
    bounds = np.array([interval or (np.nan, np.nan) for interval in curve.model_interval])
    axes.fill_between(curve.threshold, *bounds.T, color=COLOURS[0], alpha=0.2, linewidth=0)
    axes.plot(curve.threshold, curve.all, label="treat all", **_style(1))
    axes.axhline(0, label="treat none", color="0.4", linewidth=1)
    highest = max(0.01, *curve.model, *curve.all)
    axes.set(
        xlabel="threshold probability",
        ylabel="net benefit (true positives per example)",
        xlim=(0, 1),
        # The net benefit of treating all tends to minus infinity as the threshold nears 1.
        ylim=(-0.25 * highest, 1.1 * highest),
    )
    axes.legend()
    figure.savefig(path, dpi=DPI)


def plot_selective(curve: AccuracyCurve, path: pathlib.Path) -> None:
    """Plots accuracy against the share of examples that are answered.

    Args:
        curve: accuracy on the most confident examples.
        path: the PNG file to write.
    """
    figure, axes = new_figure("accuracy on the surest radiographs")
    axes.fill_between(
        curve.answered, curve.low, curve.high, color=COLOURS[0], alpha=0.2, linewidth=0,
        label="pointwise 95 % interval",
    )  # fmt: skip
    axes.plot(curve.answered, curve.accuracy, label="model", **_style(0))
    axes.axhline(curve.accuracy[-1], label="no abstention", color="0.4", linewidth=1)
    axes.set(xlabel="coverage, most confident first", ylabel="accuracy", xlim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=DPI)


def plot_accuracies(models: Mapping[str, Statistics], path: pathlib.Path) -> None:
    """Plots each model's accuracy and balanced accuracy with intervals.

    Args:
        models: statistics by model name.
        path: the PNG file to write.
    """
    figure, axes = new_figure("accuracy with 95 % interval", height=1.6 + 0.6 * len(models))
    for index, (metric, marker) in enumerate(((ACCURACY, "o"), (BALANCED_ACCURACY, "s"))):
        for row, statistics in enumerate(models.values()):
            value, y = statistics.values[metric.name], row + 0.2 * index - 0.1
            interval = statistics.intervals[metric.name] or [value, value]
            axes.plot(interval, [y, y], color=COLOURS[index])
            label = metric.label.lower() if row == 0 else None
            axes.plot(value, y, marker=marker, color=COLOURS[index], label=label, linestyle="")
    axes.set_yticks(range(len(models)), list(map(drawn, models)))
    axes.invert_yaxis()
    axes.set(xlabel="accuracy")
    axes.grid(axis="x", alpha=0.4)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    figure.savefig(path, dpi=DPI)


def _style(index: int) -> dict[str, Any]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": _DASHES[index % len(_DASHES)],
    }


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
