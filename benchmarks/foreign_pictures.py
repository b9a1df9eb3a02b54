"""Random images of several kinds that differ from the training radiographs."""

from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from scipy import ndimage
from sklearn.datasets import load_sample_images

from cxr_command.radiograph.reading import resized
from cxr_tfds import phantom

_WORDS = (
    "the patient was seen on monday and no change has been found since then of any kind".split()
)


def foreign_pictures(radiographs: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """Generates images of every kind.

    Args:
        radiographs: `[radiographs, H, W, 1] uint8`, the basis of some kinds.
        count: number of images per kind, at most the number of radiographs.
        seed: random seed.

    Returns:
        `[count, H, W, 1] uint8` by kind.
    """
    generator = np.random.default_rng(seed)
    chosen = radiographs[generator.permutation(len(radiographs))[:count]]
    shape = radiographs.shape[1:]
    drawn = {
        kind: np.stack([resized(draw(generator, number), shape) for number in range(count)])
        for kind, draw in _DRAWN.items()
    }
    return drawn | {kind: change(chosen) for kind, change in _CHANGED.items()}


def _scene(generator: np.random.Generator, _: int) -> np.ndarray:
    """Draws a landscape of shaded objects under a sky, with camera grain."""
    height, width = 240, 240
    horizon = int(generator.integers(80, 160))
    sky = np.linspace(generator.integers(120, 250), generator.integers(120, 250), horizon)
    ground = np.linspace(generator.integers(20, 120), generator.integers(20, 160), height - horizon)
    rows = np.concatenate([sky, ground])
    image = PIL.Image.fromarray(np.repeat(rows[:, None], width, axis=1).astype(np.uint8))
    pen = PIL.ImageDraw.Draw(image)
    for _thing in range(generator.integers(4, 12)):
        x, y = int(generator.integers(width)), int(generator.integers(horizon // 2, height))
        size, gray = int(generator.integers(10, 70)), int(generator.integers(255))
        shape = generator.integers(3)
        if shape == 0:
            pen.ellipse([x, y - size, x + size, y], fill=gray)
        elif shape == 1:
            pen.rectangle([x, y - 2 * size, x + size, y], fill=gray)
        else:
            pen.polygon([(x, y), (x + size, y), (x + size // 2, y - 2 * size)], fill=gray)
    texture = ndimage.gaussian_filter(generator.normal(0, 40, (height, width)), 2)
    pixels = ndimage.gaussian_filter(np.asarray(image, float), 1) + texture
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _page(generator: np.random.Generator, _: int) -> np.ndarray:
    """Draws dark words on a light page."""
    image = PIL.Image.new("L", (448, 448), int(generator.integers(225, 256)))
    pen, font = (
        PIL.ImageDraw.Draw(image),
        PIL.ImageFont.load_default(int(generator.integers(12, 26))),
    )
    for line in range(30, 420, int(generator.integers(20, 36))):
        words = generator.choice(_WORDS, generator.integers(3, 10))
        pen.text((30, line), " ".join(words), fill=int(generator.integers(0, 80)), font=font)
    return np.asarray(image)


def _photograph(generator: np.random.Generator, number: int) -> np.ndarray:
    """Returns a crop of one of the two photographs in scikit-learn."""
    photographs = load_sample_images().images
    gray = photographs[number % len(photographs)].mean(axis=2).astype(np.uint8)
    side = generator.integers(150, min(gray.shape))
    top, left = (generator.integers(0, length - side + 1) for length in gray.shape)
    return gray[top : top + side, left : left + side]


def _phantom(_: np.random.Generator, number: int) -> np.ndarray:
    return phantom.draw(phantom.CLASSES[number % len(phantom.CLASSES)], number + 1).image


def _uniform_noise(generator: np.random.Generator, _: int) -> np.ndarray:
    return generator.integers(0, 256, (224, 224), dtype=np.uint8)


def _gaussian_noise(generator: np.random.Generator, _: int) -> np.ndarray:
    return np.clip(generator.normal(128, 40, (224, 224)), 0, 255).astype(np.uint8)


def _on_its_side(images: np.ndarray) -> np.ndarray:
    shape = images.shape[1:]
    return np.stack([resized(np.rot90(image[..., 0]), shape) for image in images])


def _blurred(images: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(images, (0, 6, 6, 0))


def _saturated(images: np.ndarray) -> np.ndarray:
    return np.clip(128 + 3 * (images.astype(float) - 128), 0, 255).astype(np.uint8)


_DRAWN: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "photographs": _photograph,
    "drawn scenes": _scene,
    "text pages": _page,
    "phantom radiographs": _phantom,
    "uniform noise": _uniform_noise,
    "Gaussian noise": _gaussian_noise,
}
_CHANGED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "inverted": lambda images: 255 - images,
    "turned by 90 degrees": _on_its_side,
    "turned by 180 degrees": lambda images: np.rot90(images, 2, axes=(1, 2)),
    "blurred": _blurred,
    "saturated": _saturated,
}
