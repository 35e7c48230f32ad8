"""What moving along a direction does, measured: how far strength 1 goes, what else moves, and how far it carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from shoegen.directions.direction import Direction, layers_name
from shoegen.directions.sampling import WHOLE, Measure

CALIBRATION = 64  # held-out latents that are moved and measured
STRENGTHS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # over which leaks are slopes
CURVE = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
LEAST_GROWTH = 0.1  # of the attribute per guessed strength, in sigma: less is none
LEAST_RISE = 0.05  # sigma per strength: where a curve rises less, it is flat
WHOLE_SHARE = 0.9  # of the shoes that are one whole shoe unmoved
MEASURED_SHARE = 0.5  # of those that can be measured unmoved


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Shoes moved along a direction, and measured.

    strengths: (S,), ascending. values: of each attribute, (N, S), NaN where it could not be measured.
    whole: (N, S) bool, whether the picture shows one whole shoe.
    """

    strengths: tuple[float, ...]
    values: dict[str, np.ndarray]
    whole: np.ndarray

    def leaks(self, attribute: str, sigmas: dict[str, float]) -> dict[str, float]:
        """How far each other attribute moves, in its own standard deviations per one of `attribute`.

        Slopes over strengths from −2 to 2, averaged. What could not be measured, or does not vary, is left out. Where
        `attribute` is not among what was measured, such as scores, strength 1 counts as its standard deviation.
        """
        near = [i for i, strength in enumerate(self.strengths) if abs(strength) <= 2] or slice(None)
        strengths = np.array(self.strengths)[near].tolist()
        values = {name: self.values[name][:, near] for name in sigmas if name in self.values}
        moves = relative_slopes(strengths, values, attribute, sigmas)
        return {name: mean(slopes) for name, slopes in moves.items() if np.isfinite(slopes).any()}

    def curve(self, attribute: str) -> list[list[float]]:
        """[strength, mean, standard deviation, share measured], without strengths at which nothing was measured."""
        points = []
        for strength, column in zip(self.strengths, self.values[attribute].T, strict=True):
            found = column[np.isfinite(column)]
            if len(found):
                share = len(found) / len(column)
                points.append([strength, float(found.mean()), float(found.std()), share])
        return points

    def reach(self, attribute: str | None, sigma: float) -> tuple[float, float]:
        """From strength 0 outwards, as far as the attribute's mean goes on rising and shoes stay one whole shoe.

        The mean is that of the shoes measured at both of two neighbouring strengths. Without an attribute, as of
        scores, only the shoes' wholeness counts.
        """
        middle = int(np.argmin(np.abs(self.strengths)))
        whole = self.whole.mean(0)
        column = None if attribute is None else self.values[attribute]
        ends = []
        for side in (-1, 1):
            i = middle
            while 0 <= i + side < len(self.strengths):
                j = i + side
                if whole[j] < WHOLE_SHARE * whole[middle]:
                    break
                if column is not None:
                    measured = np.isfinite(column)
                    rise = mean(column[:, j] - column[:, i]) / (self.strengths[j] - self.strengths[i])
                    if not rise >= LEAST_RISE * sigma or measured[:, j].mean() < (
                        MEASURED_SHARE * measured[:, middle].mean()
                    ):
                        break
                i = j
            ends.append(self.strengths[i])
        return ends[0], ends[1]


def trace(
    direction: Direction, measure_ws: Measure, ws: Tensor, strengths: Sequence[float] = STRENGTHS
) -> Trace:
    """Moves ws (N, num_ws, w_dim) by each strength, and measures."""
    found = [measure_ws(direction.move(ws, strength)) for strength in strengths]
    values = {name: np.stack([each[name] for each in found], axis=1) for name in found[0]}
    some = next(iter(values.values()))
    whole = values.pop(WHOLE, np.ones(some.shape)) > 0.5
    return Trace(strengths=tuple(float(strength) for strength in strengths), values=values, whole=whole)


def calibrate(
    direction: Direction, measure_ws: Measure, ws: Tensor, sigmas: dict[str, float] | None = None
) -> Direction | None:
    """Sets the step so that from strength −1 to 1 the attribute grows by two of its standard deviations.

    Where the attribute is not among what is measured, such as scores, the step stays as it is.

    Args:
        direction: with a first guess of the step.
        measure_ws: measures moved latents.
        ws: (N, num_ws, w_dim), which are moved.
        sigmas: of each attribute; where they are given, the leaks between −1 and 1 are noted.

    Returns:
        The calibrated direction, or None where the attribute hardly follows it.
    """
    for _ in range(3):  # the attribute need not follow in proportion
        found = trace(direction, measure_ws, ws, (-1, 1))
        if direction.attribute not in found.values:
            break
        low, high = found.values[direction.attribute].T
        growth = mean(high - low) / (2 * direction.sigma)
        if not growth > LEAST_GROWTH:
            return None
        direction = replace(direction, step=direction.step / min(growth, 3.0))
        if abs(growth - 1) < 0.03:
            break
    if sigmas is not None:
        leaks = {layers_name(direction.layers): found.leaks(direction.attribute, sigmas)}
        direction = replace(direction, leaks=leaks)
    return direction


def measure_leaks(
    direction: Direction, measure_ws: Measure, ws: Tensor, sigmas: dict[str, float]
) -> dict[str, float]:
    """How far each other attribute moves when ws (N, num_ws, w_dim) are moved: see `Trace.leaks`."""
    return trace(direction, measure_ws, ws).leaks(direction.attribute, sigmas)


def with_curve(direction: Direction, measure_ws: Measure, ws: Tensor, sigmas: dict[str, float]) -> Direction:
    """The direction with its curve and reach over ws (N, num_ws, w_dim), and its leaks where it has none yet."""
    found = trace(direction, measure_ws, ws, CURVE)
    own = direction.attribute if direction.attribute in found.values else None
    leaks = {layers_name(direction.layers): found.leaks(direction.attribute, sigmas), **direction.leaks}
    curve = found.curve(own) if own else []
    return replace(direction, curve=curve, reach=found.reach(own, direction.sigma), leaks=leaks)


def relative_slopes(
    strengths: Sequence[float], values: dict[str, np.ndarray], attribute: str, sigmas: dict[str, float]
) -> dict[str, np.ndarray]:
    """How far each other attribute of each shoe moves, in its own sigma per mean sigma of `attribute`.

    Args:
        strengths: (S,).
        values: of each attribute, (N, S).
        attribute: the one that the direction is for; strength 1 counts as its sigma where it has no values.
        sigmas: standard deviation of each; those of 0 are left out.

    Returns:
        Of each other attribute, (N,): NaN for shoes on which it was measured fewer than twice.
    """
    slopes = {
        name: slopes_over(strengths, found) / sigmas[name]
        for name, found in values.items()
        if sigmas.get(name, 0.0) > 0
    }
    pace = mean(slopes.pop(attribute)) if attribute in slopes else 1.0
    return {name: slope / pace for name, slope in slopes.items()}


def slopes_over(strengths: Sequence[float], values: np.ndarray) -> np.ndarray:
    """Least-squares slope of each row of values (N, S) over strengths (S,), without NaN: (N,).

    NaN for rows with fewer than two values.
    """
    x = np.where(np.isfinite(values), np.asarray(strengths, float), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.isfinite(x).sum(1, keepdims=True)
        x = x - np.nansum(x, 1, keepdims=True) / count
        return np.nansum(x * values, 1) / np.nansum(x**2, 1)


def standard_deviation(values: np.ndarray) -> float:
    """Of the values (N,) without NaN; 0 where there are none."""
    values = values[np.isfinite(values)]
    return float(values.std()) if len(values) else 0.0


def mean(values: np.ndarray) -> float:
    """Without NaN; NaN where nothing is left."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")
