"""Axes of W that nobody labelled: of the generator's weights, and of W's own spread.

SeFa (arXiv 2007.06600) takes the directions that the first affine step after W amplifies most, in closed form:
eigenvectors of AᵀA, A being the weights that turn w into styles, each row of unit length as in the published code.
PCA (GANSpace, arXiv 2004.02546) takes those along which W spreads most. Both are named by what they are measured to
move most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from shoegen.data.images import image_grid
from shoegen.directions.calibration import CALIBRATION, LEAST_GROWTH, mean, slopes_over, trace, with_curve
from shoegen.directions.direction import Direction
from shoegen.directions.sampling import BATCH, Measure, Samples, draw_w
from shoegen.errors import ConfigError, DataError
from shoegen.stylegan.networks import Generator, SynthesisLayer
from shoegen.torch_utils.pixels import as_rgb, to_pixels

Method = Literal["sefa", "pca"]
DRAWN = 10_000  # latents whose spread is looked at; the mapping network alone draws them
SHOWN = 128  # least side in pixels of the sheet's pictures
PROBE = (-2.0, -1.0, 0.0, 1.0, 2.0)  # standard deviations of W along an axis
FARTHEST = 2.0  # standard deviations of W that strength 1 takes at most


def discover_directions(
    generator: Generator,
    samples: Samples,
    measure_ws: Measure,
    *,
    method: Method = "sefa",
    count: int = 8,
    layers: Sequence[int] | None = None,
    generator_hash: str | None = None,
    latents: int = CALIBRATION // 2,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Direction]:
    """The first axes of a method, each a direction of the attribute that it moves most.

    Args:
        generator: whose axes.
        samples: say what a standard deviation of each attribute is; the first of their latents are moved.
        measure_ws: measures moved latents.
        method: "sefa" or "pca".
        count: how many axes.
        layers: that follow them, and whose weights SeFa looks at; by default all.
        generator_hash: of its weights, if known.
        latents: how many are moved.
        say: takes lines about what goes on. progress: is told how many axes are done.

    Returns:
        Directions whose strength 1 is about a standard deviation of the attribute, but no more than two of W's own
        along the axis: an axis may move everything a little.

    Raises:
        ConfigError: no such method, count or layers.
        DataError: nothing could be measured.
    """
    layers = tuple(range(generator.num_ws) if layers is None else sorted(set(layers)))
    axes, spreads = find_axes(generator, method, count, layers, psi=samples.psi, seed=samples.seed)
    sigmas = samples.sigmas()
    ws = generator.broadcast(samples.w[:latents].to(generator.mapping.w_avg.device)).cpu()
    directions = []
    for index, (axis, spread) in enumerate(zip(axes, spreads, strict=True), 1):
        direction = Direction(
            attribute="",
            name=f"{method}{index}",
            vector=axis,
            layers=layers,
            step=float(spread),
            mean=0.0,
            sigma=1.0,
            generator_hash=generator_hash or generator.hash(),
            psi=samples.psi,
            samples=len(samples.w),
            seed=samples.seed,
            quantile=0.0,
            method=method,
        )
        direction = name_axis(direction, samples, measure_ws, ws, sigmas)
        moves = sorted(direction.leaks_here.items(), key=lambda item: -abs(item[1]))[:3]
        also = ", ".join(f"{name} {move:+.2f}" for name, move in moves)
        say(f"{direction.name}: {direction.attribute}; per σ of it {also}")
        directions.append(direction)
        progress(index)
    return directions


def find_axes(
    generator: Generator,
    method: str,
    count: int,
    layers: Sequence[int],
    *,
    psi: float,
    seed: int,
    drawn: int = DRAWN,
) -> tuple[Tensor, Tensor]:
    """The axes (count, w_dim), each of length 1, and the standard deviation of W at `psi` along each, (count,).

    Raises:
        ConfigError: no such method, count or layers.
    """
    if method not in get_args(Method):
        raise ConfigError(f"method: got {method!r}, expected sefa or pca")
    if not 1 <= count <= generator.config.w_dim:
        raise ConfigError(f"count: got {count}, expected 1 to {generator.config.w_dim}")
    if not layers or not set(layers) <= set(range(generator.num_ws)):
        raise ConfigError(f"layers: got {list(layers)}, expected numbers from 0 to {generator.num_ws - 1}")
    w = draw_w(generator, drawn, psi=psi, seed=seed).cpu().double()
    w = w - w.mean(0)
    if method == "pca":
        matrix = w.T @ w / len(w)
    else:
        rows = torch.cat(affine_weights(generator, layers)).double().cpu()
        rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
        matrix = rows.T @ rows
    _, vectors = torch.linalg.eigh(matrix)  # ascending
    axes = vectors.T.flip(0)[:count]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * largest.sign()  # an eigenvector's sign is chance
    return axes.float(), (w @ axes.T).std(0).float()


def affine_weights(generator: Generator, layers: Sequence[int]) -> list[Tensor]:
    """Of each convolution that takes one of these ws, the weights (in_channels, w_dim) from w to its styles.

    The layers that colour share the ws of the convolutions, and are left out, as in the published code.

    Raises:
        ConfigError: none of the layers is a convolution's own: the last one only colours.
    """
    convolutions = [module for module in generator.synthesis.modules() if isinstance(module, SynthesisLayer)]
    found = [
        convolution.affine.weight.detach() * convolution.affine.weight_gain
        for index, convolution in enumerate(convolutions)
        if index in layers
    ]
    if not found:
        raise ConfigError(f"layers: got {list(layers)}, but the last one only colours; name others too")
    return found


def name_axis(
    direction: Direction, samples: Samples, measure_ws: Measure, ws: Tensor, sigmas: dict[str, float]
) -> Direction:
    """The direction of the attribute that it moves most, turned so that it grows, with its curve and leaks.

    Args:
        direction: its step is a standard deviation of W along it; it has no attribute yet.
        samples: whose attributes' means are taken.
        measure_ws: measures moved latents.
        ws: (N, num_ws, w_dim), which are moved.
        sigmas: standard deviation of each attribute; those of 0 are not looked at.

    Raises:
        DataError: nothing could be measured on the moved shoes.
    """
    found = trace(direction, measure_ws, ws, PROBE)
    moves = {
        name: mean(slopes_over(PROBE, found.values[name])) / sigma
        for name, sigma in sigmas.items()
        if sigma > 0 and name in found.values
    }
    moves = {name: move for name, move in moves.items() if np.isfinite(move)}
    if not moves:
        raise DataError(
            f"{direction.name}: nothing could be measured on the moved shoes; is this a shoe's generator?"
        )
    most = max(moves, key=lambda name: abs(moves[name]))
    values = samples.attributes[most]
    return with_curve(
        replace(
            direction,
            attribute=most,
            unit="",
            name=f"{direction.name}_{most}",
            vector=direction.vector * (1 if moves[most] > 0 else -1),
            step=direction.step * min(1 / max(abs(moves[most]), LEAST_GROWTH), FARTHEST),
            mean=mean(values),
            sigma=sigmas[most],
            sigmas={name: sigma for name, sigma in sigmas.items() if sigma > 0},
        ),
        measure_ws,
        ws,
        sigmas,
    )


def axes_sheet(
    generator: Generator, directions: Sequence[Direction], ws: Tensor, strengths: Sequence[float]
) -> np.ndarray:
    """(H, W, 3) uint8: a row for each direction and each of ws (N, num_ws, w_dim), a column for each strength.

    Pictures that are small are enlarged a whole number of times.
    """
    device = generator.mapping.w_avg.device
    tiles, captions = [], []
    for direction in directions:
        moved = torch.cat([direction.move(row, torch.tensor(strengths)) for row in ws.cpu()])
        for chunk in moved.split(BATCH):
            with torch.no_grad():
                tiles += list(to_pixels(as_rgb(generator.synthesis(chunk.to(device)).clamp(-1, 1))))
        captions += [
            f"{direction.name}\n{strength:+g}" if strength else direction.name + "\n0"
            for strength in strengths
        ] * len(ws)
    factor = max(1, SHOWN // min(tiles[0].shape[:2]))
    tiles = [tile.repeat(factor, 0).repeat(factor, 1) for tile in tiles]
    return image_grid(tiles, len(strengths), captions=captions)
