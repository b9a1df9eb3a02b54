"""The findings of the classes: maps of attenuation added to that of the healthy chest."""

import numpy as np

from cxr_tfds.canvas import clouds, strokes
from cxr_tfds.chest import Chest, curves, inner_border, outer_border


def fill_air(chest: Chest, finding: np.ndarray) -> np.ndarray:
    """Replaces air by a finding, which becomes thinner towards the borders of the lungs."""
    return finding * chest.air * np.clip(chest.depth / 0.04, 0, 1)


def _normal(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    return np.zeros_like(chest.air)


def _covid(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Draws bilateral, peripheral, mostly lower ground-glass patches."""
    haze = np.zeros_like(chest.air)
    for side in (-1, 1):
        for _ in range(rng.integers(2, 5)):
            v = rng.uniform(-0.15, 0.42)
            u = side * float(outer_border(chest.build, v) - rng.uniform(0.04, 0.18))
            size = rng.uniform(0.16, 0.26), rng.uniform(0.2, 0.34)
            haze = np.maximum(haze, _blob(chest, (u, v), size))
    grain = 1 + 0.2 * clouds(rng, 12) + 0.08 * clouds(rng, 60)
    return rng.uniform(0.25, 1.0) * haze * grain


def _lung_opacity(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Draws one focal, dense, soft-edged consolidation in one lung."""
    side, v = 1 - 2 * int(rng.integers(2)), rng.uniform(-0.4, 0.3)
    inner, outer = inner_border(chest.build, side, v), outer_border(chest.build, v)
    u = side * float(inner + rng.uniform(0.25, 0.75) * (outer - inner))
    size = rng.uniform(0.24, 0.4), rng.uniform(0.26, 0.46)
    mass = _blob(chest, (u, v), size) * (chest.u * side > 0)
    return rng.uniform(0.4, 1.4) * mass * (1 + 0.1 * clouds(rng, 20))


def _viral_pneumonia(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Draws diffuse interstitial streaks around both hila."""
    count = 300
    side = rng.choice([-1.0, 1.0], count)
    out, down = np.abs(rng.normal(0, 0.24, count)), rng.normal(0.05, 0.24, count)
    starts = np.stack([side * (0.15 + out), down], -1)
    lengths = rng.uniform(0.04, 0.13, count)
    paths = curves(rng, starts, rng.uniform(-2.0, 2.0, count), side, lengths)
    streaks = strokes(chest.build.pose, paths, np.ones(count, int), rng.uniform(0.3, 1, count))
    size = rng.uniform(0.38, 0.5), rng.uniform(0.45, 0.6)
    spread = np.maximum(_blob(chest, (-0.22, 0.05), size), _blob(chest, (0.25, 0.05), size))
    return rng.uniform(0.25, 1.0) * spread * (0.45 + 0.8 * streaks)


def _blob(chest: Chest, centre: tuple[float, float], size: tuple[float, float]) -> np.ndarray:
    """Returns a soft ellipse, 1 in the middle and 0 beyond ``size``."""
    across, along = (chest.u - centre[0]) / size[0], (chest.v - centre[1]) / size[1]
    height = np.maximum(1 - across * across - along * along, 0)
    return height * np.sqrt(height)


FINDINGS = {
    "COVID": _covid,
    "Lung_Opacity": _lung_opacity,
    "Normal": _normal,
    "Viral Pneumonia": _viral_pneumonia,
}
