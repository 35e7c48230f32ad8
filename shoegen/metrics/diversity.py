"""A cheap sign of collapse, for every snapshot of a training."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.errors import DataError

_PICTURES = 1024  # of each set; a million pairs take a tenth of a second
_SIDE = 16  # at which pictures are compared, so that noise and texture do not count as variety


def diversity(samples: Tensor, reference: Tensor) -> float:
    """How varied pictures are, relative to others: about 1 when as varied, 0 when all alike.

    The mean Euclidean distance over all pairs of samples, over that of the reference's pairs, both reduced to
    16 × 16 px. Of each set at most the first 1,024 pictures count.

    Args:
        samples: uint8 (N, C, H, W), N ≥ 2.
        reference: uint8 (M, C, H, W), M ≥ 2.

    Returns:
        The ratio; NaN where the reference's pictures are all alike.

    Raises:
        DataError: fewer than two pictures, or another number of channels.
    """
    if min(len(samples), len(reference)) < 2 or samples.shape[1] != reference.shape[1]:
        raise DataError(
            f"diversity: got samples {tuple(samples.shape)} and a reference {tuple(reference.shape)}, expected "
            "(N, C, H, W) with at least two pictures each and the same channels"
        )
    spread = _mean_distance(reference)
    return _mean_distance(samples) / spread if spread > 0 else math.nan


def _mean_distance(pictures: Tensor) -> float:
    small = F.adaptive_avg_pool2d(pictures[:_PICTURES].float(), _SIDE)
    return float(torch.pdist(small.flatten(1)).mean())
