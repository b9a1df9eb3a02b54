"""The film of a synthetic radiograph: exposure, grain and marker."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

SIZE = 299

_LETTERS: dict[str, list[tuple[float, float]]] = {
    "L": [(0, 0), (0, 1), (0.6, 1)],
    "R": [(0, 1), (0, 0), (0.5, 0), (0.6, 0.25), (0.5, 0.5), (0, 0.5), (0.6, 1)],
}


class Film(NamedTuple):
    """The exposure of one film, and objects on it besides the patient."""

    exposure: float
    tone: float
    black: float
    white: float
    noise: np.ndarray
    marker: np.ndarray


def load(rng: np.random.Generator) -> Film:
    """Draws a random film and exposure.

    Args:
        rng: the random number generator.

    Returns:
        A film for ``expose``.
    """
    return Film(
        exposure=rng.uniform(0.8, 1.2),
        tone=rng.uniform(-0.3, 0.15),
        black=rng.uniform(0, 20),
        white=rng.uniform(215, 255),
        noise=rng.uniform(2, 12) * _grain(rng),
        marker=_marker(rng),
    )


def _grain(rng: np.random.Generator) -> np.ndarray:
    """Returns film noise; a sum of two uniforms is close to normal and much faster to draw."""
    grains = rng.integers(0, 256, (2, SIZE, SIZE), np.uint8)
    return grains.sum(0, dtype=np.float32) / 255 - 1


def expose(film: Film, attenuation: np.ndarray) -> np.ndarray:
    """Converts attenuation to gray values.

    Args:
        film: the film to expose.
        attenuation: attenuation of the beam at each pixel, float32 [299, 299].

    Returns:
        The radiograph, uint8 [299, 299].
    """
    shade = 1 - np.exp(-film.exposure * np.maximum(attenuation, 0))
    shade = shade + film.tone * shade * (1 - shade)
    gray = film.black + (film.white - film.black) * shade + film.noise
    return np.clip(np.maximum(gray, film.marker) + 0.5, 0, 255).astype(np.uint8)


def _marker(rng: np.random.Generator) -> np.ndarray:
    """Draws the side marker that a technician places beside the lungs, if any."""
    letter, shade = rng.choice(["L", "R"]), int(rng.integers(150, 256))
    left = rng.uniform(268, 284) if letter == "L" else rng.uniform(4, 18)
    top, present = rng.uniform(4, 40), rng.random() < 0.6
    canvas = Image.new("L", (SIZE, SIZE))
    if present:
        points = [(left + 12 * x, top + 15 * y) for x, y in _LETTERS[letter]]
        ImageDraw.Draw(canvas).line(points, fill=shade, width=2)
    return np.asarray(canvas)
