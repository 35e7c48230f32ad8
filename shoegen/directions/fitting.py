"""Latents and their measured attributes → a calibrated direction.

The recipe is InterFaceGAN's (arXiv 1907.10786): a linear SVM between the latents of high and low values.
Here the labels come from measuring, the layers are chosen by what else would move, and the step is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from shoegen.directions.direction import Direction, attribute_name
from shoegen.directions.sampling import Measure, Samples
from shoegen.errors import ConfigError, DataError
from shoegen.measure import ATTRIBUTES

HELD_OUT = 0.2  # share of the samples that the SVM does not see
CALIBRATION = 64  # held-out latents that are moved and measured
REFINEMENTS = 2
STRENGTHS = (-2.0, -1.0, 0.0, 1.0, 2.0)


class DirectionEstimator(BaseEstimator):
    """Finds the direction in W that separates high from low values of an attribute.

    Args:
        quantile: the share of the samples at each end that the SVM is fitted on, in (0, 0.5].
        C: the SVM's, on latents scaled to unit variance along each axis; smaller is smoother.
        random_state: seed of the SVM's solver.

    Attributes:
        direction_: (n_features,) of length 1; values grow along it.
        normal_: (n_features,), `intercept_`: the decision function, 0 where half of the samples are above.
        gradient_: (n_features,), along the direction: standard deviations of the values per unit of W.
        median_: of the values.
    """

    def __init__(self, *, quantile: float = 0.25, C: float = 0.01, random_state: int = 0):
        self.quantile = quantile
        self.C = C
        self.random_state = random_state

    def fit(self, w: np.ndarray, values: np.ndarray) -> Self:
        """w (n_samples, n_features), values (n_samples,) without NaN.

        Raises:
            ConfigError: the quantile is not in (0, 0.5].
            DataError: too few samples, or their values are all (nearly) the same.
        """
        check_quantile(self.quantile)
        if len(values) < 8:
            raise DataError(f"got {len(values)} measured samples, expected at least 8; draw more --samples")
        low, high = np.quantile(values, [self.quantile, 1 - self.quantile])
        chosen = (values <= low) | (values >= high)
        if not low < high:
            raise DataError(
                f"its lower quantile is {low:.4g}, its upper {high:.4g}; it varies too little to learn from"
            )
        scale = w.std(0) + 1e-12
        svm = LinearSVC(C=self.C, random_state=self.random_state, dual="auto", max_iter=10_000)
        svm.fit((w[chosen] - w.mean(0)) / scale, values[chosen] >= high)
        self.normal_ = svm.coef_[0] / scale
        self.direction_ = self.normal_ / np.linalg.norm(self.normal_)
        decision = w @ self.normal_
        slope = np.mean((decision - decision.mean()) * (values - values.mean())) / decision.var()
        self.gradient_ = self.normal_ * slope / values.std()
        # The threshold between the two ends is not the median's where the attribute is skewed.
        self.median_ = float(np.median(values))
        self.intercept_ = -float(np.quantile(decision, np.mean(values <= self.median_)))
        return self

    def decision_function(self, w: np.ndarray) -> np.ndarray:
        """(n_samples, n_features) → (n_samples,): above 0 where the value is expected above the median."""
        return w @ self.normal_ + self.intercept_

    def predict(self, w: np.ndarray) -> np.ndarray:
        """(n_samples,) bool: whether the value is expected above the median."""
        return self.decision_function(w) > 0

    def score(self, w: np.ndarray, values: np.ndarray) -> float:
        """The share of samples, none left out, that lie on the expected side of the median."""
        return float(np.mean(self.predict(w) == (values > self.median_)))


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a direction is fitted.

    attribute: a name in `shoegen.measure.ATTRIBUTES`, or its short form.
    quantile: see `DirectionEstimator`.
    layers: "all"; the indices to move; or "auto", the range from the first layer on that leaks least.
    orthogonal_to: attributes that shall stay: their own directions are projected out of this one, and what
        still moves of them is measured and taken out; "all" for every other that can be learned.
    seed: of the split and the SVM.

    Raises:
        ConfigError: an attribute that there is not, or a quantile not in (0, 0.5).
    """

    attribute: str
    quantile: float = 0.25
    layers: str | Sequence[int] = "auto"
    orthogonal_to: str | Sequence[str] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "attribute", attribute_name(self.attribute))
        check_quantile(self.quantile)
        if self.orthogonal_to != "all":
            others = tuple(attribute_name(name) for name in self.orthogonal_to)
            object.__setattr__(self, "orthogonal_to", others)
        if self.attribute in self.orthogonal_to:
            raise ConfigError(f"orthogonal to: got {self.attribute}, the attribute itself; leave it out")

    def candidate_layers(self, num_ws: int) -> list[tuple[int, ...]]:
        """The sets of layers to try in a generator of `num_ws` layers.

        Raises:
            ConfigError: layers that there are not.
        """
        if self.layers == "auto":
            # Coarse layers carry shape, fine ones colour: from the first on, to the end of a resolution.
            return [tuple(range(stop)) for stop in range(min(4, num_ws), num_ws + 1, 2)]
        if self.layers == "all":
            return [tuple(range(num_ws))]
        if isinstance(self.layers, str) or not self.layers or not set(self.layers) <= set(range(num_ws)):
            raise ConfigError(
                f"layers: got {self.layers}, expected auto, all, or numbers from 0 to {num_ws - 1}"
            )
        return [tuple(sorted(set(self.layers)))]


def fit_direction(
    samples: Samples,
    measure_ws: Measure,
    config: FitConfig,
    *,
    num_ws: int,
    generator_hash: str,
    say: Callable[[str], None] = lambda line: None,
) -> Direction:
    """Fits, chooses layers, and calibrates.

    Args:
        samples: some thousand; a fifth is held out for the scores and the calibration.
        measure_ws: measures moved latents.
        config: what to fit, and how.
        num_ws: how many layers the generator has.
        generator_hash: of its weights.
        say: takes lines about what goes on.

    Raises:
        ConfigError: layers that there are not.
        DataError: the attribute was measured too seldom, does not vary, or does not follow the direction.
    """
    candidates = config.candidate_layers(num_ws)
    held_out = np.random.default_rng(config.seed).permutation(len(samples.w)) < HELD_OUT * len(samples.w)

    # fit, on what was measured
    w, values = samples.w.double().numpy(), unwrap(config.attribute, samples.attributes[config.attribute])
    test = held_out & np.isfinite(values)
    if test.sum() < 8:
        raise DataError(
            f"{config.attribute} was measured on {test.sum()} of {held_out.sum()} held-out samples, expected at "
            "least 8; draw more --samples"
        )
    estimator = _fit(samples, ~held_out, config.attribute, config)
    scores = {
        "accuracy": estimator.score(w[test], values[test]),
        "auc": _auc(values[test] > estimator.median_, estimator.decision_function(w[test])),
        "held_out": int(test.sum()),
        "not_measured": float(np.mean(~np.isfinite(values))),
    }
    say(
        f"{config.attribute}: accuracy {scores['accuracy']:.3f}, AUC {scores['auc']:.3f} on {test.sum()} "
        f"held-out latents; {np.count_nonzero(~np.isfinite(values))} of {len(values)} not measured, left out"
    )

    # condition: the step that moves the attribute, and by the linear models nothing of what shall stay
    others = _fit_others(samples, ~held_out, config, say)
    jacobian = np.stack([estimator.gradient_, *(other.gradient_ for other in others.values())])
    targets = np.eye(len(jacobian))[0]

    # choose the layers, by what else is seen to move
    sigmas = {name: standard_deviation(name, found) for name, found in samples.attributes.items()}
    ws = torch.from_numpy(w[test][:CALIBRATION]).float().unsqueeze(1).expand(-1, num_ws, -1)
    unfinished = Direction(
        attribute=config.attribute,
        vector=torch.zeros(w.shape[1]),
        layers=(),
        step=0.0,
        mean=_mean(values),
        sigma=sigmas[config.attribute],
        generator_hash=generator_hash,
        psi=samples.psi,
        samples=len(values),
        seed=samples.seed,
        quantile=config.quantile,
        scores=scores,
    )
    tried = []
    for layers in candidates:
        direction = calibrate(steer(replace(unfinished, layers=layers), jacobian, targets), measure_ws, ws)
        if direction is None:
            say(f"layers {_layers_name(layers)}: do not move {config.attribute}")
        else:
            tried.append(_with_leaks(direction, measure_ws, ws, sigmas, say))
    if not tried:
        raise DataError(
            f"{config.attribute} does not follow its direction at any layer; draw more --samples, or train "
            "the generator longer"
        )
    best = min(tried, key=_largest_leak)

    # refine: aim against what still leaks, as in Newton's method with the linear models as Jacobian
    for _ in range(REFINEMENTS if others else 0):
        targets[1:] -= [best.leaks[_layers_name(best.layers)].get(name, 0.0) for name in others]
        try:
            direction = calibrate(steer(best, jacobian, targets), measure_ws, ws)
        except DataError:  # what is left cannot be told apart; the best so far stands
            break
        refined = direction and _with_leaks(direction, measure_ws, ws, sigmas, say)
        if refined is None or _largest_leak(refined) >= _largest_leak(best):
            break
        best = refined
    say(f"chosen: layers {_layers_name(best.layers)}, largest leak {_largest_leak(best):.2f}")
    return replace(best, leaks={**{k: v for d in tried for k, v in d.leaks.items()}, **best.leaks})


def steer(direction: Direction, jacobian: np.ndarray, targets: np.ndarray) -> Direction:
    """Points a direction along the shortest step in W that changes each attribute by its target.

    Targets of 1 and otherwise 0 give the projection of arXiv 1907.10786, section 2.2: the attribute's own normal
    without its part in the span of the others'.

    Args:
        direction: gets a new vector and, as a first guess, a new step.
        jacobian: (k, w_dim), the change of each attribute per unit of W, the direction's own first.
        targets: (k,).

    Raises:
        DataError: no step does, since the attribute is nearly a combination of the others.
    """
    step = np.linalg.lstsq(jacobian, targets)[0]
    length = float(np.linalg.norm(step))
    left = 1 / (length * np.linalg.norm(jacobian[0]))
    if left < 0.05 or not np.allclose(jacobian @ step, targets, atol=0.05):
        raise DataError(
            f"{direction.attribute} cannot be told from the {len(jacobian) - 1} attributes that it is to be "
            "orthogonal to; name fewer"
        )
    return replace(direction, vector=torch.from_numpy(step / length).float(), step=length)


def calibrate(direction: Direction, measure_ws: Measure, ws: torch.Tensor) -> Direction | None:
    """Sets the step so that from strength −1 to 1 the attribute grows by two of its standard deviations.

    Args:
        direction: with a first guess of the step.
        measure_ws: measures moved latents.
        ws: (N, num_ws, w_dim), which are moved.

    Returns:
        The calibrated direction, or None where the attribute hardly follows it.
    """
    for _ in range(3):  # the attribute need not follow in proportion
        ends = [measure_ws(direction.move(ws, strength))[direction.attribute] for strength in (-1, 1)]
        low, high = unwrap(direction.attribute, np.stack(ends, axis=1)).T
        growth = _mean(high - low) / (2 * direction.sigma)
        if not growth > 0.1:
            return None
        direction = replace(direction, step=direction.step / min(growth, 3.0))
        if abs(growth - 1) < 0.03:
            break
    return direction


def measure_leaks(
    direction: Direction, measure_ws: Measure, ws: torch.Tensor, sigmas: dict[str, float]
) -> dict[str, float]:
    """How far each other attribute moves, in its own standard deviations per one of the direction's own.

    Slopes over strengths from −2 to 2, averaged over ws (N, num_ws, w_dim). What could not be measured, or
    does not vary, is left out.
    """
    by_strength = [measure_ws(direction.move(ws, strength)) for strength in STRENGTHS]
    values = {name: np.stack([found[name] for found in by_strength], axis=1) for name in sigmas}
    moves = relative_slopes(STRENGTHS, values, direction.attribute, sigmas)
    return {name: _mean(slopes) for name, slopes in moves.items() if np.isfinite(slopes).any()}


def relative_slopes(
    strengths: Sequence[float], values: dict[str, np.ndarray], attribute: str, sigmas: dict[str, float]
) -> dict[str, np.ndarray]:
    """How far each other attribute of each shoe moves, in its own sigma per mean sigma of `attribute`.

    Args:
        strengths: (S,).
        values: of each attribute, (N, S).
        attribute: the one that the direction is for.
        sigmas: standard deviation of each; those of 0 are left out.

    Returns:
        Of each other attribute, (N,): NaN for shoes on which it was measured fewer than twice.
    """
    slopes = {
        name: slopes_over(strengths, values[name], name) / sigma
        for name, sigma in sigmas.items()
        if sigma > 0
    }
    pace = _mean(slopes.pop(attribute))
    return {name: slope / pace for name, slope in slopes.items()}


def slopes_over(strengths: Sequence[float], values: np.ndarray, attribute: str) -> np.ndarray:
    """Least-squares slope of each row of values (N, S) over strengths (S,), without NaN: (N,).

    NaN for rows with fewer than two values.
    """
    values = unwrap(attribute, values)
    x = np.where(np.isfinite(values), np.asarray(strengths, float), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.isfinite(x).sum(1, keepdims=True)
        x = x - np.nansum(x, 1, keepdims=True) / count
        return np.nansum(x * values, 1) / np.nansum(x**2, 1)


def standard_deviation(attribute: str, values: np.ndarray) -> float:
    """Of the values (N,) without NaN; 0 where there are none."""
    values = unwrap(attribute, values[np.isfinite(values)])
    return float(values.std()) if len(values) else 0.0


def unwrap(attribute: str, values: np.ndarray) -> np.ndarray:
    """Angles, of each row, within 180 degrees of their circular mean; other attributes as they are."""
    if ATTRIBUTES[attribute].unit != "degree":
        return values
    turns = np.exp(1j * np.radians(values))
    mean = np.degrees(np.angle(np.nansum(turns, axis=-1, keepdims=True)))
    return mean + (values - mean + 180) % 360 - 180


def check_quantile(quantile: float) -> None:
    """Raises ConfigError unless `quantile` is in (0, 0.5)."""
    if not 0 < quantile < 0.5:
        raise ConfigError(f"quantile: got {quantile}, expected more than 0 and less than 0.5")


def _fit(samples: Samples, train: np.ndarray, attribute: str, config: FitConfig) -> DirectionEstimator:
    values = unwrap(attribute, samples.attributes[attribute])
    train = train & np.isfinite(values)
    estimator = DirectionEstimator(quantile=config.quantile, random_state=config.seed)
    try:
        return estimator.fit(samples.w.double().numpy()[train], values[train])
    except DataError as error:
        raise DataError(f"{attribute}: {error}") from error


def _fit_others(
    samples: Samples, train: np.ndarray, config: FitConfig, say: Callable[[str], None]
) -> dict[str, DirectionEstimator]:
    """Those that the direction shall be orthogonal to."""
    if config.orthogonal_to != "all":
        return {name: _fit(samples, train, name, config) for name in config.orthogonal_to}
    found = {}
    for name in samples.attributes:
        if name != config.attribute:
            try:
                found[name] = _fit(samples, train, name, config)
            except DataError as error:
                say(f"not made orthogonal to {error}")
    return found


def _with_leaks(
    direction: Direction,
    measure_ws: Measure,
    ws: torch.Tensor,
    sigmas: dict[str, float],
    say: Callable[[str], None],
) -> Direction:
    name, leaks = _layers_name(direction.layers), measure_leaks(direction, measure_ws, ws, sigmas)
    worst = sorted(leaks.items(), key=lambda item: -abs(item[1]))[:4]
    table = ", ".join(f"{other} {leak:+.2f}" for other, leak in worst)
    say(f"layers {name}: step {direction.step:.3g} in W, leaks most to {table or 'nothing'}")
    return replace(direction, leaks={name: leaks})


def _largest_leak(direction: Direction) -> float:
    return max(map(abs, direction.leaks[_layers_name(direction.layers)].values()), default=0.0)


def _mean(values: np.ndarray) -> float:
    """Without NaN; NaN where nothing is left."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def _auc(labels: np.ndarray, decision: np.ndarray) -> float:
    return float(roc_auc_score(labels, decision)) if len(np.unique(labels)) == 2 else float("nan")


def _layers_name(layers: tuple[int, ...]) -> str:
    whole = layers == tuple(range(layers[0], layers[-1] + 1))
    return f"{layers[0]}-{layers[-1]}" if whole else ",".join(map(str, layers))
