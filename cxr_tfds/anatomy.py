"""Draws synthetic frontal chest radiographs: a healthy chest and its finding.

Everything is computed in patient coordinates: ``u`` grows towards the image right (the patient's
left), ``v`` downwards, and the film spans about -1 to 1 in both. A chest is a map of attenuation
to which every organ adds its share; the film turns attenuation into gray.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from cxr_tfds import film

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
MASK = 256
# Chests are drawn upright on a coarser canvas, wide enough that tilting leaves no empty corner:
# a film is a little blurred anyway, and drawing takes half the time.
_PITCH = 1.5
_CANVAS = 216

# The nearest pixel of one grid for each pixel of the other.
_TO_MASK = ((np.arange(MASK) + 0.5) * film.SIZE / MASK).astype(int)
_TO_FILM = ((np.arange(film.SIZE) + 0.5) * MASK / film.SIZE).astype(int)

# Attenuation that changes no gray level an eye could see.
_INVISIBLE = 0.02


class Phantom(NamedTuple):
    """One synthetic radiograph and the truth about it.

    Attributes:
        image: the radiograph, uint8 [299, 299].
        lungs: where the two lungs are, bool [256, 256].
        finding: where the finding was drawn, bool [299, 299]; all False for Normal.
        rgb: whether the database stores the image as three equal channels.
    """

    image: np.ndarray
    lungs: np.ndarray
    finding: np.ndarray
    rgb: bool


class Build(NamedTuple):
    """The proportions and position of one patient, in patient coordinates."""

    tilt: float
    scale: float
    shift: tuple[float, float]
    width: float
    apex: float
    domes: tuple[float, float]
    heart: float
    torso: float
    spacing: float
    droop: float


class Chest(NamedTuple):
    """A healthy chest, upright on the canvas.

    Attributes:
        build: the patient's proportions.
        u: horizontal patient coordinate, float32 [1, canvas].
        v: vertical patient coordinate, float32 [canvas, 1].
        depth: distance into the lungs, negative outside, float32 [canvas, canvas].
        air: thickness of aerated lung, 0 to 1, float32 [canvas, canvas].
        attenuation: what the beam loses on its way, float32 [canvas, canvas].
    """

    build: Build
    u: np.ndarray
    v: np.ndarray
    depth: np.ndarray
    air: np.ndarray
    attenuation: np.ndarray


def draw(label: str, number: int, seed: int = 0) -> Phantom:
    """Draws one phantom, always the same one for the same arguments.

    Args:
        label: one of CLASSES.
        number: the image's number in its class, from 1.
        seed: a non-negative integer; another seed gives other patients.

    Returns:
        The radiograph (uint8 [299, 299]), its lungs (bool [256, 256]), its finding
        (bool [299, 299]) and whether it is stored as RGB.

    Raises:
        ValueError: the label is not one of CLASSES, or the seed is negative.
    """
    if label not in CLASSES:
        raise ValueError(f"label must be one of {', '.join(CLASSES)}, not {label!r}.")
    rng = np.random.default_rng([seed, CLASSES.index(label), number])
    chest = _chest(rng)
    sheet = film.load(rng)
    lungs = _pick(_onto_film(_inside(chest.depth), chest.build), _TO_MASK) > 127
    # The finding comes last of all draws, so that it alone tells one class from another.
    opacity = _onto_film(_fluid(chest, FINDINGS[label](chest, rng)), chest.build)
    opacity = np.where(_pick(lungs, _TO_FILM) & (opacity > _INVISIBLE), opacity, 0)
    healthy = _onto_film(chest.attenuation, chest.build, Image.Resampling.BILINEAR)
    image = film.expose(sheet, healthy + opacity)
    return Phantom(image, lungs, opacity > 0, label == "Viral Pneumonia" and number % 8 == 1)


# --- geometry -------------------------------------------------------------------------------


def _build(rng: np.random.Generator) -> Build:
    return Build(
        tilt=rng.uniform(-0.05, 0.05),
        scale=rng.uniform(0.95, 1.1),
        shift=(rng.normal(0, 0.025), rng.normal(0, 0.025)),
        width=rng.uniform(0.7, 0.82),
        apex=rng.uniform(-0.8, -0.64),
        domes=(rng.uniform(0.3, 0.46), rng.uniform(0.36, 0.52)),
        heart=rng.uniform(0.16, 0.3),
        torso=rng.uniform(1.2, 1.45),
        spacing=rng.uniform(0.125, 0.165),
        droop=rng.uniform(0.25, 0.5),
    )


def _axes(build: Build) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.arange(_CANVAS, dtype=np.float32) + (1 - _CANVAS) / 2
    axis = pixels * (2 * _PITCH / film.SIZE / build.scale)
    return axis[None, :] - build.shift[0], axis[:, None] - build.shift[1]


def _pixels(build: Build, points: np.ndarray) -> np.ndarray:
    """Maps patient coordinates [..., 2] to canvas pixels [..., 2], the reverse of the axes."""
    scaled = (points + np.array(build.shift)) * (build.scale * film.SIZE / 2 / _PITCH)
    return scaled + (_CANVAS - 1) / 2


def _onto_film(
    canvas: np.ndarray, build: Build, resampling: Image.Resampling = Image.Resampling.NEAREST
) -> np.ndarray:
    """Tilts the patient and enlarges the canvas to the film [299, 299]."""
    cos, sin = math.cos(build.tilt) / _PITCH, math.sin(build.tilt) / _PITCH
    left, top = (_CANVAS - film.SIZE * (cos - sin)) / 2, (_CANVAS - film.SIZE * (cos + sin)) / 2
    affine = (cos, -sin, left, sin, cos, top)
    tilted = Image.fromarray(canvas).transform(
        (film.SIZE, film.SIZE), Image.Transform.AFFINE, affine, resampling
    )
    return np.asarray(tilted)


def _pick(pixels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The pixels in these rows and columns, in a fifth of the time that one indexing would take."""
    return pixels.take(places, 0).take(places, 1)


def _outer(build: Build, v: np.ndarray | float) -> np.ndarray:
    """Distance of the lungs' lateral border from the midline."""
    height = np.clip((0.3 - v) / (0.3 - build.apex), 0, 1)
    return 0.26 + (build.width - 0.26) * np.sqrt(1 - height * height)


def _inner(build: Build, u: np.ndarray | float, v: np.ndarray | float) -> np.ndarray:
    """Distance of the lungs' medial border: mediastinum, right atrium, aortic arch, heart, apex."""
    right = 0.12 + 0.1 * _bulge(v, 0.3, 0.4)
    arch, heart = 0.06 * _bulge(v, -0.28, 0.13), build.heart * _bulge(v, 0.4, 0.55)
    left = 0.12 + np.maximum(arch, heart)
    depth = np.clip((v - build.apex) / 0.25, 0, 1)
    apex = 0.27 - 0.18 * np.sqrt(depth * (2 - depth))
    return np.where(u < 0, np.maximum(right, apex), np.maximum(left, apex))


def _floor(build: Build, u: np.ndarray) -> np.ndarray:
    """Height of the diaphragm: one dome a side, falling off to the costophrenic angle."""
    offset = np.abs(u) - 0.32
    steepness = np.where(offset > 0, np.float32(1.1), np.float32(0.5))
    right, left = build.domes
    return right + (left - right) * _ramp(u, 0.3) + steepness * offset * offset


def _bulge(x: np.ndarray | float, centre: float, half: np.ndarray | float) -> np.ndarray:
    """A parabola: 1 at the centre, 0 at ``half`` from it and beyond."""
    scaled = (x - centre) / half
    return np.maximum(1 - scaled * scaled, 0)


def _ramp(distance: np.ndarray, softness: float) -> np.ndarray:
    """An edge: 0 outside, 1 inside, 0.5 at distance 0."""
    return np.clip(0.5 + distance * (1 / softness), 0, 1)


def _meet(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The smaller of two distances, rounding the corner where they are equal."""
    return one + other - np.sqrt(one * one + other * other)


def _wobble(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """A smooth random curve of roughly unit spread over one coordinate."""
    waves = (np.sin(rng.uniform(2, 14) * x + rng.uniform(0, 6.3)) for _ in range(3))
    return sum(waves, np.zeros_like(x))


def _clouds(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Smooth noise of unit spread, ``cells`` blobs across the canvas."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((_CANVAS, _CANVAS), Image.Resampling.BICUBIC))


def _strokes(build: Build, paths: np.ndarray, widths: np.ndarray, shades: np.ndarray) -> np.ndarray:
    """Draws slightly blurred lines [n, points, 2] of the given widths and shades (0 to 1)."""
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    pen = ImageDraw.Draw(canvas)
    points = _pixels(build, paths).reshape(len(paths), -1).tolist()
    for path, width, shade in zip(points, widths.tolist(), shades.tolist(), strict=True):
        pen.line(path, fill=int(255 * shade), width=width)
    return np.asarray(canvas.filter(ImageFilter.SMOOTH), np.float32) / 255


def _inside(depth: np.ndarray) -> np.ndarray:
    """255 where ``depth`` is positive; blurred, so that no sharp corner frays into specks."""
    mask = Image.fromarray((depth > 0).view(np.uint8) * 255)
    return np.asarray(mask.filter(ImageFilter.BoxBlur(3)))


# --- the healthy chest ----------------------------------------------------------------------


def _chest(rng: np.random.Generator) -> Chest:
    build = _build(rng)
    u, v = _axes(build)
    side, outer = np.abs(u), _outer(build, v)
    inner = _inner(build, u, v) + 0.01 * _wobble(rng, v)
    floor = _floor(build, u) + 0.01 * _wobble(rng, u)
    mottle = 0.06 * _clouds(rng, 6)
    depth = _meet(_meet(outer - side, side - inner), floor - v) - 0.01
    depth = np.where(v > build.apex, depth, np.float32(-1))
    rim = np.clip((outer - side) / 0.3, 0, 1)
    air = _ramp(depth, 0.035) * (0.4 + 0.6 * rim * (2 - rim))
    lung = air * (rng.uniform(1.1, 1.3) + mottle - 0.3 * _vessels(build, rng))
    heart = rng.uniform(0.4, 0.7) * _ramp(inner - side, 0.06) * _ramp(floor - v, 0.1)
    soft = np.maximum(_trunk(build, rng, u, v, floor) * (1 + mottle) + heart - lung, 0.02)
    bones = _ribs(build, rng, u, v, outer) + _spine(build, u, v) + _clavicles(build, rng, u, v)
    attenuation = soft + bones - _airway(build, u, v)
    blurred = ndimage.gaussian_filter(attenuation, rng.uniform(0.3, 0.7), truncate=2.5)
    return Chest(build, u, v, depth, air, blurred)


def _trunk(
    build: Build, rng: np.random.Generator, u: np.ndarray, v: np.ndarray, floor: np.ndarray
) -> np.ndarray:
    """Soft tissue: shoulders and trunk, arms, breasts, and the abdomen below the diaphragm."""
    side, flank = np.abs(u), build.width * build.torso
    shoulder = v + 0.95 - rng.uniform(0.2, 0.45) * np.maximum(side - 0.25, 0)
    neck = 0.32 + 2.5 * np.maximum(v + 0.95, 0) - side
    body = np.sqrt(_bulge(u, 0, flank + 0.1 * _ramp(-0.3 - v, 0.6)))
    arm = rng.uniform(0, 0.8) * np.sqrt(_bulge(side, flank + 0.2, 0.18))
    breast = np.sqrt(np.maximum(1 - ((side - 0.45) / 0.33) ** 2 - ((v - 0.25) / 0.36) ** 2, 0))
    abdomen = rng.uniform(0.4, 0.8) * _ramp(v - floor, 0.05)
    flesh = 1.5 * np.maximum(body, arm) + max(rng.uniform(-0.25, 0.3), 0) * breast + abdomen * body
    return _ramp(np.minimum(shoulder, neck), 0.08) * flesh


def _ribs(
    build: Build, rng: np.random.Generator, u: np.ndarray, v: np.ndarray, outer: np.ndarray
) -> np.ndarray:
    """Posterior ribs arching down to the side, and the fainter anterior ribs rising back."""
    across = np.abs(u) / np.maximum(outer, 0.3)
    lag = np.where(u < 0, np.float32(0), np.float32(rng.normal(0, 0.15))) + rng.uniform()
    level = v / build.spacing + lag + 0.08 * _wobble(rng, u)
    droop, rise = build.droop / build.spacing, rng.uniform(0.3, 0.5) / build.spacing
    posterior = _band(level - across * (droop * across - 0.7)) * _ramp(across - 0.12, 0.1)
    anterior = _band(level - (droop - 0.7) - rise * (1 - across))
    anterior *= np.clip(across * 2 - 0.7, 0, 1)
    within = _ramp(v - build.apex - 0.03, 0.1) * _ramp(0.72 - v, 0.4)
    ribs = rng.uniform(0.12, 0.3) * posterior + rng.uniform(0.05, 0.15) * anterior
    return within * (_ramp(1.03 - across, 0.06) * ribs + 0.15 * _bulge(across, 1.01, 0.06))


def _band(phase: np.ndarray) -> np.ndarray:
    """Repeating ribs, one a unit of phase, each with brighter cortical margins."""
    away = np.abs(phase - np.floor(phase) - 0.5)
    return 0.6 * _ramp(0.25 - away, 0.08) + 0.5 * np.maximum(1 - np.abs(away - 0.21) * 16, 0)


def _spine(build: Build, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Vertebral bodies with their discs and spinous processes."""
    bodies = np.abs(np.sin(v * (np.pi / build.spacing)))
    return _ramp(0.1 - np.abs(u), 0.03) * (0.18 + 0.14 * bodies) + 0.1 * (
        _bulge(u, 0, 0.025) * (bodies > 0.6)
    )


def _clavicles(build: Build, rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Both clavicles, and the humeral heads they lead to."""
    side = np.abs(u)
    rise = rng.uniform(0.05, 0.25) + rng.normal(0, 0.04) * np.sign(u)
    reach = np.clip((side - 0.08) / 0.8, 0, 1)
    course = build.apex + rng.uniform(0.1, 0.2) - rise * reach + 0.02 * np.sin(7 * reach)
    ends = _ramp(side - 0.09, 0.04) * _ramp(0.86 - side, 0.1)
    head = 0.13 - np.sqrt((side - build.width * 1.28) ** 2 + (v - build.apex - 0.05) ** 2)
    shaft = ends * np.sqrt(_bulge(v - course, 0, 0.035))
    return rng.uniform(0.15, 0.35) * shaft + 0.2 * _ramp(head, 0.05)


def _airway(build: Build, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The trachea's air column and the two main bronchi below the carina."""
    carina = build.apex + 0.55
    across = np.abs(u - 0.01) - 1.1 * np.maximum(v - carina, 0)
    return 0.3 * _bulge(across, 0, 0.045) * _ramp(carina + 0.14 - v, 0.1)


def _vessels(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Pulmonary vessels fanning out of each hilum, thinner as they branch."""
    stems, twigs = 18, 54
    side = np.repeat([-1.0, 1.0], stems // 2)
    hila = np.stack([side * rng.normal(0.22, 0.03, stems), rng.normal(0.03, 0.07, stems)], -1)
    heading = rng.uniform(-1.35, 1.25, stems)
    trunks = _curves(rng, hila, heading, side, rng.uniform(0.15, 0.4, stems))
    parent = rng.integers(0, stems, twigs)
    forks = trunks[parent, rng.integers(1, 5, twigs)]
    spread = heading[parent] + rng.normal(0, 0.5, twigs)
    branches = _curves(rng, forks, spread, side[parent], rng.uniform(0.1, 0.3, twigs))
    widths = np.concatenate([np.ones(twigs, int), rng.integers(1, 4, stems)])
    shades = np.repeat([0.5, 0.7], [twigs, stems])
    return _strokes(build, np.concatenate([branches, trunks]), widths, shades)


def _curves(
    rng: np.random.Generator,
    starts: np.ndarray,
    heading: np.ndarray,
    side: np.ndarray,
    length: np.ndarray,
) -> np.ndarray:
    """Bent lines [n, 5, 2] leaving ``starts`` sideways at angle ``heading``."""
    step = np.linspace(0, 1, 5)
    angle = heading[:, None] + rng.normal(0, 0.4, len(starts))[:, None] * step
    reach = length[:, None] * step
    offsets = np.stack([side[:, None] * np.cos(angle) * reach, np.sin(angle) * reach], -1)
    return starts[:, None, :] + offsets


# --- findings -------------------------------------------------------------------------------


def _normal(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    return np.zeros_like(chest.air)


def _covid(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Bilateral, peripheral, mostly lower ground-glass patches."""
    haze = np.zeros_like(chest.air)
    for side in (-1, 1):
        for _ in range(rng.integers(2, 5)):
            v = rng.uniform(-0.15, 0.42)
            u = side * float(_outer(chest.build, v) - rng.uniform(0.04, 0.18))
            size = rng.uniform(0.16, 0.26), rng.uniform(0.2, 0.34)
            haze = np.maximum(haze, _blob(chest, (u, v), size))
    grain = 1 + 0.2 * _clouds(rng, 12) + 0.08 * _clouds(rng, 60)
    return rng.uniform(0.25, 1.0) * haze * grain


def _lung_opacity(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """One focal, dense, soft-edged consolidation in one lung."""
    side, v = 1 - 2 * int(rng.integers(2)), rng.uniform(-0.4, 0.3)
    inner, outer = _inner(chest.build, side, v), _outer(chest.build, v)
    u = side * float(inner + rng.uniform(0.25, 0.75) * (outer - inner))
    size = rng.uniform(0.24, 0.4), rng.uniform(0.26, 0.46)
    mass = _blob(chest, (u, v), size) * (chest.u * side > 0)
    return rng.uniform(0.4, 1.4) * mass * (1 + 0.1 * _clouds(rng, 20))


def _viral_pneumonia(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Diffuse interstitial streaks around both hila."""
    count = 300
    side = rng.choice([-1.0, 1.0], count)
    out, down = np.abs(rng.normal(0, 0.24, count)), rng.normal(0.05, 0.24, count)
    starts = np.stack([side * (0.15 + out), down], -1)
    lengths = rng.uniform(0.04, 0.13, count)
    paths = _curves(rng, starts, rng.uniform(-2.0, 2.0, count), side, lengths)
    streaks = _strokes(chest.build, paths, np.ones(count, int), rng.uniform(0.3, 1, count))
    size = rng.uniform(0.38, 0.5), rng.uniform(0.45, 0.6)
    spread = np.maximum(_blob(chest, (-0.22, 0.05), size), _blob(chest, (0.25, 0.05), size))
    return rng.uniform(0.25, 1.0) * spread * (0.45 + 0.8 * streaks)


def _blob(chest: Chest, centre: tuple[float, float], size: tuple[float, float]) -> np.ndarray:
    """A soft ellipse, 1 in the middle and 0 beyond ``size``."""
    across, along = (chest.u - centre[0]) / size[0], (chest.v - centre[1]) / size[1]
    height = np.maximum(1 - across * across - along * along, 0)
    return height * np.sqrt(height)


FINDINGS = {
    "COVID": _covid,
    "Lung_Opacity": _lung_opacity,
    "Normal": _normal,
    "Viral Pneumonia": _viral_pneumonia,
}


def _fluid(chest: Chest, finding: np.ndarray) -> np.ndarray:
    """Lets a finding take the place of air: it thins out towards the borders of the lungs."""
    return finding * chest.air * np.clip(chest.depth / 0.04, 0, 1)
