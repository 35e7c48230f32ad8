"""Weighted cross-entropy, focal loss, Dice loss, and sums of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shoegen.data.labels import IGNORED
from shoegen.errors import ConfigError
from shoegen.segmentation.config import parse_loss
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.shared_batch import total

DAMPING = {"none": 0.0, "damped": 0.25, "balanced": 1.0}
GAMMA = 2.0  # of the focal loss, as in its paper


def class_weights(given: str | tuple[float, ...], frequencies: Tensor) -> Tensor:
    """Weights (classes,), scaled so that their mean over all pixels is 1.

    A class that never occurs gets weight 0.

    Args:
        given: "none", "damped" or "balanced" for frequency^−0, ^−¼, ^−1; or one weight per class.
        frequencies: (classes,), shares of all pixels.

    Raises:
        ConfigError: weights of another number of classes, or none of a class that occurs.
    """
    seen = frequencies > 0
    if isinstance(given, str):
        raw = frequencies.clamp_min(1e-12) ** -DAMPING[given]
    elif len(given) != len(frequencies):
        raise ConfigError(
            f"--class-weights: got {len(given)} weights, the data has {len(frequencies)} classes; give one for each"
        )
    else:
        raw = torch.tensor(given, dtype=frequencies.dtype)
    weights = torch.where(seen, raw, torch.zeros_like(raw))
    mean = (weights * frequencies).sum()
    if not mean > 0:
        raise ConfigError("--class-weights: every class that occurs has weight 0; give one of them more")
    return weights / mean


class SegmentationLoss(nn.Module):
    """Takes logits (N, classes, H, W) and labels (N, H, W) int64, returns a scalar.

    Pixels labelled `IGNORED` count nowhere. Each loss is that of the whole batch, however many processes share it.

    - ce: cross-entropy, weighted, averaged over the pixels.
    - focal: the same with each pixel weighted by (1 − p)² too, p the probability of its true class
      (arXiv 1708.02002, eq. 5, over classes instead of for each).
    - dice: 1 − Dice of the probabilities, averaged over the classes that occur in the batch.

    Args:
        expression: such as "ce+0.5*dice", see `parse_loss`.
        weights: (classes,), see `class_weights`.
        world: the processes that share each batch.
    """

    weights: Tensor

    def __init__(self, expression: str, weights: Tensor, world: World | None = None) -> None:
        super().__init__()
        self.terms, self.world = parse_loss(expression), world or World()
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses = {"ce": self._cross_entropy, "focal": self._focal, "dice": self._dice}
        log_p = logits.log_softmax(1)  # N, classes, H, W
        known = labels != IGNORED
        target = torch.where(known, labels, 0)[:, None]
        parts = [weight * losses[name](log_p, target, known[:, None]) for name, weight in self.terms.items()]
        return torch.stack(parts).sum()

    def _cross_entropy(self, log_p: Tensor, target: Tensor, known: Tensor) -> Tensor:
        return self._mean(-log_p.gather(1, target), target, known)

    def _focal(self, log_p: Tensor, target: Tensor, known: Tensor) -> Tensor:
        log_p = log_p.gather(1, target)
        return self._mean(-((1 - log_p.exp()) ** GAMMA) * log_p, target, known)

    def _mean(self, costs: Tensor, target: Tensor, known: Tensor) -> Tensor:
        # The weights average 1 over the data, not over each batch: a plain mean keeps rare classes rare in
        # no batch.
        costs = torch.where(known, costs * self.weights[target], 0)
        pixels = total(known.sum().to(costs), self.world)
        return total(costs.sum(), self.world) / pixels.clamp_min(1)

    def _dice(self, log_p: Tensor, target: Tensor, known: Tensor) -> Tensor:
        p = log_p.exp() * known
        truth = torch.zeros_like(p).scatter_(1, target, known.to(p))
        sums = [(p * truth).sum((0, 2, 3)), p.sum((0, 2, 3)), truth.sum((0, 2, 3))]
        overlap, predicted, true = total(torch.stack(sums), self.world)
        occurs = true > 0
        dice = 2 * overlap / (predicted + true).clamp_min(1e-7)
        return ((1 - dice) * occurs).sum() / occurs.sum().clamp_min(1)
