"""A healthy chest: a map of attenuation to which every organ contributes."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cxr_tfds.canvas import Pose, axes, bulge, clouds, meet, ramp, strokes, wobble


class Build(NamedTuple):
    """The proportions and position of one patient, in patient coordinates."""

    pose: Pose
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
        attenuation: attenuation of the beam, float32 [canvas, canvas].
    """

    build: Build
    u: np.ndarray
    v: np.ndarray
    depth: np.ndarray
    air: np.ndarray
    attenuation: np.ndarray


def draw_chest(rng: np.random.Generator) -> Chest:
    """Draws a patient's proportions and the corresponding chest."""
    build = _build(rng)
    u, v = axes(build.pose)
    side, outer = np.abs(u), outer_border(build, v)
    inner = inner_border(build, u, v) + 0.01 * wobble(rng, v)
    floor = _floor(build, u) + 0.01 * wobble(rng, u)
    mottle = 0.06 * clouds(rng, 6)
    depth = meet(meet(outer - side, side - inner), floor - v) - 0.01
    depth = np.where(v > build.apex, depth, np.float32(-1))
    rim = np.clip((outer - side) / 0.3, 0, 1)
    air = ramp(depth, 0.035) * (0.4 + 0.6 * rim * (2 - rim))
    lung = air * (rng.uniform(1.1, 1.3) + mottle - 0.3 * _vessels(build, rng))
    heart = rng.uniform(0.4, 0.7) * ramp(inner - side, 0.06) * ramp(floor - v, 0.1)
    soft = np.maximum(_trunk(build, rng, u, v, floor) * (1 + mottle) + heart - lung, 0.02)
    bones = _ribs(build, rng, u, v, outer) + _spine(build, u, v) + _clavicles(build, rng, u, v)
    attenuation = soft + bones - _airway(build, u, v)
    blurred = ndimage.gaussian_filter(attenuation, rng.uniform(0.3, 0.7), truncate=2.5)
    return Chest(build, u, v, depth, air, blurred)


def _build(rng: np.random.Generator) -> Build:
    return Build(
        pose=Pose(
            tilt=rng.uniform(-0.05, 0.05),
            scale=rng.uniform(0.95, 1.1),
            shift=(rng.normal(0, 0.025), rng.normal(0, 0.025)),
        ),
        width=rng.uniform(0.7, 0.82),
        apex=rng.uniform(-0.8, -0.64),
        domes=(rng.uniform(0.3, 0.46), rng.uniform(0.36, 0.52)),
        heart=rng.uniform(0.16, 0.3),
        torso=rng.uniform(1.2, 1.45),
        spacing=rng.uniform(0.125, 0.165),
        droop=rng.uniform(0.25, 0.5),
    )


def outer_border(build: Build, v: np.ndarray | float) -> np.ndarray:
    """Returns the distance of the lungs' lateral border from the midline."""
    height = np.clip((0.3 - v) / (0.3 - build.apex), 0, 1)
    return 0.26 + (build.width - 0.26) * np.sqrt(1 - height * height)


def inner_border(build: Build, u: np.ndarray | float, v: np.ndarray | float) -> np.ndarray:
    """Returns the distance of the lungs' medial border, formed by mediastinum, heart and aorta."""
    right = 0.12 + 0.1 * bulge(v, 0.3, 0.4)
    arch, heart = 0.06 * bulge(v, -0.28, 0.13), build.heart * bulge(v, 0.4, 0.55)
    left = 0.12 + np.maximum(arch, heart)
    depth = np.clip((v - build.apex) / 0.25, 0, 1)
    apex = 0.27 - 0.18 * np.sqrt(depth * (2 - depth))
    return np.where(u < 0, np.maximum(right, apex), np.maximum(left, apex))


def _floor(build: Build, u: np.ndarray) -> np.ndarray:
    """Returns the height of the diaphragm: one dome per side, falling to the costophrenic angle."""
    offset = np.abs(u) - 0.32
    steepness = np.where(offset > 0, np.float32(1.1), np.float32(0.5))
    right, left = build.domes
    return right + (left - right) * ramp(u, 0.3) + steepness * offset * offset


def _trunk(
    build: Build, rng: np.random.Generator, u: np.ndarray, v: np.ndarray, floor: np.ndarray
) -> np.ndarray:
    """Draws soft tissue: shoulders, trunk, arms, breasts, and the abdomen below the diaphragm."""
    side, flank = np.abs(u), build.width * build.torso
    shoulder = v + 0.95 - rng.uniform(0.2, 0.45) * np.maximum(side - 0.25, 0)
    neck = 0.32 + 2.5 * np.maximum(v + 0.95, 0) - side
    body = np.sqrt(bulge(u, 0, flank + 0.1 * ramp(-0.3 - v, 0.6)))
    arm = rng.uniform(0, 0.8) * np.sqrt(bulge(side, flank + 0.2, 0.18))
    breast = np.sqrt(np.maximum(1 - ((side - 0.45) / 0.33) ** 2 - ((v - 0.25) / 0.36) ** 2, 0))
    abdomen = rng.uniform(0.4, 0.8) * ramp(v - floor, 0.05)
    flesh = 1.5 * np.maximum(body, arm) + max(rng.uniform(-0.25, 0.3), 0) * breast + abdomen * body
    return ramp(np.minimum(shoulder, neck), 0.08) * flesh


def _ribs(
    build: Build, rng: np.random.Generator, u: np.ndarray, v: np.ndarray, outer: np.ndarray
) -> np.ndarray:
    """Draws posterior ribs arching down to the side and fainter anterior ribs rising back."""
    across = np.abs(u) / np.maximum(outer, 0.3)
    lag = np.where(u < 0, np.float32(0), np.float32(rng.normal(0, 0.15))) + rng.uniform()
    level = v / build.spacing + lag + 0.08 * wobble(rng, u)
    droop, rise = build.droop / build.spacing, rng.uniform(0.3, 0.5) / build.spacing
    posterior = _band(level - across * (droop * across - 0.7)) * ramp(across - 0.12, 0.1)
    anterior = _band(level - (droop - 0.7) - rise * (1 - across))
    anterior *= np.clip(across * 2 - 0.7, 0, 1)
    within = ramp(v - build.apex - 0.03, 0.1) * ramp(0.72 - v, 0.4)
    ribs = rng.uniform(0.12, 0.3) * posterior + rng.uniform(0.05, 0.15) * anterior
    return within * (ramp(1.03 - across, 0.06) * ribs + 0.15 * bulge(across, 1.01, 0.06))


def _band(phase: np.ndarray) -> np.ndarray:
    """Returns repeating ribs, one per unit of phase, with brighter cortical margins."""
    away = np.abs(phase - np.floor(phase) - 0.5)
    return 0.6 * ramp(0.25 - away, 0.08) + 0.5 * np.maximum(1 - np.abs(away - 0.21) * 16, 0)


def _spine(build: Build, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Draws vertebral bodies with discs and spinous processes."""
    bodies = np.abs(np.sin(v * (np.pi / build.spacing)))
    return ramp(0.1 - np.abs(u), 0.03) * (0.18 + 0.14 * bodies) + 0.1 * (
        bulge(u, 0, 0.025) * (bodies > 0.6)
    )


def _clavicles(build: Build, rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Draws both clavicles and the adjacent humeral heads."""
    side = np.abs(u)
    rise = rng.uniform(0.05, 0.25) + rng.normal(0, 0.04) * np.sign(u)
    reach = np.clip((side - 0.08) / 0.8, 0, 1)
    course = build.apex + rng.uniform(0.1, 0.2) - rise * reach + 0.02 * np.sin(7 * reach)
    ends = ramp(side - 0.09, 0.04) * ramp(0.86 - side, 0.1)
    head = 0.13 - np.sqrt((side - build.width * 1.28) ** 2 + (v - build.apex - 0.05) ** 2)
    shaft = ends * np.sqrt(bulge(v - course, 0, 0.035))
    return rng.uniform(0.15, 0.35) * shaft + 0.2 * ramp(head, 0.05)


def _airway(build: Build, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Draws the trachea's air column and the two main bronchi below the carina."""
    carina = build.apex + 0.55
    across = np.abs(u - 0.01) - 1.1 * np.maximum(v - carina, 0)
    return 0.3 * bulge(across, 0, 0.045) * ramp(carina + 0.14 - v, 0.1)


def _vessels(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Draws pulmonary vessels fanning out of each hilum, thinner as they branch."""
    stems, twigs = 18, 54
    side = np.repeat([-1.0, 1.0], stems // 2)
    hila = np.stack([side * rng.normal(0.22, 0.03, stems), rng.normal(0.03, 0.07, stems)], -1)
    heading = rng.uniform(-1.35, 1.25, stems)
    trunks = curves(rng, hila, heading, side, rng.uniform(0.15, 0.4, stems))
    parent = rng.integers(0, stems, twigs)
    forks = trunks[parent, rng.integers(1, 5, twigs)]
    spread = heading[parent] + rng.normal(0, 0.5, twigs)
    branches = curves(rng, forks, spread, side[parent], rng.uniform(0.1, 0.3, twigs))
    widths = np.concatenate([np.ones(twigs, int), rng.integers(1, 4, stems)])
    shades = np.repeat([0.5, 0.7], [twigs, stems])
    return strokes(build.pose, np.concatenate([branches, trunks]), widths, shades)


def curves(
    rng: np.random.Generator,
    starts: np.ndarray,
    heading: np.ndarray,
    side: np.ndarray,
    length: np.ndarray,
) -> np.ndarray:
    """Returns curved lines [n, 5, 2] leaving ``starts`` sideways at angle ``heading``."""
    step = np.linspace(0, 1, 5)
    angle = heading[:, None] + rng.normal(0, 0.4, len(starts))[:, None] * step
    reach = length[:, None] * step
    offsets = np.stack([side[:, None] * np.cos(angle) * reach, np.sin(angle) * reach], -1)
    return starts[:, None, :] + offsets
