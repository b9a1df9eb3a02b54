"""Checks of heatmaps: where the heat lies, and how the prediction changes without it.

Every score is reported beside its chance level. Sources: pointing game, Zhang et al. 2018; deletion
and insertion, Petsiuk et al. 2018; randomised weights, Adebayo et al. 2018.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from scipy import ndimage, stats

from trainer.explain.heatmap import enlarge
from trainer.explain.methods import Method

CURVE_STEPS = 12
# Deleted pixels are replaced by a blurred image; the standard deviation is a share of the image's
# height. Black pixels would be out of distribution, and the prediction meaningless.
_BLUR = 1 / 12
# A random heatmap is noise on a coarse grid, enlarged like heatmaps are.
_RANDOM_GRID = (7, 7)
# Number of sets of shuffled weights that explain the same images.
_SHUFFLES = 3
# Below this mean rank correlation, maps of randomised weights count as different.
_OTHER_MAP = 0.5


def heat_within(heat: np.ndarray, mask: np.ndarray) -> tuple[float | None, float]:
    """Returns the share of heat inside a mask, and the mask's share of the image (chance level).

    Args:
        heat: `[H, W] float32`, non-negative.
        mask: `[H, W] bool`.

    Returns:
        Both from 0 to 1; the first is None if there is no heat.
    """
    total = heat.sum(dtype=np.float64)
    share = float(heat[mask].sum(dtype=np.float64) / total) if total > 0 else None
    return share, float(mask.mean())


def points_into(heat: np.ndarray, mask: np.ndarray) -> bool | None:
    """Pointing game: whether the hottest pixel is inside the mask; None if there is no heat.

    Args:
        heat: `[H, W] float32`, non-negative.
        mask: `[H, W] bool`.
    """
    return bool(mask.flat[heat.argmax()]) if heat.any() else None


def random_heat(size: tuple[int, int], seed: int, name: str) -> np.ndarray:
    """Generates a random heatmap, deterministic in seed and name.

    Args:
        size: `(height, width)`.
        seed: a non-negative integer.
        name: the image's id.

    Returns:
        `[height, width] float32` from 0 to 1.
    """
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    noise = np.random.default_rng([seed, digest]).random(_RANDOM_GRID, np.float32)
    return enlarge(noise, size)


def curves(
    predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray, heat: np.ndarray, target: int
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the target's probability as the hottest pixels are deleted, and inserted.

    Deleted pixels are blurred. Insertion starts from the fully blurred radiograph.

    Args:
        predict: `[batch, H, W, 1] uint8` to `[batch, classes]` probabilities.
        image: `[H, W, 1] uint8`.
        heat: `[H, W] float32`; equally hot pixels are taken in image order.
        target: the class whose probability is measured.

    Returns:
        Deletion and insertion, each `[CURVE_STEPS + 1]`, the first value before the first pixel.
    """
    sigma = _BLUR * image.shape[0]
    blurred = np.round(ndimage.gaussian_filter(image.astype(np.float32), (sigma, sigma, 0)))
    rank = np.empty(heat.size, int)
    rank[np.argsort(-heat, axis=None, kind="stable")] = np.arange(heat.size)
    reached = np.linspace(0, heat.size, CURVE_STEPS + 1)[:, None, None, None]
    touched = rank.reshape(1, *heat.shape, 1) < reached
    batch = np.concatenate([np.where(touched, blurred, image), np.where(touched, image, blurred)])
    probabilities = predict(batch.astype(np.uint8))[:, target]
    return probabilities[: CURVE_STEPS + 1], probabilities[CURVE_STEPS + 1 :]


def area_under(curve: np.ndarray) -> float:
    """Integrates a curve over equal steps from 0 to 1 with the trapezoidal rule."""
    return float(np.trapezoid(curve) / (len(curve) - 1))


def shuffled(weights: Sequence[np.ndarray], seed: int | Sequence[int]) -> list[np.ndarray]:
    """Shuffles the values of each array: weights of the same magnitude without information.

    Values of kernels also get random signs. A trained dense kernel often has a negative mean; if it
    were only shuffled, every unit would be inactive, and there would be no heatmap to compare.

    Args:
        weights: weights of a model.
        seed: seed of the shuffles.

    Returns:
        New arrays of the same shapes.
    """
    generator = np.random.default_rng(seed)

    def shuffle(array: np.ndarray) -> np.ndarray:
        signs = generator.choice([-1, 1], array.shape) if array.ndim > 1 else 1
        return generator.permuted(array.ravel()).reshape(array.shape) * signs

    return [shuffle(array) for array in weights]


def randomisation_check(
    explain: Method, model: keras.Model, images: np.ndarray, targets: np.ndarray, seed: int
) -> dict[str, Any]:
    """Compares heatmaps with those of `shuffled` weights, for the same classes.

    Args:
        explain: explains the model's predictions.
        model: the model; its weights are restored afterwards.
        images: `[batch, H, W, 1] uint8`.
        targets: `[batch] int`.
        seed: seed of the shuffles.

    Returns:
        `rank_correlation`: mean Spearman correlation over all pairs of a map and a map of shuffled
        weights; `compared`: number of pairs; `no_heat`: number of further pairs with a map without
        heat, which cannot be ranked; `passes`: whether the maps differ. Without pairs, the mean and
        `passes` are None.
    """
    learnt = model.get_weights()
    ours = explain(images, targets)[0]
    pairs = []
    try:
        for number in range(_SHUFFLES):
            model.set_weights(shuffled(learnt, [seed, number]))
            pairs += zip(ours, explain(images, targets)[0], strict=True)
    finally:
        model.set_weights(learnt)
    correlations = [
        float(stats.spearmanr(our, their, axis=None).statistic)
        for our, their in pairs
        if np.ptp(our) > 0 and np.ptp(their) > 0
    ]
    mean = float(np.mean(correlations)) if correlations else None
    return {
        "rank_correlation": mean,
        "compared": len(correlations),
        "no_heat": len(pairs) - len(correlations),
        "passes": None if mean is None else mean < _OTHER_MAP,
    }
