"""The learning-rate range test (Smith, arXiv 1506.01186, section 3.3), and its plot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shoegen.errors import TrainingError
from shoegen.segmentation.trainer import RunTrainer

STEPS = 100
LOWEST, HIGHEST = 1e-6, 1.0
SMOOTHING = 0.9
DIVERGED = 3.0  # times the lowest loss


@dataclass(frozen=True)
class RangeTest:
    """rates, losses, smoothed: one for each step. suggestion: the highest for a schedule."""

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def plot(self, width: int = 900, height: int = 560) -> np.ndarray:
        """(height, width, 3) uint8: loss over learning rate, the suggestion marked."""
        return _plot(self, width, height)


def range_test(
    trainer: RunTrainer,
    batches: Iterator[Any],
    report: Callable[[float, str], None] = lambda done, text: None,
) -> RangeTest:
    """Trains with rates that grow from `LOWEST` to `HIGHEST` until the loss diverges; the trainer is used up.

    Args:
        trainer: new.
        batches: of the run's data.
        report: called with the share that is done and a line.

    Raises:
        TrainingError: the loss is not finite from the start.
    """
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    for step in range(STEPS):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        loss = trainer.learn(next(batches), rate).item()
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        value = mean / (1 - SMOOTHING ** (step + 1))  # free of the start at 0
        if not math.isfinite(value) or (step > 10 and value > DIVERGED * min(smoothed)):
            break
        rates.append(rate)
        losses.append(loss)
        smoothed.append(value)
        if (step + 1) % 10 == 0:
            report((step + 1) / STEPS, f"rate {rate:.1e}  loss {value:.3f}")
    if len(rates) < 10:
        raise TrainingError(f"the loss is not finite from a rate of {rate:.1e} on; look at the data")
    return RangeTest(rates, losses, smoothed, suggest(rates, smoothed))


def suggest(rates: list[float], smoothed: list[float]) -> float:
    """The rate, rounded to two digits, at which the smoothed loss falls fastest: well this side of divergence."""
    logs = np.log(rates)
    window = min(10, len(rates) // 4)  # steps, so that no chance step decides
    falls = (np.subtract(smoothed[:-window], smoothed[window:])) / (logs[window:] - logs[:-window])
    fastest = int(np.argmax(falls))
    return float(f"{math.exp((logs[fastest] + logs[fastest + window]) / 2):.1e}")


def _plot(test: RangeTest, width: int, height: int) -> np.ndarray:
    picture = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    left, top, right, bottom = 80, 50, width - 30, height - 70
    low, high = min(test.losses), max(test.smoothed)
    high += (high - low or 1) * 0.1
    first, last = math.log10(test.rates[0]), math.log10(test.rates[-1])

    def place(rate: float, loss: float) -> tuple[float, float]:
        x = left + (math.log10(rate) - first) / (last - first) * (right - left)
        return x, bottom - (min(loss, high) - low) / (high - low) * (bottom - top)

    # Axes.
    for exponent in range(math.ceil(first), math.floor(last) + 1):
        x, _ = place(10.0**exponent, low)
        draw.line([(x, top), (x, bottom)], "#e0e0e0")
        draw.text((x, bottom + 8), f"1e{exponent}", "black", font, anchor="ma")
    for loss in np.linspace(low, high, 6):
        _, y = place(test.rates[0], float(loss))
        draw.line([(left, y), (right, y)], "#e0e0e0")
        draw.text((left - 8, y), f"{loss:.3g}", "black", font, anchor="rm")
    draw.rectangle([left, top, right, bottom], outline="black")
    draw.text(((left + right) / 2, height - 30), "learning rate", "black", font, anchor="ma")
    draw.text((left, 16), "loss: of each step (pale), smoothed (dark)", "black", font)

    # Curves.
    draw.line([place(*each) for each in zip(test.rates, test.losses)], "#a9c7ea", 1)
    draw.line([place(*each) for each in zip(test.rates, test.smoothed)], "#1f4e9c", 3)
    x, _ = place(test.suggestion, low)
    draw.line([(x, top), (x, bottom)], "#c0392b", 2)
    draw.text((x - 6, top + 6), f"--lr {test.suggestion:g}", "#c0392b", font, anchor="ra")
    return np.asarray(picture)
