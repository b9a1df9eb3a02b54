"""Draws synthetic frontal chest radiographs: a healthy chest and its finding.

Everything is computed in patient coordinates: ``u`` grows towards the image right (the patient's
left), ``v`` downwards, and the film spans about -1 to 1 in both. A chest is a map of attenuation
to which every organ adds its share; the film turns attenuation into gray.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from cxr_tfds import film
from cxr_tfds.canvas import inside, onto_film
from cxr_tfds.chest import draw_chest
from cxr_tfds.findings import FINDINGS, fill_air

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
MASK = 256

# The nearest pixel of one grid for each pixel of the other.
_TO_MASK = ((np.arange(MASK) + 0.5) * film.SIZE / MASK).astype(int)
_TO_FILM = ((np.arange(film.SIZE) + 0.5) * MASK / film.SIZE).astype(int)

# Differences in attenuation that are invisible in the gray levels.
_INVISIBLE = 0.02


class Phantom(NamedTuple):
    """A synthetic radiograph with its ground truth.

    Attributes:
        image: the radiograph, uint8 [299, 299].
        lungs: mask of both lungs, bool [256, 256].
        finding: mask of the finding, bool [299, 299]; all False for Normal.
        rgb: whether the database stores the image as three equal channels.
    """

    image: np.ndarray
    lungs: np.ndarray
    finding: np.ndarray
    rgb: bool


def draw(label: str, number: int, seed: int = 0) -> Phantom:
    """Draws one phantom, deterministic in its arguments.

    Args:
        label: one of CLASSES.
        number: the image's number in its class, from 1.
        seed: a non-negative integer; different seeds give different patients.

    Returns:
        The radiograph (uint8 [299, 299]), its lungs (bool [256, 256]), its finding
        (bool [299, 299]) and whether it is stored as RGB.

    Raises:
        ValueError: the label is not one of CLASSES, or the seed is negative.
    """
    if label not in CLASSES:
        raise ValueError(f"label must be one of {', '.join(CLASSES)}, not {label!r}.")
    rng = np.random.default_rng([seed, CLASSES.index(label), number])
    chest = draw_chest(rng)
    sheet = film.load(rng)
    lungs = _pick(onto_film(inside(chest.depth), chest.build.pose), _TO_MASK) > 127
    # The finding is drawn last, so that it is the only difference between the classes.
    opacity = onto_film(fill_air(chest, FINDINGS[label](chest, rng)), chest.build.pose)
    opacity = np.where(_pick(lungs, _TO_FILM) & (opacity > _INVISIBLE), opacity, 0)
    healthy = onto_film(chest.attenuation, chest.build.pose, Image.Resampling.BILINEAR)
    image = film.expose(sheet, healthy + opacity)
    return Phantom(image, lungs, opacity > 0, label == "Viral Pneumonia" and number % 8 == 1)


def _pick(pixels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Selects the pixels in these rows and columns, five times faster than with one indexing."""
    return pixels.take(places, 0).take(places, 1)
