"""Differentiable, non-leaking augmentations for the discriminator (arXiv 2006.06676, appendix B).

Each operation is applied to each image with probability p. What is drawn so is seen by D alone, and as long as
p < 1 the generator cannot learn to produce it (section 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shoegen.errors import ConfigError
from shoegen.ops import setup_filter, upfirdn2d, upsample2d
from shoegen.stylegan.config import AugmentConfig
from shoegen.torch_utils.draws import Draws

BLIT = ("xflip", "rotate90", "xint")
GEOM = ("scale", "rotate", "aniso", "xfrac")
COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
OPERATIONS = (*BLIT, *GEOM, *COLOR, "imgfilter", "noise", "cutout")

PIPES: dict[str, tuple[str, ...]] = {
    "blit": BLIT,
    "geom": GEOM,
    "color": COLOR,
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": (*BLIT, *GEOM),
    "bgc": (*BLIT, *GEOM, *COLOR),
    "bgcf": (*BLIT, *GEOM, *COLOR, "imgfilter"),
    "bgcfn": (*BLIT, *GEOM, *COLOR, "imgfilter", "noise"),
    "bgcfnc": OPERATIONS,
}

# Low-pass filters of the orthogonal wavelets sym6 and sym2 (Daubechies' least asymmetric).
_SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
_SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
_BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of natural images, from the lowest band to the highest


class AugmentPipe(nn.Module):
    """Augments images (N, channels, H, W) with probability `p` per image and operation.

    The colours of grey images (1 channel) change as those of RGB images would, alpha (the fourth) never does.

    Args:
        pipe: a name in `PIPES`, or names of `OPERATIONS`.
    """

    low_pass: Tensor
    bands: Tensor

    def __init__(self, pipe: str | Iterable[str]) -> None:
        super().__init__()
        if isinstance(pipe, str):
            if pipe not in PIPES:
                raise ConfigError(f"augmentation pipe: got {pipe!r}, expected one of {', '.join(PIPES)}")
            pipe = PIPES[pipe]
        self.operations = frozenset(pipe)
        unknown = sorted(self.operations - set(OPERATIONS))
        if unknown:
            raise ConfigError(
                f"augmentations: got {', '.join(unknown)}, expected some of {', '.join(OPERATIONS)}"
            )
        self.p = 0.0
        self.register_buffer("low_pass", setup_filter(_SYM6, separable=True), persistent=False)
        self.register_buffer("bands", octave_bands(), persistent=False)

    def forward(self, images: Tensor, draws: Draws | None = None) -> Tensor:
        if self.p == 0:
            return images
        draws = draws or Draws(images.device, images.dtype)
        images = self._move(images, draws)
        images = self._recolor(images, draws)
        if "imgfilter" in self.operations:
            images = self._filter(images, draws)
        if "noise" in self.operations:
            sigma = draws.normal("noise", (len(images), 1, 1, 1), 0.1).abs()
            sigma = sigma * draws.gate("noise", (len(images), 1, 1, 1), self.p)
            noise = draws.normal("noise_image", tuple(images.shape), 1.0) * sigma
            images = images + noise
        if "cutout" in self.operations:
            images = self._cut_out(images, draws)
        return images

    # ---- geometry ----

    def _move(self, images: Tensor, draws: Draws) -> Tensor:
        if not self.operations & {*BLIT, *GEOM}:
            return images
        n, _, height, width = images.shape
        size = torch.tensor([width, height], device=images.device)

        def gate(name: str, p: float) -> Tensor:
            return draws.gate(name, (n,), p)

        # `to_input` maps a place in the result to its place in the input: pixels from the image's centre.
        to_input = torch.eye(3).to(images).expand(n, 3, 3)
        p = self.p
        if "xflip" in self.operations:
            flip = draws.uniform("xflip", (n,), 0, 2).floor() * gate("xflip", p)
            to_input = to_input @ _scaling(1 - 2 * flip, torch.ones_like(flip))
        if "rotate90" in self.operations:
            quarters = draws.uniform("rotate90", (n,), 0, 4).floor() * gate("rotate90", p)
            to_input = to_input @ _rotation(quarters * (math.pi / 2))
        if "xint" in self.operations:
            shift = draws.uniform("xint", (n, 2), -0.125, 0.125) * gate("xint", p)[:, None]
            to_input = to_input @ _translation(-(shift * size).round())
        if "scale" in self.operations:
            factor = torch.exp2(draws.normal("scale", (n,), 0.2) * gate("scale", p))
            to_input = to_input @ _scaling(1 / factor, 1 / factor)
        # The rotation is split around the anisotropic scaling, so that its axes are random; together the
        # two happen with probability p.
        p_rotate = 1 - math.sqrt(max(1 - p, 0))
        if "rotate" in self.operations:
            angle = draws.uniform("rotate_before", (n,), -math.pi, math.pi) * gate("rotate_before", p_rotate)
            to_input = to_input @ _rotation(angle)
        if "aniso" in self.operations:
            factor = torch.exp2(draws.normal("aniso", (n,), 0.2) * gate("aniso", p))
            to_input = to_input @ _scaling(1 / factor, factor)
        if "rotate" in self.operations:
            angle = draws.uniform("rotate_after", (n,), -math.pi, math.pi) * gate("rotate_after", p_rotate)
            to_input = to_input @ _rotation(angle)
        if "xfrac" in self.operations:
            shift = draws.normal("xfrac", (n, 2), 0.125) * gate("xfrac", p)[:, None]
            to_input = to_input @ _translation(-shift * size)
        return self._resample(images, to_input)

    def _resample(self, images: Tensor, to_input: Tensor) -> Tensor:
        """One resampling for the whole chain, on a 2× finer grid between two low-pass filters (figure 17)."""
        n, channels, height, width = images.shape
        reach = len(self.low_pass) // 4  # of the filter, in pixels of the image, on one side

        # Pad by reflection as far as the transformed frame reaches out, at most as far as reflection can.
        half = to_input.new_tensor([width - 1, height - 1]) / 2
        signs = to_input.new_tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        corners = torch.cat([signs * half, to_input.new_ones(4, 1)], dim=1)  # (4, 3)
        places = (to_input @ corners.T)[:, :2].transpose(1, 2).reshape(-1, 2)  # (4·N, 2)
        beyond = torch.cat([-places.amin(dim=0) - half, places.amax(dim=0) - half]) + 2 * reach
        limit = to_input.new_tensor([width - 1, height - 1] * 2)
        left, top, right, bottom = beyond.clamp(min=0).minimum(limit).ceil().int().tolist()
        images = F.pad(images, [left, right, top, bottom], mode="reflect")
        centre_moved = to_input.new_tensor([[(left - right) / 2, (top - bottom) / 2]])
        to_input = _translation(centre_moved) @ to_input

        # Upsample, and look up each place of a result that has `reach` pixels more on each side.
        images = upsample2d(images, self.low_pass)
        fine_height, fine_width = (height + 2 * reach) * 2, (width + 2 * reach) * 2
        # grid_sample wants places from −1 to 1 across the image.
        from_unit = _scaling_of(fine_width / 4, fine_height / 4, like=to_input)
        to_unit = _scaling_of(4 / images.shape[3], 4 / images.shape[2], like=to_input)
        # sym6 is not symmetric: its energy lies half a fine pixel before the middle of its taps.
        delay = to_input.new_full((1, 2), 0.25)
        transform = (to_unit @ _translation(-delay) @ to_input @ _translation(delay) @ from_unit)[:, :2]
        grid = F.affine_grid(transform, [n, channels, fine_height, fine_width], align_corners=False)
        images = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

        # Downsample and crop; the flipped filter undoes the phase of the first one.
        taps = len(self.low_pass)
        margin = taps // 2 - 1 - 2 * reach
        return upfirdn2d(images, self.low_pass, down=2, padding=margin, flip_filter=True)

    # ---- colour ----

    def _recolor(self, images: Tensor, draws: Draws) -> Tensor:
        if not self.operations & set(COLOR):
            return images
        n = len(images)

        def gate(name: str) -> Tensor:
            return draws.gate(name, (n,), self.p)

        # `matrix` (N, 3, 3) and `offset` (N, 3) take the input's RGB to the result's.
        identity = torch.eye(3).to(images)
        grey = images.new_full((3, 3), 1 / 3)  # projects on the axis of greys
        matrix, offset = identity.expand(n, 3, 3), images.new_zeros(n, 3)
        if "brightness" in self.operations:
            offset = offset + (draws.normal("brightness", (n,), 0.2) * gate("brightness"))[:, None]
        steps = []
        if "contrast" in self.operations:
            factor = torch.exp2(draws.normal("contrast", (n,), 0.5) * gate("contrast"))
            steps.append(identity * factor[:, None, None])
        if "lumaflip" in self.operations:
            flip = draws.uniform("lumaflip", (n,), 0, 2).floor() * gate("lumaflip")
            steps.append(identity - 2 * grey * flip[:, None, None])
        if "hue" in self.operations:
            angle = draws.uniform("hue", (n,), -math.pi, math.pi) * gate("hue")
            steps.append(_rotation_about_grey(angle))
        if "saturation" in self.operations:
            factor = torch.exp2(draws.normal("saturation", (n,), 1.0) * gate("saturation"))
            steps.append(grey + (identity - grey) * factor[:, None, None])
        for step in steps:
            matrix, offset = step @ matrix, (step @ offset[:, :, None])[:, :, 0]
        if images.shape[1] == 1:  # as an image of three equal channels, whose mean is taken
            return (
                images * matrix.sum(dim=2).mean(dim=1)[:, None, None, None]
                + offset.mean(dim=1)[:, None, None, None]
            )
        colors = torch.einsum("nij,njhw->nihw", matrix, images[:, :3]) + offset[:, :, None, None]
        return torch.cat([colors, images[:, 3:]], dim=1) if images.shape[1] > 3 else colors

    # ---- the rest ----

    def _filter(self, images: Tensor, draws: Draws) -> Tensor:
        n, channels, height, width = images.shape
        count = len(self.bands)
        power = images.new_tensor(_BAND_POWER)
        gains = images.new_ones(n, count)
        for band in range(count):
            gain = torch.exp2(draws.normal("imgfilter", (n,), 1.0) * draws.gate("imgfilter", (n,), self.p))
            own = images.new_ones(n, count)
            own[:, band] = gain
            gains = gains * own / (power * own.square()).sum(dim=1, keepdim=True).sqrt()
        taps = gains @ self.bands.to(images.dtype)
        taps = taps.repeat_interleave(channels, dim=0)  # (N·channels, taps), symmetric
        reach = taps.shape[1] // 2
        x = _reflect(images.reshape(1, n * channels, height, width), reach)
        x = F.conv2d(x, taps[:, None, None, :], groups=n * channels)
        x = F.conv2d(x, taps[:, None, :, None], groups=n * channels)
        return x.reshape(n, channels, height, width)

    def _cut_out(self, images: Tensor, draws: Draws) -> Tensor:
        n, _, height, width = images.shape
        center = draws.uniform("cutout", (n, 2), 0, 1)
        half_side = 0.25 * draws.gate("cutout", (n,), self.p)  # of a square half as wide as the image
        x = (torch.arange(width, device=images.device) + 0.5) / width
        y = (torch.arange(height, device=images.device) + 0.5) / height
        kept_x = (x - center[:, :1]).abs() >= half_side[:, None]
        kept_y = (y - center[:, 1:]).abs() >= half_side[:, None]
        kept = kept_x[:, None, None, :] | kept_y[:, None, :, None]
        return images * kept


class AugmentControl:
    """Moves the augmentation strength p so that r_t, the mean sign of D(real), stays at its target.

    r_t near 1 means that D knows the real images by heart (arXiv 2006.06676, section 3).
    """

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config
        self.p = config.p
        self._signs: Tensor | float = 0.0  # of D(real), summed since the last adjustment
        self._count = 0

    def observe(self, signs: Tensor, count: int) -> None:
        """Takes note of the sum of the signs of D(real), (), over `count` images."""
        if self.config.mode == "ada":
            self._signs = signs + self._signs
            self._count += count

    def adjust(self, steps: int, batch: int) -> float:
        """After step number `steps` of `batch` images: the p to go on with."""
        if self.config.mode == "ada" and steps % self.config.interval == 0 and self._count:
            r_t = float(self._signs) / self._count
            direction = (r_t > self.config.target) - (r_t < self.config.target)
            step = batch * self.config.interval / (self.config.speed_kimg * 1000)
            self.p = min(max(self.p + direction * step, 0.0), 1.0)
            self._signs, self._count = 0.0, 0
        return self.p

    def state_dict(self) -> dict[str, Any]:
        return {"p": self.p, "signs": float(self._signs), "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.p, self._signs, self._count = state["p"], state["signs"], state["count"]


def octave_bands() -> Tensor:
    """(4, taps) zero-phase filters that split a signal into octaves, lowest first, and sum to the identity.

    Built with the à-trous scheme from sym2: each round halves the lowest band again (appendix B, "image-space
    filtering").
    """
    low = torch.tensor(_SYM2, dtype=torch.float64)
    high = low * torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    low, high = (_convolve(f, f.flip(0)) / 2 for f in (low, high))  # (7,): zero phase
    bands = [torch.ones(1, dtype=torch.float64)]
    for _ in range(3):
        bands = [_convolve(_spread(band), low) for band in bands]
        bands.append(high)
    widest = len(bands[0])
    return torch.stack([F.pad(band, [(widest - len(band)) // 2] * 2) for band in bands]).float()


def _convolve(a: Tensor, b: Tensor) -> Tensor:
    return F.conv1d(a[None, None], b.flip(0)[None, None], padding=len(b) - 1)[0, 0]


def _spread(a: Tensor) -> Tensor:
    spread = a.new_zeros(2 * len(a) - 1)
    spread[::2] = a
    return spread


def _reflect(x: Tensor, reach: int) -> Tensor:
    # Reflection reaches no further than the image: small ones are padded in several rounds.
    while reach:
        step = min(reach, x.shape[2] - 1, x.shape[3] - 1)
        x = F.pad(x, [step] * 4, mode="reflect")
        reach -= step
    return x


def _matrices(rows: list[list[Tensor]]) -> Tensor:
    """Nested lists of (N,) tensors → (N, rows, columns)."""
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _translation(shift: Tensor) -> Tensor:
    """(N, 2) → (N, 3, 3)."""
    x, y = shift.unbind(dim=1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrices([[one, zero, x], [zero, one, y], [zero, zero, one]])


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    """(N,), (N,) → (N, 3, 3)."""
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrices([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def _scaling_of(x: float, y: float, *, like: Tensor) -> Tensor:
    return torch.diag(like.new_tensor([x, y, 1.0]))


def _rotation(angle: Tensor) -> Tensor:
    """(N,) radians → (N, 3, 3)."""
    cos, sin = angle.cos(), angle.sin()
    one, zero = torch.ones_like(cos), torch.zeros_like(cos)
    return _matrices([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _rotation_about_grey(angle: Tensor) -> Tensor:
    """(N,) radians → (N, 3, 3): turns colours around the axis of greys (Rodrigues' formula)."""
    identity = torch.eye(3).to(angle)
    grey = angle.new_full((3, 3), 1 / 3)
    a = 1 / math.sqrt(3)
    cross = angle.new_tensor([[0, -a, a], [a, 0, -a], [-a, a, 0]])
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return identity * cos + cross * sin + grey * (1 - cos)
