"""Random changes of pictures and their part maps together, a batch at a time, in plain PyTorch.

A segmenter trained on drawn shoes must work on photographs and on a generator's samples: small, soft,
off-colour, before any background. So geometry changes both picture and part map, and everything else the
picture alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.data.labels import IGNORED
from shoegen.segmentation.config import AugmentConfig
from shoegen.torch_utils.draws import Draws

MOST_CELLS = 33  # of a background's texture, along each side


def augment(images: Tensor, labels: Tensor, config: AugmentConfig, draws: Draws) -> tuple[Tensor, Tensor]:
    """Geometry, background, patches, colour, blur, loss of resolution, noise, cutout, in this order.

    images: (N, 3, H, W) in [−1, 1]; labels: int64 (N, H, W), 0 = background, moved without mixing. The draws are the
    only source of chance; each picture's changes follow from its own.
    """
    images, labels = _geometry(images, labels, config, draws)
    return change_appearance(images, labels, config, draws), labels


def change_appearance(images: Tensor, labels: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    """All of `augment` but geometry, with the same shapes and ranges."""
    for name, change in [
        ("background", lambda x: _other_background(x, labels, draws)),
        ("patches", lambda x: _patches(x, labels, draws)),
        ("color", lambda x: _other_colors(x, draws)),
        ("blur", lambda x: _blur(x, draws)),
        ("low_resolution", lambda x: _lose_resolution(x, config, draws)),
        ("noise", lambda x: _noise(x, draws)),
        ("cutout", lambda x: _cut_out(x, draws)),
    ]:
        if getattr(config, name):
            chosen = draws.gate(name, _numbers(images), getattr(config, name)).bool()
            images = torch.where(chosen, change(images), images)
    return images.clamp(-1, 1)


def _numbers(images: Tensor, channels: int = 1) -> tuple[int, int, int, int]:
    """The shape of numbers that are one for each picture."""
    return len(images), channels, 1, 1


def _geometry(images: Tensor, labels: Tensor, config: AugmentConfig, draws: Draws) -> tuple[Tensor, Tensor]:
    grid = sampling_grid(images, config, draws)
    if grid is None:
        return images, labels
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    labels = F.grid_sample(
        labels[:, None].to(images.dtype), grid, mode="nearest", padding_mode="border", align_corners=False
    )
    return images, labels[:, 0].long()


def sampling_grid(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor | None:
    """(N, H, W, 2): where `grid_sample`, with align_corners=False, takes each pixel from; None: where it is."""
    if not any((config.rotation, config.scale, config.aspect, config.flip, config.shift)):
        return None
    one = (len(images),)
    angle = draws.normal("angle", one, math.radians(config.rotation))
    scale = torch.exp2(draws.normal("scale", one, config.scale))  # of the grid: > 1 shrinks the picture
    aspect = torch.exp2(draws.normal("aspect", one, config.aspect / 2))
    mirror = 1 - 2 * draws.gate("flip", one, config.flip)
    shift = draws.normal("shift", (len(images), 2), 2 * config.shift)  # the grid spans [−1, 1]
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    tall = images.shape[2] / images.shape[3]  # the grid is square, the picture need not be
    matrix = torch.stack(
        [
            torch.stack([cos * aspect * mirror, -sin * tall / aspect, shift[:, 0]], 1),
            torch.stack([sin / tall * aspect * mirror, cos / aspect, shift[:, 1]], 1),
        ],
        1,
    )  # N, 2, 3
    return F.affine_grid(matrix, list(images.shape), align_corners=False)


def _other_background(images: Tensor, labels: Tensor, draws: Draws) -> Tensor:
    """Half of the pictures keep their shadow under a tint, the rest get a gradient with a texture."""
    _, _, height, width = images.shape
    first = draws.uniform("first colour", _numbers(images, 3), -1, 1)
    second = draws.uniform("second colour", _numbers(images, 3), -1, 1)
    # Studio backgrounds are far more common than dark ones.
    pale = draws.gate("is pale", _numbers(images), 0.5).bool()
    first, second = (torch.where(pale, 1 - (1 - each) * 0.2, each) for each in (first, second))

    y = torch.linspace(-0.5, 0.5, height, device=images.device)[:, None]
    x = torch.linspace(-0.5, 0.5, width, device=images.device)
    angle = draws.uniform("slope", _numbers(images), 0, 2 * math.pi)
    steepness = draws.uniform("steepness", _numbers(images), 0, 1)
    ramp = 0.5 + (torch.cos(angle) * x + torch.sin(angle) * y) * steepness  # N, 1, H, W
    grain = draws.uniform("grain", _numbers(images), 0, 0.7) ** 3
    scene = torch.lerp(first, second, ramp) + _texture(images, draws) * grain
    tinted = (images + 1) * (first + 1) / 2 - 1
    is_tinted = draws.gate("is tinted", _numbers(images), 0.5).bool()
    background = torch.where(is_tinted, tinted, scene).clamp(-1, 1)

    shoe = _is_shoe(labels).to(images.dtype)[:, None]
    # A soft edge, not a cut one.
    alpha = F.avg_pool2d(F.pad(shoe, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return torch.lerp(background, images, torch.maximum(alpha, shoe))


def _texture(images: Tensor, draws: Draws) -> Tensor:
    """(N, 3, H, W): random colours in 3 to `MOST_CELLS` cells along each side, and between them."""
    cells = draws.normal("texture", (len(images), 3, MOST_CELLS, MOST_CELLS), 1)
    share = draws.uniform("cells", (len(images),), 3, MOST_CELLS) / MOST_CELLS
    matrix = torch.eye(2, 3, device=share.device, dtype=share.dtype) * share[:, None, None]
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(cells, grid, padding_mode="border", align_corners=False)


def _is_shoe(labels: Tensor) -> Tensor:
    return (labels > 0) & (labels != IGNORED)


def _patches(images: Tensor, labels: Tensor, draws: Draws) -> Tensor:
    """Blobs of one colour on the shoe, like prints and panels: no part is known by its colour alone."""
    field = draws.normal("blobs", (len(images), 1, 6, 6), 1)
    field = F.interpolate(field, images.shape[-2:], mode="bicubic")
    inside = (field > draws.uniform("rarity", _numbers(images), 0.3, 1.5)) & _is_shoe(labels)[:, None]
    paint = draws.uniform("paint", _numbers(images, 3), -1, 1)
    painted = torch.lerp(images, paint, draws.uniform("cover", _numbers(images), 0.3, 1))
    return torch.where(inside, painted, images)


def _other_colors(images: Tensor, draws: Draws) -> Tensor:
    """Gamma, hue and saturation, contrast, brightness, and a cast, in [0, 1]."""

    def draw(name: str, std: float, channels: int = 1) -> Tensor:
        return draws.normal(name, _numbers(images, channels), std)

    images = ((images + 1) / 2).clamp(1e-4, 1) ** torch.exp2(draw("gamma", 0.4))
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    luma = (images * weights).sum(1, keepdim=True)
    tones = _rotate_about_grey(images - luma, draw("hue", 0.6))
    images = luma + tones * torch.exp2(draw("saturation", 0.7))
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * torch.exp2(draw("contrast", 0.35))
    images = images + draw("brightness", 0.08) + draw("cast", 0.03, 3)
    return images.clamp(0, 1) * 2 - 1


def _rotate_about_grey(images: Tensor, angle: Tensor) -> Tensor:
    """Hue: Rodrigues' rotation of RGB about (1, 1, 1) / √3 by `angle` radians."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    cross = (images.roll(1, 1) - images.roll(-1, 1)) / math.sqrt(3)
    return images * cos + cross * sin + images.mean(1, keepdim=True) * (1 - cos)


def _blur(images: Tensor, draws: Draws) -> Tensor:
    """Gaussian of 0.3 to 1.5 pixels."""
    n, channels = images.shape[:2]
    radius = 4
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / draws.uniform("blur", (n, 1), 0.3, 1.5)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    kernel = kernel[:, None, None]  # N·C, 1, 1, K
    flat = F.pad(images, [radius] * 4, mode="replicate").flatten(0, 1)[None]  # 1, N·C, H + 8, W + 8
    flat = F.conv2d(F.conv2d(flat, kernel, groups=n * channels), kernel.transpose(2, 3), groups=n * channels)
    return flat.view_as(images)


def _lose_resolution(images: Tensor, config: AugmentConfig, draws: Draws) -> Tensor:
    """Down to a smaller picture and up again, as a generator's small sample comes to the segmenter."""
    size = images.shape[-2:]
    low, high = math.log2(config.smallest), math.log2(config.largest)
    sides = torch.exp2(draws.uniform("side", (len(images),), low, high)).tolist()
    out = list(images)
    for i, side in enumerate(sides):
        factor = side / max(size)
        if factor < 1:
            small = [max(round(s * factor), 1) for s in size]
            tiny = F.interpolate(images[i : i + 1], small, mode="bilinear", antialias=True)
            out[i] = F.interpolate(tiny, size, mode="bilinear")[0]
    return torch.stack(out)


def _noise(images: Tensor, draws: Draws) -> Tensor:
    strength = draws.uniform("noise", _numbers(images), 0, 0.3) ** 2
    return images + draws.normal("grains", tuple(images.shape), 1) * strength


def _cut_out(images: Tensor, draws: Draws) -> Tensor:
    """A rectangle of one colour over the picture (DeVries and Taylor, arXiv 1708.04552); the labels stay."""
    inside = torch.ones(1, dtype=torch.bool, device=images.device)
    for axis, length in ((2, images.shape[2]), (3, images.shape[3])):
        shape = [-1 if each == axis else 1 for each in range(4)]
        place = torch.arange(length, device=images.device).view(shape) / length
        middle = draws.uniform("middle", _numbers(images), 0, 1)
        inside = inside & ((place - middle).abs() < draws.uniform("reach", _numbers(images), 0.02, 0.12))
    return torch.where(inside, draws.uniform("colour", _numbers(images, 3), -1, 1), images)
