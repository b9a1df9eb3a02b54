"""The canvas of an upright chest: patient coordinates, soft shapes, noise and lines."""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from cxr_tfds import film

# Coarser than the film, and wide enough that tilting leaves no empty corner: a film is slightly
# blurred anyway, and drawing takes half the time.
_PITCH = 1.5
_SIZE = 216


class Pose(NamedTuple):
    """The position of a patient in front of the film.

    Attributes:
        tilt: angle of the spine, radians.
        scale: magnification.
        shift: position of the patient's midpoint, in patient coordinates.
    """

    tilt: float
    scale: float
    shift: tuple[float, float]


def axes(pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Returns the patient coordinates of the canvas: ``u`` [1, canvas] and ``v`` [canvas, 1]."""
    pixels = np.arange(_SIZE, dtype=np.float32) + (1 - _SIZE) / 2
    axis = pixels * (2 * _PITCH / film.SIZE / pose.scale)
    return axis[None, :] - pose.shift[0], axis[:, None] - pose.shift[1]


def _pixels(pose: Pose, points: np.ndarray) -> np.ndarray:
    """Maps patient coordinates [..., 2] to canvas pixels [..., 2], the reverse of the axes."""
    scaled = (points + np.array(pose.shift)) * (pose.scale * film.SIZE / 2 / _PITCH)
    return scaled + (_SIZE - 1) / 2


def onto_film(
    canvas: np.ndarray, pose: Pose, resampling: Image.Resampling = Image.Resampling.NEAREST
) -> np.ndarray:
    """Tilts the patient and enlarges the canvas to the film [299, 299]."""
    cos, sin = math.cos(pose.tilt) / _PITCH, math.sin(pose.tilt) / _PITCH
    left, top = (_SIZE - film.SIZE * (cos - sin)) / 2, (_SIZE - film.SIZE * (cos + sin)) / 2
    affine = (cos, -sin, left, sin, cos, top)
    tilted = Image.fromarray(canvas).transform(
        (film.SIZE, film.SIZE), Image.Transform.AFFINE, affine, resampling
    )
    return np.asarray(tilted)


def strokes(pose: Pose, paths: np.ndarray, widths: np.ndarray, shades: np.ndarray) -> np.ndarray:
    """Draws slightly blurred lines [n, points, 2] of the given widths and shades (0 to 1)."""
    canvas = Image.new("L", (_SIZE, _SIZE))
    pen = ImageDraw.Draw(canvas)
    points = _pixels(pose, paths).reshape(len(paths), -1).tolist()
    for path, width, shade in zip(points, widths.tolist(), shades.tolist(), strict=True):
        pen.line(path, fill=int(255 * shade), width=width)
    return np.asarray(canvas.filter(ImageFilter.SMOOTH), np.float32) / 255


def bulge(x: np.ndarray | float, centre: float, half: np.ndarray | float) -> np.ndarray:
    """Returns a parabola: 1 at the centre, 0 at ``half`` from it and beyond."""
    scaled = (x - centre) / half
    return np.maximum(1 - scaled * scaled, 0)


def ramp(distance: np.ndarray, softness: float) -> np.ndarray:
    """Returns a soft edge: 0 outside, 1 inside, 0.5 at distance 0."""
    return np.clip(0.5 + distance * (1 / softness), 0, 1)


def meet(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the smaller of two distances, with a rounded corner where they are equal."""
    return one + other - np.sqrt(one * one + other * other)


def wobble(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Returns a smooth random curve of about unit spread over one coordinate."""
    waves = (np.sin(rng.uniform(2, 14) * x + rng.uniform(0, 6.3)) for _ in range(3))
    return sum(waves, np.zeros_like(x))


def clouds(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Returns smooth noise of unit spread, with ``cells`` blobs across the canvas."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC))


def inside(depth: np.ndarray) -> np.ndarray:
    """Returns 255 where ``depth`` is positive, blurred so that sharp corners leave no specks."""
    mask = Image.fromarray((depth > 0).view(np.uint8) * 255)
    return np.asarray(mask.filter(ImageFilter.BoxBlur(3)))
