"""The numbers that tell whether heatmaps can be believed: of each image, and of all."""

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

# The numbers of each image, in the order of index.csv.
PER_IMAGE = (
    "lung_heat", "lung_area", "finding_heat", "finding_area", "pointing_hit",
    "deletion_auc", "random_deletion_auc", "insertion_auc", "random_insertion_auc",
)  # fmt: skip

HOW_TO_READ = {
    "lung_heat": "Share of the heat inside the lungs: at its chance level, the share of the image "
    "that the lungs take, the model looks at the lungs no more than at anything else.",
    "finding_heat": "Share of the heat inside the drawn finding: far above its chance level, the "
    "share of the image that the finding takes, the heat tells where the finding is.",
    "pointing_hit": "Share of images whose hottest pixel lies inside the drawn finding: the chance "
    "level is where a pixel drawn blindly would lie.",
    "deletion_auc": "Mean probability of the explained class while the hottest pixels are blurred "
    "away first: lower is better, and below the random heatmaps' the heat matters to the model.",
    "insertion_auc": "Mean probability of the explained class while the hottest pixels are put "
    "into a blurred radiograph first: higher is better, and above the random heatmaps' the heat "
    "is what the model needs.",
    "randomisation": "Mean rank correlation with the heatmaps of shuffled weights: near 0 the "
    "heatmap comes from what the model learnt, near 1 it would be the same without any training.",
}

# Each number of all images, and the number of each image that is its chance level.
_CHANCE = {
    "lung_heat": "lung_area",
    "finding_heat": "finding_area",
    "pointing_hit": "finding_area",
    "deletion_auc": "random_deletion_auc",
    "insertion_auc": "random_insertion_auc",
}
_LOWER_IS_BETTER = ("deletion_auc",)


def judge(
    example: Example,
    heat: np.ndarray,
    target: int,
    predict: Callable[[np.ndarray], np.ndarray] | None,
    seed: int,
) -> dict[str, float | bool | None]:
    """The numbers of one heatmap.

    Args:
        example: the radiograph.
        heat: `[H, W] float32` from 0 to 1.
        target: the class that is explained.
        predict: images to probabilities, for the curves; None draws none.
        seed: of the random heatmap beside it.

    Returns:
        `PER_IMAGE`; None where there is no mask, no heat, or no curve.
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
    """The numbers of all heatmaps.

    Args:
        rows: `judge` of each image.

    Returns:
        Name to `mean`, `chance`, `better_than_chance` (share of the images), `images` (how many
        have the number) and `how_to_read`; None where no image has the number.
    """
    return {name: _total(rows, name) for name in _CHANCE}


def _total(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any] | None:
    pairs = [(row[name], row[_CHANCE[name]]) for row in rows if row[name] is not None]
    if not pairs:
        return None
    values, chances = np.array(pairs, float).T
    better = values < chances if name in _LOWER_IS_BETTER else values > chances
    return {
        "mean": float(values.mean()),
        "chance": float(chances.mean()),
        "better_than_chance": float(better.mean()),
        "images": len(pairs),
        "how_to_read": HOW_TO_READ[name],
    }
