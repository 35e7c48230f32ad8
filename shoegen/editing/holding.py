"""What an edit is not about stays: a latent beside the edited one, whose picture shows the old upper on the new heel.

A direction moves all shoes alike, and leaves the rest alone on average; a single shoe changes its colours and seams on
the way. So the picture that is wanted is made from the two that are there, by moving what shall stay to its new place,
and a search in W+ near the edited latent finds what draws it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.data.colors import to_lab, to_srgb
from shoegen.data.labels import LabelMap
from shoegen.torch_utils.pixels import to_pixels

if TYPE_CHECKING:
    from shoegen.editing.shoe import Shoe

BELOW = frozenset(
    {"heel_height", "heel_width", "sole_thickness", "platform_height", "sole_l", "sole_a", "sole_b"}
)
"""Attributes of sole and heel: what is above the sole stays, and moves with it."""
COLORS = frozenset({"upper_l", "upper_a", "upper_b", "upper_chroma"})
"""Attributes of the upper's colour: all shapes stay, and so do the colours of the rest."""

STEPS = 30
RATE = 0.08  # sigmas of W a step
NEAR = 0.005  # weight of the squared distance to the edited latent, in sigmas, beside the picture's smooth L1
SMOOTH = 0.1  # of that, in [−1, 1]
# Pixels of a part map: how the sole's edge is freed from steps, which would tear the upper.
MEDIAN, SOFT = 9, 2.0


def can_hold(attributes: Iterable[str]) -> bool:
    """Whether it is known what else an edit of these attributes leaves alone."""
    return set(attributes) <= BELOW | COLORS


def hold(before: Shoe, after: Shoe, attributes: Iterable[str]) -> Tensor | None:
    """A latent near the edited one that draws what the edit was about, and all else as before.

    Args:
        before, after: a shoe and its edit, of one model.
        attributes: what was edited.

    Returns:
        ws (num_ws, w_dim); None where nothing can be held: other attributes, or no shoe with a sole in either picture.
    """
    wanted = _wanted(before, after, set(attributes))
    return None if wanted is None else _search(after, wanted)


def _search(shoe: Shoe, wanted: Tensor) -> Tensor:
    """The latent near a shoe's own that draws a picture (1, C, h, w) in [−1, 1] best."""
    generator, basis = shoe.model.generator, shoe.model.basis
    start = basis.to_sigmas(shoe.ws[None].to(shoe.model.device))
    apart = torch.zeros_like(start, requires_grad=True)
    adam = torch.optim.Adam([apart], betas=(0.8, 0.95))
    for step in range(STEPS):
        adam.param_groups[0]["lr"] = RATE * min(1.0, 2 * (STEPS - step) / STEPS)
        image = generator.synthesis(basis.to_w(start + apart))
        loss = F.smooth_l1_loss(image, wanted, beta=SMOOTH) + NEAR * apart.square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return basis.to_w(start + apart.detach())[0].to(shoe.ws)


# ---- the picture that is wanted ----


def _wanted(before: Shoe, after: Shoe, attributes: set[str]) -> Tensor | None:
    if not attributes or not can_hold(attributes):
        return None
    labels = after.model.segmenter.labels
    drawn = before.drawn
    if attributes & COLORS:
        if drawn.shape[1] != 3:
            return None
        drawn = _recolored(drawn, before, after)
    if not attributes & BELOW:
        return drawn
    return _carried(drawn, before.visible_part_map, after.drawn, after.visible_part_map, labels)


def _recolored(drawn: Tensor, before: Shoe, after: Shoe) -> Tensor:
    """A picture (1, 3, h, w) whose upper has gone as far in CIELAB as the edit's median."""
    names = ("upper_l", "upper_a", "upper_b")
    change = np.array([after.measures[name] - before.measures[name] for name in names])
    labels = before.model.segmenter.labels
    parts = [labels.index(name) for name in ("upper", "shaft") if name in labels.names]
    share = torch.from_numpy(np.isin(before.visible_part_map, parts)[None, None]).to(drawn)
    share = F.interpolate(share, drawn.shape[-2:], mode="area")
    lab = to_lab(to_pixels(drawn)[0]) + np.nan_to_num(change)
    moved = torch.from_numpy(to_srgb(lab)).permute(2, 0, 1)[None].to(drawn) / 127.5 - 1
    return torch.lerp(drawn, moved, share)


def _carried(
    old: Tensor, old_map: np.ndarray, new: Tensor, new_map: np.ndarray, labels: LabelMap
) -> Tensor | None:
    """The new picture (1, C, h, w) with what is above the sole in the old one, moved along with the sole's edge.

    Columns keep their place along the shoe's length, rows their height above the sole's upper edge, in lengths.
    """
    ours, theirs = (_edge(each, labels) for each in (old_map, new_map))
    if ours is None or theirs is None:
        return None
    height, width = new.shape[-2:]
    fine = new_map.shape[1] / width  # pixels of a part map for one of a picture
    x, y = ((np.arange(side) + 0.5) * fine for side in (width, height))
    (start, length, edge), (new_start, new_length, new_edge) = ours, theirs
    scale = length / new_length
    x_old = start + (x - new_start) * scale
    above = np.interp(x, np.arange(len(new_edge)) + 0.5, new_edge)[None] - y[:, None]
    y_old = np.interp(x_old, np.arange(len(edge)) + 0.5, edge)[None] - above * scale
    places = np.stack([np.broadcast_to(x_old, y_old.shape) / old_map.shape[1], y_old / old_map.shape[0]], -1)
    grid = torch.from_numpy(2 * places - 1)[None].to(old)
    moved = F.grid_sample(old, grid, padding_mode="border", align_corners=False)
    reach = 4 * fine  # beside the shoe, for its outline
    beside = (x > new_start - reach) & (x < new_start + new_length + reach)
    share = torch.from_numpy(np.clip(above / fine + 0.5, 0, 1) * beside).to(old)
    return torch.lerp(new, moved, share)


def _edge(part_map: np.ndarray, labels: LabelMap) -> tuple[float, float, np.ndarray] | None:
    """Where a shoe (H, W) starts, its length, and the rows of its sole's upper edge (W,); None where it has no sole."""
    from scipy.ndimage import gaussian_filter1d, median_filter  # takes long to load

    if "sole" not in labels.names:
        return None
    shoe = np.flatnonzero((part_map != labels.index("background")).sum(0) >= 2)
    sole = part_map == labels.index("sole")
    seen = np.flatnonzero(sole.any(0))
    if len(shoe) < 8 or len(seen) < 8:
        return None
    edge = np.interp(np.arange(part_map.shape[1]), seen, sole[:, seen].argmax(0))
    edge = gaussian_filter1d(median_filter(edge, MEDIAN, mode="nearest"), SOFT, mode="nearest")
    return float(shoe[0]), float(shoe[-1] + 1 - shoe[0]), edge
