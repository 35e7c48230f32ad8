"""Strengths that reach measured targets. Knows numbers only: no shoe, no picture, no torch.

What is measured on small pictures moves in steps, saturates (a shoe cannot have less than no heel), and breaks off
where the shoe does. So one strength is found between measured neighbours on either side of its target, which asks for
no slope; several at once by bounded Gauss-Newton steps with a Jacobian of measured secants.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

Strengths = np.ndarray
"""(N, K), or (N,) of one direction."""

Measure = Callable[[np.ndarray], np.ndarray]
"""Strengths (N, K) → values (N, A); NaN where one cannot be measured, and all NaN where it is no shoe any more."""

GUESSES = ((0.8, 1.0, 1.25), (1.8, 2.8))  # times the first guess; the second where the first fall short
GRID = 9  # strengths over the whole reach
BESIDE = (-0.75, -0.5, -0.25, 0.25, 0.5, 0.75)  # of its spacing, around the ends of what was seen
ROUNDS = 4
NEARBY = [offset / 10 for offset in range(-6, 7)]  # strengths, where there is nothing between two neighbours
NEAR = 0.1  # of a bracket, on either side of where the line through its ends meets the target
SMALLEST = 0.005  # bracket in strengths
STEPS = (0.5, 0.8, 1.0, 1.3)  # times a Gauss-Newton step
MANY_ROUNDS = 5
TURNS = 3  # times that several are sought one after the other


@dataclass(frozen=True)
class Found:
    """The best that was seen.

    strengths: (K,). values: (A,) measured there. pictures: how many were measured. low, high: (A,) the least and the
    largest values that were seen on the way.
    """

    strengths: np.ndarray
    values: np.ndarray
    pictures: int
    low: np.ndarray
    high: np.ndarray


def solve_one(
    measure: Callable[[np.ndarray], np.ndarray],
    start: float,
    target: float,
    *,
    slope: float,
    reach: tuple[float, float],
    tolerance: float,
    fair: float,
) -> Found:
    """The smallest strength at which the value is seen to be the target, or the closest to it.

    Args:
        measure: strengths (N,) → values (N,), NaN where there is none.
        start: the value at strength 0; may be NaN.
        target: the value that is wanted.
        slope: a guess of the value's growth per strength.
        reach: the lowest and highest strength to try.
        tolerance: how close is close enough.
        fair: what is farther off than this is sought elsewhere too.
    """
    low, high = reach
    seen: dict[float, float] = {0.0: start}

    def ask(strengths: Sequence[float]) -> None:
        new = sorted({round(float(np.clip(s, low, high)), 5) for s in strengths} - set(seen))
        if new:
            seen.update(zip(new, measure(np.array(new)).tolist(), strict=True))

    def miss(strength: float) -> float:
        gap = abs(seen[strength] - target)
        return math.inf if math.isnan(gap) else gap

    def best() -> float:
        return min(seen, key=lambda s: (max(miss(s), tolerance), abs(s)))

    def narrow(rounds: int) -> None:
        for _ in range(rounds):
            bracket = _bracket(seen, target)
            if miss(best()) <= tolerance or bracket is None:
                return
            a, b = bracket
            share = float(np.clip((target - seen[a]) / (seen[b] - seen[a]), 0.03, 0.97))
            shares = max(share - NEAR, share / 2), share, min(share + NEAR, (1 + share) / 2)
            ask([a + each * (b - a) for each in shares])

    if miss(0.0) > tolerance:
        guess = (target - start) / slope if slope else math.nan
        for factors in GUESSES if math.isfinite(guess) else ():
            if miss(best()) > tolerance and _bracket(seen, target) is None:
                ask([factor * guess for factor in factors])
        if miss(best()) > tolerance and _bracket(seen, target) is None:
            ask(np.linspace(low, high, GRID).tolist())
        if miss(best()) > tolerance and _bracket(seen, target) is None:
            # Out of reach, perhaps: the ends of the range are told, so they are looked for.
            known = [s for s in seen if math.isfinite(seen[s])]
            ends = (min(known, key=seen.__getitem__), max(known, key=seen.__getitem__)) if known else ()
            spacing = (high - low) / (GRID - 1)
            ask([end + share * spacing for end in ends for share in BESIDE])
    narrow(ROUNDS)
    if miss(best()) > fair:
        # The value jumps over the target there; it may pass through it nearby.
        ask([best() + offset for offset in NEARBY])
        narrow(ROUNDS)
    values = np.array(list(seen.values()))
    strength = best()
    return Found(
        np.array([strength]),
        np.array([seen[strength]]),
        len(seen) - 1,
        np.array([np.nanmin(values)]) if np.isfinite(values).any() else np.array([math.nan]),
        np.array([np.nanmax(values)]) if np.isfinite(values).any() else np.array([math.nan]),
    )


def _bracket(seen: dict[float, float], target: float) -> tuple[float, float] | None:
    """The neighbouring strengths on either side of the target that are closest to 0; None if there are none.

    Neighbours that can hardly be told apart are none: the value jumps there.
    """
    order = sorted(seen)
    pairs = [
        (a, b)
        for a, b in itertools.pairwise(order)
        if b - a >= SMALLEST
        and (seen[a] - target) * (seen[b] - target) <= 0  # False where one is NaN
        and seen[a] != seen[b]
    ]
    return min(pairs, key=lambda pair: min(map(abs, pair)), default=None)


def solve_many(
    measure: Measure,
    start: np.ndarray,
    targets: np.ndarray,
    *,
    jacobian: np.ndarray,
    reach: np.ndarray,
    tolerances: np.ndarray,
) -> Found:
    """Strengths at which several values are seen to be their targets, or the closest to them.

    Args:
        measure: strengths (N, K) → values (N, A).
        start: (A,), the values at strength 0.
        targets: (A,).
        jacobian: (A, K), a guess of each value's growth per strength; its sizes tell how far the secants reach.
        reach: (K, 2), the lowest and highest strengths.
        tolerances: (A,), how close is close enough; they also weigh one value against another.
    """
    low, high = reach.T
    x, values = np.zeros(len(reach)), start
    xs, seen = [x], [values]

    def ask(strengths: np.ndarray) -> np.ndarray:
        found = measure(strengths)
        xs.extend(strengths)
        seen.extend(found)
        return found

    def miss(found: np.ndarray) -> np.ndarray:
        """The root mean square of the misses in tolerances, (N,); infinite where something cannot be measured."""
        misses = np.sqrt(np.mean(np.square((np.atleast_2d(found) - targets) / tolerances), axis=1))
        return np.where(np.isfinite(misses), misses, np.inf)

    def is_there(found: np.ndarray) -> bool:
        return bool((np.abs(found - targets) <= tolerances).all())

    def secants(size: np.ndarray) -> None:
        """Sets each column of the Jacobian by what a step of one strength does; those that break off stay."""
        size = np.where((x + size > high) | (x + size < low), -size, size)
        found = ask(np.clip(x + np.diag(size), low, high))
        for k, value in enumerate(found):
            slope = (value - values) / size[k]
            if np.isfinite(slope).all():
                jacobian[:, k] = slope

    jacobian = jacobian.copy()
    if is_there(values):
        return _found(xs, seen, x, values)
    first = _step(jacobian, targets - values, low - x, high - x, tolerances)
    secants(np.where(np.abs(first) < 0.3, np.copysign(0.3, first), first))
    fresh = True
    for _ in range(MANY_ROUNDS):
        step = _step(jacobian, targets - values, low - x, high - x, tolerances)
        if np.abs(step).max() < 1e-3:
            break
        candidates = np.clip(x + np.outer(STEPS, step), low, high)
        found = ask(candidates)
        misses = miss(found)
        chosen = int(misses.argmin())
        if misses[chosen] < miss(values)[0]:
            move = candidates[chosen] - x
            rest = found[chosen] - values - jacobian @ move
            jacobian = jacobian + np.outer(rest, move) / (move @ move)  # Broyden's
            x, values, fresh = candidates[chosen], found[chosen], False
            if is_there(values):
                break
        elif fresh:
            break
        else:
            secants(np.copysign(0.15, step))
            fresh = True
    return _found(xs, seen, x, values)


def solve_in_turn(
    measure: Measure,
    found: Found,
    targets: np.ndarray,
    *,
    slopes: np.ndarray,
    reach: np.ndarray,
    tolerances: np.ndarray,
    fair: np.ndarray,
) -> Found:
    """Goes on from `found` with one strength after the other, each by what is measured of its own value.

    For values that rise in jumps, of which secants say little.

    Args:
        measure: strengths (N, K) → values (N, K).
        slopes: (K,), a guess of each value's growth per its own strength.
        reach, tolerances: as for `solve_many`.
        fair: (K,), what is farther off than this is sought.
    """

    def miss(values: np.ndarray) -> float:
        worst = float(np.max(np.abs(values - targets) / tolerances))
        return math.inf if math.isnan(worst) else worst

    best = found
    x, values = found.strengths, found.values
    for _, k in itertools.product(range(TURNS), range(len(targets))):
        if (np.abs(best.values - targets) <= fair).all():
            break
        if abs(values[k] - targets[k]) <= tolerances[k]:
            continue
        axis = np.eye(len(targets))[k]

        def along(steps: np.ndarray, x: np.ndarray = x, axis: np.ndarray = axis, k: int = k) -> np.ndarray:
            return measure(x + steps[:, None] * axis)[:, k]

        one = solve_one(
            along,
            float(values[k]),
            float(targets[k]),
            slope=float(slopes[k]),
            reach=(reach[k, 0] - x[k], reach[k, 1] - x[k]),
            tolerance=float(tolerances[k]),
            fair=float(fair[k]),
        )
        x = x + one.strengths[0] * axis
        values = measure(x[None])[0]
        low, high = best.low.copy(), best.high.copy()
        low[k], high[k] = np.fmin(low[k], one.low[0]), np.fmax(high[k], one.high[0])
        is_better = miss(values) < miss(best.values)
        best = replace(
            best,
            strengths=x if is_better else best.strengths,
            values=values if is_better else best.values,
            pictures=best.pictures + one.pictures + 1,
            low=low,
            high=high,
        )
    return best


def _step(
    jacobian: np.ndarray, wanted: np.ndarray, low: np.ndarray, high: np.ndarray, tolerances: np.ndarray
) -> np.ndarray:
    """The step within bounds that the linear model finds best, the shorter of those that it finds alike."""
    from scipy.optimize import lsq_linear  # takes long to load

    a, b = jacobian / tolerances[:, None], wanted / tolerances
    damping = 1e-3 * np.linalg.norm(a) * np.eye(a.shape[1])
    a, b = np.vstack([a, damping]), np.concatenate([b, np.zeros(a.shape[1])])
    step: np.ndarray = lsq_linear(a, b, (np.minimum(low, -1e-9), np.maximum(high, 1e-9))).x
    return step


def _found(xs: list[np.ndarray], seen: list[np.ndarray], x: np.ndarray, values: np.ndarray) -> Found:
    table = np.array(seen)
    filled_low, filled_high = (
        np.where(np.isnan(table), np.inf, table),
        np.where(np.isnan(table), -np.inf, table),
    )
    return Found(x, values, len(xs) - 1, filled_low.min(0), filled_high.max(0))
