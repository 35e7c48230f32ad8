"""Random changes of pictures and their part maps together, a batch at a time, in plain PyTorch.

A segmenter trained on drawn shoes must work on photographs and on a generator's samples: small, soft,
off-colour, before any background. So geometry changes both picture and part map, and everything else the
picture alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from shoegen.segmentation.config import AugmentConfig


def augment(
    images: torch.Tensor, labels: torch.Tensor, config: AugmentConfig, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Geometry, background, patches, colour, blur, loss of resolution, noise, cutout, in this order.

    images: float32 (N, 3, H, W) in [−1, 1]; labels: int64 (N, H, W), 0 = background. The generator is the
    only source of chance and lives on the images' device.
    """
    random = _Random(len(images), generator)
    images, labels = _geometry(images, labels, config, random)
    images = random.some(config.background, _other_background(images, labels, random), images)
    images = random.some(config.patches, _patches(images, labels, random), images)
    images = random.some(config.color, _other_colors(images, random), images)
    images = random.some(config.blur, _blur(images, random), images)
    images = _lose_resolution(images, config, random)
    images = random.some(
        config.noise, images + random.normal(*images.shape) * random.uniform(0, 0.3) ** 2, images
    )
    images = random.some(config.cutout, _cut_out(images, random), images)
    return images.clamp(-1, 1), labels


class _Random:
    """Draws from one generator; single numbers come one per picture, shaped (N, 1, 1, 1)."""

    def __init__(self, count: int, generator: torch.Generator):
        self.count, self.generator = count, generator

    def uniform(self, low: float = 0.0, high: float = 1.0, channels: int = 1) -> torch.Tensor:
        shape = (self.count, channels, 1, 1)
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.generator.device)

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(
            shape or (self.count, 1, 1, 1), generator=self.generator, device=self.generator.device
        )

    def some(self, probability: float, changed: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
        """Each picture changed with the given probability."""
        return torch.where(self.uniform() < probability, changed, same)


def _geometry(
    images: torch.Tensor, labels: torch.Tensor, config: AugmentConfig, random: _Random
) -> tuple[torch.Tensor, torch.Tensor]:
    angle = (random.normal() * math.radians(config.rotation)).flatten()
    scale = torch.exp2(
        -random.normal() * config.scale
    ).flatten()  # of the sampling grid: > 1 shrinks the picture
    aspect = torch.exp2(random.normal() * config.aspect / 2).flatten()
    mirror = torch.where(random.uniform() < config.flip, -1.0, 1.0).flatten()
    shift = random.normal(len(images), 2) * 2 * config.shift  # the grid spans [−1, 1]
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack(
        [
            torch.stack([cos * aspect * mirror, -sin / aspect, shift[:, 0]], 1),
            torch.stack([sin * aspect * mirror, cos / aspect, shift[:, 1]], 1),
        ],
        1,
    )  # N, 2, 3
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    labels = F.grid_sample(
        labels[:, None].to(images.dtype), grid, mode="nearest", padding_mode="border", align_corners=False
    )
    return images, labels[:, 0].long()


def _other_background(images: torch.Tensor, labels: torch.Tensor, random: _Random) -> torch.Tensor:
    """Half of the pictures keep their shadow under a tint, the rest get a gradient with a texture."""
    n, _, height, width = images.shape
    first, second = random.uniform(-1, 1, channels=3), random.uniform(-1, 1, channels=3)
    pale = random.uniform() < 0.5  # studio backgrounds are far more common than dark ones
    first, second = (
        torch.where(pale, 1 - (1 - first) * 0.2, first),
        torch.where(pale, 1 - (1 - second) * 0.2, second),
    )

    y = torch.linspace(-0.5, 0.5, height, device=images.device)[:, None]
    x = torch.linspace(-0.5, 0.5, width, device=images.device)
    angle = random.uniform(0, 2 * math.pi)
    ramp = 0.5 + (torch.cos(angle) * x + torch.sin(angle) * y) * random.uniform(0, 1)  # N, 1, H, W
    cells = int(torch.randint(3, 33, (), generator=random.generator, device=random.generator.device))
    texture = F.interpolate(random.normal(n, 3, cells, cells), (height, width), mode="bilinear")
    scene = torch.lerp(first, second, ramp) + texture * random.uniform(0, 0.7) ** 3
    tinted = (images + 1) * (first + 1) / 2 - 1
    background = random.some(0.5, tinted, scene).clamp(-1, 1)

    shoe = (labels > 0).to(images.dtype)[:, None]
    alpha = F.avg_pool2d(
        F.pad(shoe, (1, 1, 1, 1), mode="replicate"), 3, stride=1
    )  # a soft edge, not a cut one
    return torch.lerp(background, images, torch.maximum(alpha, shoe))


def _patches(images: torch.Tensor, labels: torch.Tensor, random: _Random) -> torch.Tensor:
    """Blobs of one colour on the shoe, like prints and panels: no part is known by its colour alone."""
    field = F.interpolate(random.normal(len(images), 1, 6, 6), images.shape[-2:], mode="bicubic")
    inside = (field > random.uniform(0.3, 1.5)) & (labels > 0)[:, None]
    painted = torch.lerp(images, random.uniform(-1, 1, channels=3), random.uniform(0.3, 1))
    return torch.where(inside, painted, images)


def _other_colors(images: torch.Tensor, random: _Random) -> torch.Tensor:
    images = ((images + 1) / 2).clamp(1e-4, 1) ** torch.exp2(random.normal() * 0.4)  # gamma
    luma = (images * torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)).sum(
        1, keepdim=True
    )
    images = luma + _rotate_about_grey(images - luma, random.normal() * 0.6) * torch.exp2(
        random.normal() * 0.7
    )
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * torch.exp2(random.normal() * 0.35)  # contrast
    images = (
        images + random.normal() * 0.08 + random.normal(len(images), 3, 1, 1) * 0.03
    )  # brightness, colour cast
    return images.clamp(0, 1) * 2 - 1


def _rotate_about_grey(images: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Hue: Rodrigues' rotation of RGB about (1, 1, 1) / √3 by `angle` radians."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    cross = (images.roll(1, 1) - images.roll(-1, 1)) / math.sqrt(3)
    return images * cos + cross * sin + images.mean(1, keepdim=True) * (1 - cos)


def _blur(images: torch.Tensor, random: _Random) -> torch.Tensor:
    """Gaussian of 0.3 to 1.5 pixels."""
    n, channels, height, width = images.shape
    radius = 4
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / random.uniform(0.3, 1.5).view(n, 1)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[
        :, None, None
    ]  # N·C, 1, 1, K
    flat = F.pad(images, (radius, radius, radius, radius), mode="replicate").view(
        1, n * channels, height + 8, width + 8
    )
    flat = F.conv2d(F.conv2d(flat, kernel, groups=n * channels), kernel.transpose(2, 3), groups=n * channels)
    return flat.view_as(images)


def _lose_resolution(images: torch.Tensor, config: AugmentConfig, random: _Random) -> torch.Tensor:
    """Down to a smaller picture and up again, as a generator's small sample comes to the segmenter."""
    size = images.shape[-2:]
    sides = (
        torch.exp2(random.uniform(math.log2(config.smallest), math.log2(config.largest))).flatten().tolist()
    )
    chosen = (random.uniform() < config.low_resolution).flatten().tolist()
    out = list(images)
    for i, (side, change) in enumerate(zip(sides, chosen, strict=True)):
        factor = side / max(size)
        if change and factor < 1:
            small = [max(round(s * factor), 1) for s in size]
            tiny = F.interpolate(images[i : i + 1], small, mode="bilinear", antialias=True)
            out[i] = F.interpolate(tiny, size, mode="bilinear")[0]
    return torch.stack(out)


def _cut_out(images: torch.Tensor, random: _Random) -> torch.Tensor:
    """A rectangle of one colour over the picture (DeVries and Taylor, arXiv 1708.04552); the labels stay."""
    height, width = images.shape[-2:]
    y = torch.arange(height, device=images.device).view(1, 1, -1, 1) / height
    x = torch.arange(width, device=images.device).view(1, 1, 1, -1) / width
    inside = ((y - random.uniform()).abs() < random.uniform(0.02, 0.12)) & (
        (x - random.uniform()).abs() < random.uniform(0.02, 0.12)
    )
    return torch.where(inside, random.uniform(-1, 1, channels=3), images)
