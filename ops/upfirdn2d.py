"""Upsample, FIR-filter and downsample a batch of images (StyleGAN2, arXiv 1912.04958, appendix B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.errors import ConfigError
from shoegen.ops.dispatch import LIBRARY, empty_image, use_native

Pair = int | Sequence[int]


def setup_filter(
    taps: Sequence[float] | Sequence[Sequence[float]] | Tensor, *, gain: float = 1.0, separable: bool = False
) -> Tensor:
    """A FIR filter with unit DC gain, times `gain`.

    Args:
        taps: (n,) taps of a separable filter, or (h, w) of any filter.
        separable: keep (n,) taps as they are: many taps are cheaper in two passes, few in one.

    Returns:
        (h, w) float32, or (n,) if `separable`.
    """
    f = torch.as_tensor(taps, dtype=torch.float32)
    if f.ndim not in (1, 2) or f.numel() == 0:
        raise ConfigError(f"filter: got shape {tuple(f.shape)}, expected (taps,) or (height, width)")
    f = f / f.sum() * gain
    return torch.outer(f, f) / gain if f.ndim == 1 and not separable else f


def upfirdn2d(
    x: Tensor,
    f: Tensor,
    *,
    up: Pair = 1,
    down: Pair = 1,
    padding: Pair = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    impl: str = "auto",
) -> Tensor:
    """Inserts zeros, pads or crops, convolves every channel with `f`, and keeps every `down`-th pixel.

    Args:
        x: (N, C, H, W).
        f: (fh, fw) filter, or (n,) for one that is applied along both axes.
        up, down: whole factors, one number or (x, y).
        padding: pixels added around the upsampled image, one number, (x, y) or
            (left, right, top, bottom); negative crops.
        flip_filter: False convolves, True correlates.
        gain: factor on the result.
        impl: "auto", "reference" or "native", see `shoegen.ops.dispatch`.

    Returns:
        (N, C, (H·up + top + bottom − fh) // down + 1, likewise for the width).
    """
    up_x, up_y = pair(up)
    down_x, down_y = pair(down)
    left, right, top, bottom = padding_of(padding)
    height, width = x.shape[2] * up_y + top + bottom, x.shape[3] * up_x + left + right
    if height < f.shape[0] or width < f.shape[-1]:
        raise ConfigError(
            f"upfirdn2d: the padded image is {height}×{width}, smaller than the {f.shape[0]}×{f.shape[-1]} filter"
        )
    unsupported = "it has no gradient for the filter" if f.requires_grad else ""
    if use_native("upfirdn2d", x, impl, unsupported=unsupported):
        f = f.to(x.device, torch.float64 if x.dtype == torch.float64 else torch.float32)
        return torch.ops.shoegen.upfirdn2d(
            x, f, [up_x, up_y], [down_x, down_y], [left, right, top, bottom], flip_filter, gain
        )
    return _upfirdn2d_reference(
        x, f, (up_x, up_y), (down_x, down_y), (left, right, top, bottom), flip_filter, gain
    )


def _upfirdn2d_reference(
    x: Tensor,
    f: Tensor,
    up: tuple[int, int],
    down: tuple[int, int],
    padding: tuple[int, int, int, int],
    flip_filter: bool,
    gain: float,
) -> Tensor:
    (up_x, up_y), (down_x, down_y), (left, right, top, bottom) = up, down, padding
    if f.ndim == 1:
        # A matrix product on each side: convolutions with few channels and many taps are far slower.
        f = f if flip_filter else f.flip(0)
        rows = _fir_matrix(f, x.shape[2], up_y, down_y, top, bottom).to(x)
        columns = _fir_matrix(f, x.shape[3], up_x, down_x, left, right).to(x)
        return rows @ (x * gain) @ columns.T
    channels = x.shape[1]
    f = f.to(torch.promote_types(f.dtype, x.dtype)) * gain
    f = (f.flip(0, 1) if flip_filter else f).to(x.dtype).expand(channels, 1, *f.shape)
    if up_x > 1 or up_y > 1:
        # A transposed convolution skips the inserted zeros. It returns every window that touches the image,
        # so padding becomes cropping: what it can crop by itself, the same on both sides, saves a copy.
        fh, fw = f.shape[2:]
        edges = [left - (fw - 1), right - (fw - up_x), top - (fh - 1), bottom - (fh - up_y)]
        crop_x, crop_y = max(0, -max(edges[:2])), max(0, -max(edges[2:]))
        x = F.conv_transpose2d(x, f, stride=(up_y, up_x), padding=(crop_y, crop_x), groups=channels)
        x = _pad(x, [edges[0] + crop_x, edges[1] + crop_x, edges[2] + crop_y, edges[3] + crop_y])
        return x[:, :, ::down_y, ::down_x]
    same_on_both_sides = left == right >= 0 and top == bottom >= 0
    if not same_on_both_sides:
        x = _pad(x, [left, right, top, bottom])
    return F.conv2d(
        x,
        f.flip(2, 3),  # conv2d correlates
        stride=(down_y, down_x),
        padding=(top, left) if same_on_both_sides else 0,
        groups=channels,
    )


def upsample2d(x: Tensor, f: Tensor, *, up: int = 2) -> Tensor:
    """(N, C, H, W) → (N, C, H·up, W·up), aligned so that the filter is centred and brightness is kept."""
    return upfirdn2d(x, f, up=up, padding=resample_padding(f, up=up), gain=up**2)


def downsample2d(x: Tensor, f: Tensor, *, down: int = 2) -> Tensor:
    """(N, C, H, W) → (N, C, H/down, W/down), low-passed by `f`, aligned so that the filter is centred."""
    return upfirdn2d(x, f, down=down, padding=resample_padding(f, down=down))


def resample_padding(f: Tensor, *, up: int = 1, down: int = 1) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) that centre `f` and make the size exactly `up` times or 1 / `down`."""
    fh, fw = f.shape if f.ndim == 2 else (len(f), len(f))
    if up > 1:
        return (fw + up - 1) // 2, (fw - up) // 2, (fh + up - 1) // 2, (fh - up) // 2
    return (fw - down + 1) // 2, (fw - down) // 2, (fh - down + 1) // 2, (fh - down) // 2


def pair(value: Pair) -> tuple[int, int]:
    """`n` → (n, n); (x, y) as it is."""
    x, y = (value, value) if isinstance(value, int) else value
    if x < 1 or y < 1:
        raise ConfigError(f"up and down: got {value}, expected whole numbers of at least 1")
    return x, y


def padding_of(value: Pair) -> tuple[int, int, int, int]:
    """`n`, (x, y) or (left, right, top, bottom) → (left, right, top, bottom)."""
    values = [value] if isinstance(value, int) else list(value)
    if len(values) == 1:
        values = values * 4
    elif len(values) == 2:
        values = [values[0], values[0], values[1], values[1]]
    if len(values) != 4:
        raise ConfigError(f"padding: got {len(values)} numbers, expected 1, 2 or 4")
    left, right, top, bottom = values
    return left, right, top, bottom


def _fir_matrix(f: Tensor, size: int, up: int, down: int, before: int, after: int) -> Tensor:
    """(outputs, size): what `upfirdn2d` does along one axis, correlating with `f` (n,)."""
    outputs = (size * up + before + after - len(f)) // down + 1
    taps = torch.arange(len(f), device=f.device)
    places = torch.arange(outputs, device=f.device)[:, None] * down + taps - before  # on the upsampled axis
    hits = (places >= 0) & (places < size * up) & (places % up == 0)
    matrix = f.new_zeros(outputs, size)
    rows, tap = hits.nonzero(as_tuple=True)
    matrix[rows, places[hits] // up] = f[tap]
    return matrix


def _pad(x: Tensor, edges: list[int]) -> Tensor:
    # Zeros first: one side may crop what only the other side's padding brings in.
    for step in ([max(edge, 0) for edge in edges], [min(edge, 0) for edge in edges]):
        if any(step):
            x = F.pad(x, step)
    return x


# Native. The backward is the same op with up and down exchanged and the filter turned round.

LIBRARY.define(
    "upfirdn2d(Tensor x, Tensor f, int[] up, int[] down, SymInt[] padding, bool flip_filter, float gain) -> Tensor"
)


@torch.library.register_fake("shoegen::upfirdn2d")
def _(
    x: Tensor, f: Tensor, up: list[int], down: list[int], padding: list[int], flip_filter: bool, gain: float
) -> Tensor:
    left, right, top, bottom = padding
    height = (x.shape[2] * up[1] + top + bottom - f.shape[0]) // down[1] + 1
    width = (x.shape[3] * up[0] + left + right - f.shape[-1]) // down[0] + 1
    return empty_image(x, x.shape[0], x.shape[1], height, width)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, f, ctx.up, ctx.down, ctx.padding, ctx.flip_filter, ctx.gain = inputs
    ctx.save_for_backward(f)
    ctx.sizes = x.shape[2:], output.shape[2:]


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    (f,) = ctx.saved_tensors
    (height, width), (out_height, out_width) = ctx.sizes
    left, _, top, _ = ctx.padding
    padding = [
        f.shape[-1] - 1 - left,
        width * ctx.up[0] - out_width * ctx.down[0] + left - ctx.up[0] + 1,
        f.shape[0] - 1 - top,
        height * ctx.up[1] - out_height * ctx.down[1] + top - ctx.up[1] + 1,
    ]
    dx = torch.ops.shoegen.upfirdn2d(dy, f, ctx.down, ctx.up, padding, not ctx.flip_filter, ctx.gain)
    return dx, None, None, None, None, None, None


torch.library.register_autograd("shoegen::upfirdn2d", _backward, setup_context=_keep)
