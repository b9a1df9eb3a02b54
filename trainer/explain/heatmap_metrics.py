"""Metrics of heatmaps: per image, and over all images."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trainer.data.examples import Example
from trainer.explain.faithfulness import (
    area_under,
    curves,
    heat_within,
    points_into,
    random_heat,
)


@dataclasses.dataclass(frozen=True)
class HeatmapMetric:
    """A metric of heatmaps with a chance level.

    Attributes:
        name: key of the metric in index.csv and summary.json.
        chance: key of its chance level.
        how_to_read: interpretation of the metric.
        higher_is_better: whether values above chance are better.
    """

    name: str
    chance: str
    how_to_read: str
    higher_is_better: bool = True


METRICS = (
    HeatmapMetric(
        "lung_heat",
        "lung_area",
        "Share of the heat inside the lungs. The chance level is the lungs' share of the image: at "
        "that value the heatmap does not prefer the lungs.",
    ),
    HeatmapMetric(
        "finding_heat",
        "finding_area",
        "Share of the heat inside the drawn finding. The chance level is the finding's share of "
        "the image: far above it, the heatmap localises the finding.",
    ),
    HeatmapMetric(
        "pointing_hit",
        "finding_area",
        "Share of images whose hottest pixel is inside the drawn finding. The chance level is that "
        "of a random pixel.",
    ),
    HeatmapMetric(
        "deletion_auc",
        "random_deletion_auc",
        "Mean probability of the explained class while pixels are blurred, hottest first. Lower is "
        "better; below the chance level of random heatmaps, the hot pixels matter to the model.",
        higher_is_better=False,
    ),
    HeatmapMetric(
        "insertion_auc",
        "random_insertion_auc",
        "Mean probability of the explained class while pixels are restored in a blurred "
        "radiograph, hottest first. Higher is better; above the chance level of random heatmaps, "
        "the hot pixels are what the model needs.",
    ),
)
# The columns of index.csv, in order; two metrics share a chance level.
PER_IMAGE = tuple(
    dict.fromkeys(name for metric in METRICS for name in (metric.name, metric.chance))
)
HOW_TO_READ_RANDOMISATION = (
    "Mean rank correlation with heatmaps of the model with shuffled weights. Near 0, the heatmap "
    "depends on what the model has learned; near 1, it would look the same without training."
)


def evaluate_heatmap(
    example: Example,
    heat: np.ndarray,
    target: int,
    predict: Callable[[np.ndarray], np.ndarray] | None,
    seed: int,
) -> dict[str, float | bool | None]:
    """Computes the metrics of one heatmap.

    Args:
        example: the radiograph.
        heat: `[H, W] float32` from 0 to 1.
        target: the explained class.
        predict: runs the model, for the curves; None: no curves.
        seed: seed of the random heatmap for comparison.

    Returns:
        The values of `PER_IMAGE`; None without a mask, heat, or curve.
    """
    numbers: dict[str, Any] = dict.fromkeys(PER_IMAGE)
    if example.lungs is not None:
        numbers["lung_heat"], numbers["lung_area"] = heat_within(heat, example.lungs)
    if example.finding is not None:
        numbers["finding_heat"], numbers["finding_area"] = heat_within(heat, example.finding)
        numbers["pointing_hit"] = points_into(heat, example.finding)
    if predict is not None and heat.any():
        noise = random_heat(heat.shape, seed, example.id)
        for kind, order in (("", heat), ("random_", noise)):
            deletion, insertion = curves(predict, example.image, order, target)
            numbers[f"{kind}deletion_auc"] = area_under(deletion)
            numbers[f"{kind}insertion_auc"] = area_under(insertion)
    return numbers


def totals(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any] | None]:
    """Aggregates the metrics of all heatmaps.

    Args:
        rows: the result of `evaluate_heatmap` for each image.

    Returns:
        By name: `mean`, `chance`, `better_than_chance` (share of the images), `images` (number of
        images with a value) and `how_to_read`; None if no image has a value.
    """
    return {metric.name: _total(rows, metric) for metric in METRICS}


def _total(rows: Sequence[dict[str, Any]], metric: HeatmapMetric) -> dict[str, Any] | None:
    pairs = [(row[metric.name], row[metric.chance]) for row in rows if row[metric.name] is not None]
    if not pairs:
        return None
    values, chances = np.array(pairs, float).T
    better = values > chances if metric.higher_is_better else values < chances
    return {
        "mean": float(values.mean()),
        "chance": float(chances.mean()),
        "better_than_chance": float(better.mean()),
        "images": len(pairs),
        "how_to_read": metric.how_to_read,
    }
