"""Latents and their measured attributes → a calibrated direction.

The recipe is InterFaceGAN's (arXiv 1907.10786): a linear SVM between the latents of high and low values.
Here the labels come from measuring, the layers are chosen by what else would move, and the step is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from shoegen.directions.calibration import CALIBRATION, calibrate, mean, with_curve
from shoegen.directions.direction import TOLD_APART, Direction, layers_name
from shoegen.directions.sampling import Measure, Samples, spread
from shoegen.directions.stopwatch import Stopwatch
from shoegen.errors import ConfigError, DataError
from shoegen.measure import attribute_name

HELD_OUT = 0.2  # share of the samples that the SVM does not see
REFINEMENTS = 4
REFINED = 4  # times as many latents show the leaks that are aimed against
DAMPING = 0.8  # of what leaks, that is aimed against: the models are of all layers, not of those chosen
LONGEST = 3  # times the first step, that a refined one may have: longer ones leave what the generator was trained on
SOFTNESS = 0.05  # see `steer`: for "all", which no step leaves wholly alone
KIN = 0.7  # correlation over the samples from which on two attributes measure much the same, such as shaft and collar
LEAST_ABOVE = 0.05  # share of the samples above an attribute's commonest value, if it is to be learned


class DirectionEstimator(BaseEstimator):
    """Finds the direction in W that separates high from low values of an attribute.

    Args:
        quantile: the share of the samples at each end that the SVM is fitted on, in (0, 0.5).
        C: the SVM's, on latents scaled to unit variance over all axes together; smaller is smoother. All axes share
            one scale, so that those along which W hardly spreads, of which the samples say little, stay small.
        random_state: seed of the SVM's solver.

    Attributes:
        direction_: (n_features,) of length 1; values grow along it.
        normal_: (n_features,), `intercept_`: the decision function, 0 where half of the samples are above.
        gradient_: (n_features,), along the direction: standard deviations of the values per unit of W.
        median_: of the values.
    """

    def __init__(self, *, quantile: float = 0.25, C: float = 0.003, random_state: int = 0):
        self.quantile = quantile
        self.C = C
        self.random_state = random_state

    def fit(self, w: np.ndarray, values: np.ndarray) -> Self:
        """w (n_samples, n_features), values (n_samples,) without NaN.

        Where so many samples share the lowest value that both quantiles are that value, as shoes without a shaft do,
        all above it are the upper end.

        Raises:
            ConfigError: the quantile is not in (0, 0.5).
            DataError: too few samples, or their values are all (nearly) the same.
        """
        check_quantile(self.quantile)
        if len(values) < 8:
            raise DataError(f"got {len(values)} measured samples, expected at least 8; draw more --samples")
        low, high = np.quantile(values, [self.quantile, 1 - self.quantile])
        is_high = values >= high if low < high else values > high
        chosen = is_high | (values <= low)
        if not LEAST_ABOVE <= is_high[chosen].mean() <= 1 - LEAST_ABOVE:
            raise DataError(
                f"its lower quantile is {low:.4g}, its upper {high:.4g}; it varies too little to learn from"
            )
        scale = np.sqrt(w.var(0).mean()) + 1e-12
        svm = LinearSVC(
            C=self.C, random_state=self.random_state, dual=False, max_iter=10_000, class_weight="balanced"
        )
        svm.fit((w[chosen] - w.mean(0)) / scale, is_high[chosen])
        self.normal_ = svm.coef_[0] / scale
        length = np.linalg.norm(self.normal_)
        if not length > 0:
            raise DataError("its high and low values lie at the same place in W; there is nothing to learn")
        self.direction_ = self.normal_ / length
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


class LinearModels:
    """A `DirectionEstimator` for each attribute of some samples, fitted when first asked for.

    samples: some thousand. chosen: bool (N,) or indices, the samples to learn from. quantile, seed: the estimators'.
    """

    def __init__(self, samples: Samples, chosen: np.ndarray, *, quantile: float, seed: int) -> None:
        self._w = samples.w.double().numpy()[chosen]
        self._values = {name: found[chosen] for name, found in samples.attributes.items()}
        self._options: Any = {"quantile": quantile, "random_state": seed}
        self._fitted: dict[str, DirectionEstimator | DataError] = {}

    def __getitem__(self, attribute: str) -> DirectionEstimator:
        """Raises DataError where the attribute was measured too seldom, or varies too little."""
        if attribute not in self._fitted:
            values = self._values[attribute]
            measured = np.isfinite(values)
            try:
                estimator = DirectionEstimator(**self._options)
                self._fitted[attribute] = estimator.fit(self._w[measured], values[measured])
            except DataError as error:
                self._fitted[attribute] = DataError(f"{attribute}: {error}")
        found = self._fitted[attribute]
        if isinstance(found, DataError):
            raise found
        return found

    def all(self, say: Callable[[str], None] = lambda line: None) -> dict[str, DirectionEstimator]:
        """Of each attribute that can be learned; `say` takes a line about each that cannot."""
        found = {}
        for name in self._values:
            try:
                found[name] = self[name]
            except DataError as error:
                say(f"not learned: {error}")
        return found


class SharedModels:
    """What several directions that are fitted to the same samples have in common.

    main: learned from all samples but those held out. again: from as many drawn from these, with replacement, each.
    """

    def __init__(self, samples: Samples, *, quantile: float, seed: int, bootstraps: int) -> None:
        options: Any = {"quantile": quantile, "seed": seed}
        self.held_out = split(len(samples.w), seed)
        known = np.flatnonzero(~self.held_out)
        self.main = LinearModels(samples, known, **options)
        self.again = [
            LinearModels(samples, rng.choice(known, len(known)), **options)
            for rng in np.random.default_rng(seed + 1).spawn(bootstraps)
        ]


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a direction is fitted.

    attribute: a name in `shoegen.measure.ATTRIBUTES`, or its short form; or that of scores.
    quantile: see `DirectionEstimator`.
    layers: "all"; the indices to move; or "auto", the range from the first layer on that leaks least. Of samples
        whose ranges of layers have a w of their own "auto" moves all, each range its own way.
    orthogonal_to: attributes that shall stay: their own directions are projected out of this one, and what
        still moves of them is measured and taken out; "all" for every other that can be learned, but those that
        measure much the same: whose correlation with it over the samples is 0.7 or more.
    bootstraps: how many times it is fitted again to samples drawn from the samples, to say how stable it is.
    method: "svm" on what was measured, or "scores" on what people said.
    seed: of the split, the SVM and the bootstraps.

    Raises:
        ConfigError: an attribute that there is not, or a quantile not in (0, 0.5).
    """

    attribute: str
    quantile: float = 0.25
    layers: str | Sequence[int] = "auto"
    orthogonal_to: str | Sequence[str] = ()
    bootstraps: int = 8
    method: str = "svm"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method == "svm":
            object.__setattr__(self, "attribute", attribute_name(self.attribute))
        check_quantile(self.quantile)
        if self.bootstraps < 0 or self.bootstraps == 1:
            raise ConfigError(f"bootstraps: got {self.bootstraps}, expected 0 or at least 2, such as 8")
        if self.orthogonal_to != "all":
            others = tuple(dict.fromkeys(attribute_name(name) for name in self.orthogonal_to))
            object.__setattr__(self, "orthogonal_to", others)
        if self.attribute in self.orthogonal_to:
            raise ConfigError(f"orthogonal to: got {self.attribute}, the attribute itself; leave it out")

    def candidate_layers(self, num_ws: int, *, per_layer: bool = False) -> list[tuple[int, ...]]:
        """The sets of layers to try in a generator of `num_ws` layers.

        Raises:
            ConfigError: layers that there are not.
        """
        if self.layers == "auto" and self.method != "scores" and not per_layer:
            # Coarse layers carry shape, fine ones colour: from the first on, to the end of a resolution.
            return [tuple(range(stop)) for stop in range(min(4, num_ws), num_ws + 1, 2)]
        if self.layers in ("auto", "all"):  # what nobody measures on moved latents says nothing of layers
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
    scored: Samples | None = None,
    models: SharedModels | None = None,
    say: Callable[[str], None] = lambda line: None,
    watch: Stopwatch | None = None,
) -> Direction:
    """Fits, chooses layers, calibrates, and says how far the direction carries and how stable it is.

    Args:
        samples: some thousand; a fifth is held out for the scores and the calibration.
        measure_ws: measures moved latents.
        config: what to fit, and how.
        num_ws: how many layers the generator has.
        generator_hash: of its weights.
        scored: for the method "scores", latents and what people said of them, under the attribute's name.
        models: of these samples, by `shared_models`, where several directions are fitted to them.
        say: takes lines about what goes on.
        watch: is told how long each stage took.

    Raises:
        ConfigError: layers that there are not.
        DataError: the attribute was measured too seldom, does not vary, or does not follow the direction.
    """
    watch = watch or Stopwatch()
    candidates = config.candidate_layers(num_ws, per_layer=bool(samples.ranges))
    source = samples if scored is None else scored
    own = config.attribute
    shared = models or shared_models(samples, config)
    own_shared = shared if scored is None else shared_models(scored, config)

    # fit, on what was measured
    with watch("fitting"):
        w, values = source.w.double().numpy(), source.attributes[own]
        test = own_shared.held_out & np.isfinite(values)
        if test.sum() < (8 if scored is None else 2):
            raise DataError(
                f"{own} was measured on {test.sum()} of {own_shared.held_out.sum()} held-out samples, expected at "
                "least 8; draw more --samples"
                if scored is None
                else f"{own} has {len(values)} scores, expected at least 20; give more"
            )
        estimator = own_shared.main[own]
        scores = {
            "accuracy": estimator.score(w[test], values[test]),
            "auc": _auc(values[test] > estimator.median_, estimator.decision_function(w[test])),
            "held_out": int(test.sum()),
            "not_measured": float(np.mean(~np.isfinite(values))),
        }
        learned = shared.main.all(say)
        kin = set() if scored is not None else _kin(samples, own, learned)
        others = [name for name in learned if name != own and name not in kin]
        if config.orthogonal_to != "all":
            others = [name for name in config.orthogonal_to if shared.main[name]]
    say(
        f"{own}: accuracy {scores['accuracy']:.3f}, AUC {scores['auc']:.3f} on {test.sum()} "
        f"held-out latents; {np.count_nonzero(~np.isfinite(values))} of {len(values)} not measured, left out"
    )

    if kin and config.orthogonal_to == "all":
        say(f"{own}: not held against it, since they measure much the same: {', '.join(sorted(kin))}")

    # condition: the step that moves the attribute, and by the linear models nothing of what shall stay
    conditions = _Conditions.of(estimator, [shared.main[name] for name in others], samples, config, num_ws)
    targets = np.eye(1 + len(others))[0]
    sigmas = samples.sigmas()
    unfinished = Direction(
        attribute=own,
        vector=torch.zeros(w.shape[1]),
        layers=(),
        step=0.0,
        mean=mean(values),
        sigma=float(np.nanstd(values)),
        unit="score" if scored is not None else "",
        method=config.method,
        generator_hash=generator_hash,
        psi=samples.psi,
        samples=len(values),
        seed=source.seed,
        quantile=config.quantile,
        scores=scores,
        kept=tuple(others),
        gradients={
            name: conditions.rows(torch.from_numpy(model.gradient_), shared=True).float()
            for name, model in {**learned, own: estimator}.items()
        },
        sigmas={**{name: sigmas[name] for name in learned}, own: float(np.nanstd(values))},
    )
    known = shared.held_out if scored is not None else test
    ws = samples.ws(num_ws)[torch.from_numpy(known)]

    # choose the layers, by what else is seen to move
    with watch("choosing layers"):
        tried = []
        for layers in candidates:
            aimed = conditions.steer(replace(unfinished, layers=layers), targets)
            direction = _look(aimed, measure_ws, ws[:CALIBRATION], sigmas, say)
            if direction is not None:
                tried.append(direction)
        if not tried:
            raise DataError(
                f"{own} does not follow its direction at any layer; draw more --samples, or train the generator longer"
            )
        best = min(tried, key=leak_size)

    # refine: look closer, and aim against what still leaks, as in Newton's method with the linear models as Jacobian
    with watch("refining"):
        finer = ws[: REFINED * CALIBRATION]
        best = _look(best, measure_ws, finer, sigmas, say) or best
        longest = LONGEST * best.step
        for _ in range(REFINEMENTS if others else 0):
            aims = targets.copy()
            aims[1:] -= [DAMPING * best.leaks_here.get(name, 0.0) for name in others]
            try:
                direction = _look(conditions.steer(best, aims), measure_ws, finer, sigmas, say)
            except DataError:  # what is left cannot be told apart; the best so far stands
                break
            if direction is None or leak_size(direction) >= leak_size(best):
                break
            if direction.step > longest:
                say(f"a step of {direction.step:.3g} in W is too long to carry; the one before stands")
                break
            best, targets = direction, aims

    # how stable: the same on samples drawn from the samples
    with watch("bootstraps"):
        vectors = []
        for own_again, again in zip(own_shared.again, shared.again, strict=True):
            try:
                rows = [again[name] for name in others]
                refit = _Conditions.of(own_again[own], rows, samples, config, num_ws)
                vectors.append(refit.steer(best, targets).vector.double().flatten().numpy())
            except DataError as error:
                say(f"a bootstrap failed: {error}")
        if len(vectors) > 1:
            cosines = stability(np.stack(vectors))
            best = replace(best, stability=cosines[0])
            best.scores["stability_pairwise"] = cosines[1]

    # how far it carries
    with watch("curve"):
        moved = with_curve(best, measure_ws, ws[:CALIBRATION], sigmas)
    leaks = {name: found for each in tried for name, found in each.leaks.items()}
    moved = replace(moved, leaks={**leaks, **moved.leaks})
    say(
        f"chosen: layers {layers_name(moved.layers)}, leak {leak_size(moved):.3f} (root mean square), reach "
        f"{moved.reach[0]:+g} to {moved.reach[1]:+g}"
        + (f", stability {moved.stability:.3f}" if moved.stability is not None else "")
    )
    return moved


def shared_models(samples: Samples, config: FitConfig) -> SharedModels:
    """What directions of this config's quantile, seed and bootstraps can share, whatever their attribute."""
    return SharedModels(samples, quantile=config.quantile, seed=config.seed, bootstraps=config.bootstraps)


def stability(vectors: np.ndarray) -> tuple[float, float]:
    """Of vectors (k, w_dim) of any length: the mean cosine with their mean, and the median between two of them."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    middle = vectors.mean(0)
    cosines = vectors @ vectors.T
    pairs = cosines[np.triu_indices(len(vectors), k=1)]
    return float(np.mean(vectors @ middle) / np.linalg.norm(middle)), float(np.median(pairs))


def split(count: int, seed: int) -> np.ndarray:
    """(count,) bool: which samples are held out."""
    return np.random.default_rng(seed).permutation(count) < HELD_OUT * count


def steer(
    direction: Direction,
    jacobian: np.ndarray,
    targets: np.ndarray,
    *,
    metric: np.ndarray | None = None,
    softness: float = 0.0,
) -> Direction:
    """Points a direction along the shortest step in W that changes each attribute by its target.

    Targets of 1 and otherwise 0 give the projection of arXiv 1907.10786, section 2.2: the attribute's own normal
    without its part in the span of the others'.

    Args:
        direction: gets a new vector and, as a first guess, a new step.
        jacobian: (k, w_dim), the change of each attribute per unit of W, the direction's own first.
        targets: (k,).
        metric: (w_dim, w_dim), what the square of a step's length is reckoned with; by default plain length.
        softness: above 0, only the attribute's own target is met; the squares of what the others miss theirs by are
            weighed against this much of the step's squared length.

    Raises:
        DataError: no step does, since the attribute is nearly a combination of the others.
    """
    if softness:
        pull = jacobian[1:].T @ jacobian[1:] + softness * (
            np.eye(jacobian.shape[1]) if metric is None else metric
        )
        towards, along = np.linalg.solve(pull, np.stack([jacobian[1:].T @ targets[1:], jacobian[0]], 1)).T
        step = towards + (targets[0] - jacobian[0] @ towards) / (jacobian[0] @ along) * along
        missed = abs(jacobian[0] @ step - targets[0])
    else:
        step = np.linalg.lstsq(jacobian, targets)[0]
        missed = float(np.abs(jacobian @ step - targets).max())
    length = float(np.linalg.norm(step))
    left = 1 / (length * np.linalg.norm(jacobian[0]))
    if left < TOLD_APART or missed > 0.05:
        raise DataError(
            f"{direction.attribute} cannot be told from the {len(jacobian) - 1} attributes that it is to be "
            "orthogonal to; name fewer"
        )
    return replace(direction, vector=torch.from_numpy(step / length).float(), step=length)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Conditions:
    """What a direction is to do to its attribute, the first row, and to the others, and how steps are reckoned."""

    jacobian: np.ndarray  # (k, w_dim), standard deviations per unit of W
    metric: np.ndarray | None
    softness: float
    num_ws: int
    ranges: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls,
        own: DirectionEstimator,
        others: Sequence[DirectionEstimator],
        samples: Samples,
        config: FitConfig,
        num_ws: int,
    ) -> _Conditions:
        jacobian = np.stack([own.gradient_, *(other.gradient_ for other in others)])
        space: Any = {"num_ws": num_ws, "ranges": samples.ranges}
        if config.orthogonal_to != "all" or not others:
            return cls(jacobian=jacobian, metric=None, softness=0.0, **space)
        # Half plain length, half W's spread: where W has hardly any shoes, a step leads to what was never trained.
        cloud = np.cov(samples.w.double().numpy().T)
        even = np.eye(len(cloud)) * np.trace(cloud) / len(cloud)
        return cls(jacobian=jacobian, metric=np.linalg.inv((cloud + even) / 2), softness=SOFTNESS, **space)

    def steer(self, direction: Direction, targets: np.ndarray) -> Direction:
        found = steer(direction, self.jacobian, targets, metric=self.metric, softness=self.softness)
        if not self.ranges:
            return found
        rows = found.step * self.rows(found.vector)
        length = float(rows[list(direction.layers)].norm(dim=1).mean())
        return replace(found, vector=rows / length, step=length)

    def rows(self, vector: torch.Tensor, *, shared: bool = False) -> torch.Tensor:
        """(w_dim,) as it is; (ranges × w_dim,) as a row for each layer, (num_ws, w_dim).

        shared: of a gradient, which the layers of a range share.
        """
        if not self.ranges:
            return vector
        rows = spread(vector, self.num_ws, self.ranges).clone()
        for layers in self.ranges if shared else ():
            rows[list(layers)] /= len(layers)
        return rows


def _look(
    direction: Direction,
    measure_ws: Measure,
    ws: torch.Tensor,
    sigmas: dict[str, float],
    say: Callable[[str], None],
) -> Direction | None:
    """The direction calibrated, with its leaks; None where its attribute does not follow it."""
    name, found = layers_name(direction.layers), calibrate(direction, measure_ws, ws, sigmas)
    if found is None:
        say(f"layers {name}: do not move {direction.attribute}")
        return None
    worst = sorted(found.leaks_here.items(), key=lambda item: -abs(item[1]))[:4]
    table = ", ".join(f"{other} {leak:+.2f}" for other, leak in worst)
    say(
        f"layers {name}: step {found.step:.3g} in W, leak {leak_size(found):.3f}; most to {table or 'nothing'}"
    )
    return found


def _kin(samples: Samples, own: str, names: Iterable[str]) -> set[str]:
    """The attributes that measure much the same as `own`: what moves it cannot but move them."""
    values = samples.attributes[own]
    found = set()
    for name in names:
        both = np.isfinite(values) & np.isfinite(samples.attributes[name])
        one, other = values[both], samples.attributes[name][both]
        varies = len(one) > 2 and one.std() > 0 and other.std() > 0
        if name != own and varies and abs(np.corrcoef(one, other)[0, 1]) >= KIN:
            found.add(name)
    return found


def leak_size(direction: Direction) -> float:
    """The root mean square of what else moves, in standard deviations per standard deviation of the attribute."""
    leaks = list(direction.leaks_here.values())
    return float(np.sqrt(np.mean(np.square(leaks)))) if leaks else 0.0


def check_quantile(quantile: float) -> None:
    """Raises ConfigError unless `quantile` is in (0, 0.5)."""
    if not 0 < quantile < 0.5:
        raise ConfigError(f"quantile: got {quantile}, expected more than 0 and less than 0.5")


def _auc(labels: np.ndarray, decision: np.ndarray) -> float:
    return float(roc_auc_score(labels, decision)) if len(np.unique(labels)) == 2 else float("nan")
