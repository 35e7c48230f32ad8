"""Light on the painted parts, the shadow on the ground, and the background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np

from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic.canvas import FASTENING, HEEL, OPENING, SHAFT, SOLE, UPPER, Canvas
from shoegen.data.synthetic.parameters import ShoeParameters

# Of a surface: how much it mirrors the lamp, how sharply, and how grainy it is.
GLOSS = {"leather": (0.30, 18, 0.015), "patent": (0.85, 42, 0.0), "suede": (0.0, 8, 0.03),
         "canvas": (0.03, 8, 0.035), "knit": (0.03, 8, 0.05)}  # fmt: skip
SOLE_GLOSS = (0.08, 14, 0.012)
HEEL_GLOSS = (0.22, 24, 0.012)
OPENING_GLOSS = (0.0, 8, 0.0)


@dataclass(frozen=True)
class Scene:
    """What is behind a shoe instead of paper: photo (R, R, 3) float32, 0–255; light (3,), factors of its colours."""

    photo: np.ndarray
    light: np.ndarray


def photograph(
    canvas: Canvas, p: ShoeParameters, resolution: int, scene: Scene | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The painted canvas as image (R, R, 3) uint8 and part map (R, R) uint8; before paper, if there is no scene.

    Each pixel's part is the one that covers most of it. Shading varies slowly and is computed at R, one group
    of parts at a time, so that a highlight on the sole never bleeds into the upper.
    """
    masks, coverage = cover(canvas, resolution)
    mm = canvas.scale / canvas.size * resolution  # pixels per millimetre
    silhouette = 1 - coverage[0]
    behind = _paper(p, resolution)[..., None] if scene is None else scene.photo
    shadow = _shadow(p, canvas, resolution, silhouette, mm)[..., None]
    image = (behind * (1 - shadow)).astype(np.float32) * (1 - silhouette)[..., None]
    if image.shape[2] == 1:
        image = image.repeat(3, 2)
    add_parts(image, canvas, p, masks, coverage, None if scene is None else scene.light)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8), coverage.argmax(0).astype(np.uint8)


def cover(canvas: Canvas, resolution: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Each part's mask (S, S) uint8 on the canvas, and (7, R, R) float32, the share of each pixel that it covers."""
    size = (resolution, resolution)
    masks = [canvas.mask_of(part) for part in range(len(SHOE_PARTS))]
    coverage = np.stack(
        [cv2.resize(mask, size, interpolation=cv2.INTER_AREA) for mask in masks]
    ) / np.float32(255)
    return masks, coverage


def add_parts(
    image: np.ndarray,
    canvas: Canvas,
    p: ShoeParameters,
    masks: list[np.ndarray],
    coverage: np.ndarray,
    light: np.ndarray | None = None,
) -> None:
    """Adds the lit shoe to image (R, R, 3) float32, which is black in the share of each pixel that the shoe covers.

    masks, coverage: of `cover`. light: (3,) factors of the shoe's colours.
    """
    resolution = len(image)
    rng = np.random.default_rng(p.texture_seed)
    grain = _grain(p, resolution, rng)
    mm = canvas.scale / canvas.size * resolution  # pixels per millimetre
    groups = (
        ([SOLE], SOLE_GLOSS, 7.0),
        ([HEEL], HEEL_GLOSS, 7.0 if p.heel_width > 35 else 16.0),
        ([OPENING], OPENING_GLOSS, 10.0),
        ([UPPER, SHAFT, FASTENING], GLOSS[p.material], 34.0),
    )
    silhouette = 1 - coverage[0]
    for parts, (gloss, sharpness, grainy), depth in groups:
        covered = coverage[parts].sum(0)
        if not covered.any():
            continue
        mask = reduce(cv2.bitwise_or, [masks[part] for part in parts])
        painted = cv2.bitwise_and(canvas.albedo, canvas.albedo, mask=mask)
        albedo = cv2.resize(painted, image.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
        if light is not None:
            albedo *= light
        diffuse, highlight = lit(covered, depth * mm, sharpness, p.light_angle)
        # Neighbouring parts stand in each other's light.
        nearby = cv2.GaussianBlur(silhouette - covered, (0, 0), 4 * mm)
        diffuse = diffuse * (1 + grainy * grain) * (1 - 0.4 * nearby)
        image += albedo * diffuse[..., None]
        if gloss:
            image += (255 * gloss * highlight * covered)[..., None]


def lit(cover: np.ndarray, depth: float, sharpness: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Diffuse factor and highlight, (R, R) float32, of a body with a rounded edge `depth` pixels deep."""
    inside = (cover > 0.5).astype(np.uint8)
    distance = cv2.distanceTransform(
        cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3
    )
    t = np.minimum(distance[1:-1, 1:-1] / depth, 1)
    height = depth * np.sqrt(t * (2 - t))
    height = cv2.GaussianBlur(height, (0, 0), max(0.22 * depth, 0.6))
    nx = -cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    ny = -cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    norm = 1 / np.sqrt(nx * nx + ny * ny + 1)
    # Overhead softbox, a little in front of the shoe; the half vector lies between it and the camera.
    a = np.deg2rad(angle)
    lx, ly, lz = np.sin(a) * 0.75, -np.cos(a) * 0.75, 0.66
    hx, hy, hz = lx / 1.82, ly / 1.82, (lz + 1) / 1.82
    facing = (nx * lx + ny * ly + lz) * norm
    diffuse = 0.58 + 0.56 * np.maximum(facing, 0)
    diffuse *= 0.86 + 0.14 * norm  # the rim turns away
    highlight = np.maximum((nx * hx + ny * hy + hz) * norm, 0) ** sharpness
    return diffuse, highlight * (0.35 + 0.65 * np.maximum(-ny * norm, 0))


def _grain(p: ShoeParameters, resolution: int, rng: np.random.Generator) -> np.ndarray:
    """Zero-mean, unit-deviation grain of the upper's material."""
    noise: np.ndarray = rng.standard_normal((resolution, resolution), dtype=np.float32)
    if p.material == "suede":
        noise = cv2.GaussianBlur(noise, (0, 0), 1.1) * 3
    elif p.material in ("canvas", "knit"):
        y, x = np.mgrid[0:resolution, 0:resolution].astype(np.float32)
        noise = 0.5 * noise + np.sin(2.1 * x + 0.4 * y) * np.sin(2.1 * y - 0.4 * x)
    return noise


def _paper(p: ShoeParameters, resolution: int) -> np.ndarray:
    """Paper sweep with a soft vignette, (R, R), 0–255."""
    y, x = np.mgrid[0:resolution, 0:resolution].astype(np.float32) / resolution
    level: np.ndarray = (
        255 * p.background * (1 - p.background_gradient * ((x - 0.5) ** 2 + (y - 0.45) ** 2) * 2)
    )
    return level


def _shadow(
    p: ShoeParameters, canvas: Canvas, resolution: int, silhouette: np.ndarray, mm: float
) -> np.ndarray:
    """How much of the light the shoe takes from what is behind and below it, (R, R), 0–0.8."""
    # The closer the shoe is to the ground above a point, the darker its shadow there.
    ground = canvas.ground / canvas.size * resolution
    rows = np.arange(resolution, dtype=np.float32)
    lowest = np.where(silhouette > 0.5, rows[:, None], -1).max(0)
    clearance = np.maximum(ground - 1 - lowest, 0) / mm
    shown = lowest >= 0
    contact = cv2.GaussianBlur(
        (np.exp(-clearance / 5) * shown).astype(np.float32)[None], (0, 0), max(4 * mm, 0.5)
    )[0]
    soft = cv2.GaussianBlur(
        (np.exp(-clearance / 45) * shown).astype(np.float32)[None], (0, 0), max(9 * mm, 0.5)
    )[0]
    below = (rows - ground) / mm
    contact_fall = np.exp(-(((below - 0.5) / 3.0) ** 2))
    soft_fall = np.exp(-((np.maximum(below, 0) / 13) ** 2)) * np.exp(-((np.minimum(below, 0) / 5) ** 2))
    shadow = p.shadow * (0.9 * contact_fall[:, None] * contact + 0.6 * soft_fall[:, None] * soft)
    taken: np.ndarray = np.minimum(shadow, 0.8)
    return taken
