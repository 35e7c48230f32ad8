"""Edits of one shoe: which strengths they mean, found by measuring where an amount has a unit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from shoegen.directions.direction import Direction
from shoegen.directions.sampling import BATCH, measure_images
from shoegen.editing import holding
from shoegen.editing.amounts import Amount, as_text
from shoegen.editing.history import Edit, asked_for, direction_hash
from shoegen.editing.solving import Found, solve_in_turn, solve_many, solve_one
from shoegen.errors import ConfigError
from shoegen.measure import ALIASES, ATTRIBUTES, is_one_shoe

if TYPE_CHECKING:
    from shoegen.editing.model import ShoeModel
    from shoegen.editing.shoe import Shoe

FAR = (-4.0, 4.0)  # strengths to try where a direction does not say how far it holds
CLOSE = {"shoe length": 0.002}
"""How close is close enough, by unit: half a millimetre; else this share of a sigma:"""
CLOSE_SIGMA = 0.02
FAIR = {"shoe length": 0.011}
"""What is farther off is worth a word: 3 mm of 270; else this share of a sigma:"""
FAIR_SIGMA = 0.1
TOUCH = 0.5  # strengths: what holding takes an attribute off its target at most
KEPT_SIGMA = 0.2  # of what was to stay; what moves more is corrected


@dataclass(frozen=True, eq=False)
class _Move:
    """One unknown strength. offset: (num_ws, w_dim), what strength 1 adds. attribute, unit, sigma: what it moves."""

    offset: Tensor
    attribute: str
    unit: str
    sigma: float
    reach: tuple[float, float]

    @property
    def close(self) -> float:
        return CLOSE.get(self.unit, CLOSE_SIGMA * self.sigma)

    @property
    def fair(self) -> float:
        return _fair(self.unit, self.sigma)


def edit(
    shoe: Shoe, edits: Mapping[str, object], *, keep: str | Iterable[str], hold: bool, shoe_length: float
) -> Shoe:
    """See `Shoe.edit`."""
    amounts = {name: Amount.parse(given, Path(name).stem) for name, given in edits.items()}
    directions = {name: shoe.model.direction(name) for name in amounts}
    kept = _kept_names(keep, directions)
    directions = {name: each.keeping(kept) if kept else each for name, each in directions.items()}
    aimed = [name for name, amount in amounts.items() if amount.way != "strength"]
    _check_twice(directions, aimed)
    num_ws = shoe.model.generator.num_ws

    ws = shoe.ws
    for name, amount in amounts.items():
        if name not in aimed:
            ws = directions[name].move(ws, amount.value)
    strengths = {name: amount.value for name, amount in amounts.items()}
    targets: dict[str, float] = {}
    reached: dict[str, float] = {}
    corrections: dict[str, float] = {}
    steps, pictures = np.zeros(len(aimed)), 0

    def aim_from(ws: Tensor) -> _Aim:
        return _Aim(shoe, ws, [(name, directions[name]) for name in aimed], kept)

    if aimed:
        wanted = [
            _target(shoe, directions[name], amounts[name], Path(name).stem, shoe_length) for name in aimed
        ]
        aim = aim_from(ws)
        found = aim.solve(wanted, shoe_length)
        ws = aim.moved(found.strengths)
        strengths |= zip(aimed, found.strengths.tolist(), strict=True)
    held = None
    if hold and any(strengths.values()):
        held = holding.hold(shoe, shoe.moved_to(ws), [each.attribute for each in directions.values()])
    if held is not None:
        ws = held
    if aimed:
        if held is not None:  # the search has brought them a little off
            steps, pictures = found.strengths, found.pictures
            aim = aim_from(held)
            found = aim.touch_up(wanted)
        found = aim.correct(found, wanted)  # only now is it seen what has moved that was to stay
        ws, corrections = aim.moved(found.strengths), aim.corrections(found.strengths)
        steps, pictures = steps + found.strengths[: len(aimed)], pictures + found.pictures
        for k, name in enumerate(aimed):
            strengths[name] = float(steps[k])
            targets[name], reached[name] = wanted[k], float(found.values[k])

    history = [
        Edit(
            direction=Path(name).stem,
            attribute=directions[name].attribute,
            unit=directions[name].unit,
            direction_hash=direction_hash(directions[name], num_ws),
            strength=strengths[name],
            asked=asked_for(amount),
            kept=kept,
            corrections=corrections if name in aimed[:1] else {},
            target=targets.get(name),
            reached=reached.get(name),
            pictures=pictures if name in aimed[:1] else 0,
            shoe_length=shoe_length,
            held=held is not None,
        )
        for name, amount in amounts.items()
    ]
    return shoe.moved_to(ws, history)


def say_miss(edit: Edit, sigmas: Mapping[str, float]) -> str:
    """What to tell of a target that was missed by more than 3 mm of 270, or a tenth of a sigma of what is no length."""
    if edit.miss is None or abs(edit.miss) <= _fair(edit.unit, sigmas.get(edit.attribute, math.inf)):
        return ""
    return (
        f"{edit.direction} {edit.asked} was not met: what is measured jumps over it on this shoe; try another target "
        "near it, or a strength"
    )


def _fair(unit: str, sigma: float) -> float:
    return FAIR.get(unit, FAIR_SIGMA * sigma)


def measure_ws(
    model: ShoeModel, ws: Tensor, attributes: Sequence[str] | None = None
) -> list[tuple[np.ndarray, dict[str, float]]]:
    """Draws and measures latents (N, num_ws, w_dim): a part map and the attributes of each, by default all."""
    found = []
    for chunk in ws.split(BATCH):
        with torch.no_grad():
            images = model.generator.synthesis(chunk.to(model.device)).clamp(-1, 1)
        found += measure_images(images, model.segmenter, attributes=attributes)
    return found


def _kept_names(keep: str | Iterable[str], directions: Mapping[str, Direction]) -> tuple[str, ...]:
    """The attributes that are to stay.

    Raises:
        ConfigError: one of them is to be edited too.
    """
    names = [each.strip() for each in (keep.split(",") if isinstance(keep, str) else keep)]
    kept = tuple(dict.fromkeys(ALIASES.get(name, name) for name in names if name))
    for name, direction in directions.items():
        if direction.attribute in kept:
            raise ConfigError(
                f"keep: got {direction.attribute}, which {Path(name).stem} is to edit; leave it out of the one or the "
                "other"
            )
        if kept and not direction.gradients:
            raise ConfigError(
                f"keep: the direction {Path(name).stem} was fitted by an older version and knows of no other "
                "attribute; fit it again with `shoegen fit-direction`"
            )
    return kept


def _check_twice(directions: Mapping[str, Direction], aimed: Sequence[str]) -> None:
    """Raises ConfigError where an attribute is to be brought somewhere and is moved by another edit too."""
    for name in aimed:
        others = [
            other
            for other, each in directions.items()
            if other != name and each.attribute == directions[name].attribute
        ]
        if others:
            raise ConfigError(
                f"{Path(name).stem} and {Path(others[0]).stem} both move {directions[name].attribute}; leave one out"
            )


def _target(shoe: Shoe, direction: Direction, amount: Amount, name: str, shoe_length: float) -> float:
    """What the attribute shall be, in its unit.

    Raises:
        ConfigError: it has another unit, or cannot be measured on this shoe.
    """
    attribute = direction.attribute
    if attribute not in ATTRIBUTES:
        raise ConfigError(
            f"{name}: got {amount}, but {attribute} cannot be measured here; give a strength such as 2, or the "
            "attribute's file with --attributes"
        )
    value = amount.in_unit(direction.unit, shoe_length=shoe_length, name=name)
    if amount.way == "to":
        return value
    before = shoe.measures.get(attribute, math.nan)
    if math.isnan(before):
        raise ConfigError(
            f"{name}: got {amount}, but {attribute} cannot be measured on {shoe.title}{_reason(shoe, attribute)}; give "
            "a strength such as 2, or a target"
        )
    return before + value


def _reason(shoe: Shoe, attribute: str) -> str:
    reason = getattr(shoe.measures, "reasons", {}).get(attribute)
    return f" ({reason})" if reason else ""


class _Aim:
    """The search for the strengths of some directions at which their attributes are what they shall be."""

    def __init__(
        self, shoe: Shoe, ws: Tensor, named: Sequence[tuple[str, Direction]], kept: Sequence[str]
    ) -> None:
        self.shoe, self.base = shoe, ws
        self.names = [Path(name).stem for name, _ in named]
        num_ws = ws.shape[0]
        self.moves = [
            _Move(
                each.offset(num_ws), each.attribute, each.unit, each.sigma, each.reach if each.curve else FAR
            )
            for _, each in named
        ]
        self.keeps = _corrections(named[0][1], kept, num_ws, shoe.measures)
        # A shoe that is in pieces before may be so after.
        self.was_whole = is_one_shoe(shoe.part_map, shoe.model.segmenter.labels)
        self.start = self._start(ws)

    def _start(self, ws: Tensor) -> dict[str, float]:
        if ws is self.shoe.ws:
            return self.shoe.measures
        return measure_ws(self.shoe.model, ws[None])[0][1]

    def moved(self, strengths: np.ndarray) -> Tensor:
        """(…, K) strengths, of the directions and maybe of the corrections too → ws (…, num_ws, w_dim)."""
        offsets = torch.stack([move.offset for move in (*self.moves, *self.keeps)][: strengths.shape[-1]])
        weights = torch.as_tensor(strengths, dtype=self.base.dtype)
        return self.base + torch.tensordot(weights, offsets.to(self.base), dims=1)

    def corrections(self, strengths: np.ndarray) -> dict[str, float]:
        """By attribute, those that are not 0."""
        found = zip(self.keeps, strengths[len(self.moves) :].tolist())
        return {move.attribute: strength for move, strength in found if strength}

    def solve(self, wanted: Sequence[float], shoe_length: float) -> Found:
        """Strengths (K,) at which the attributes are what they shall be.

        Raises:
            ConfigError: out of reach, with the range that is not.
        """
        targets = np.array(wanted)
        found = self._solve_one(targets[0]) if len(targets) == 1 else self._solve_many(targets)
        self._check(found, targets, shoe_length)
        return found

    def touch_up(self, wanted: Sequence[float]) -> Found:
        """The small strengths (K,) that come closest to what is wanted."""
        self.moves = [replace(move, reach=(-TOUCH, TOUCH)) for move in self.moves]
        targets = np.array(wanted)
        return self._solve_one(targets[0]) if len(targets) == 1 else self._solve_many(targets)

    def _values(self, strengths: np.ndarray, attributes: Sequence[str]) -> np.ndarray:
        """(N, K) → (N, A); NaN where the shoe has fallen apart."""
        rows = []
        for part_map, found in measure_ws(self.shoe.model, self.moved(strengths), attributes):
            is_whole = not self.was_whole or is_one_shoe(part_map, self.shoe.model.segmenter.labels)
            rows.append([found[name] if is_whole else math.nan for name in attributes])
        return np.array(rows)

    def _solve_one(self, target: float, fixed: np.ndarray | None = None, start: float | None = None) -> Found:
        """Along the first direction, from strength 0 or from all strengths `fixed`."""
        (move,) = self.moves
        origin = np.zeros(1) if fixed is None else fixed

        def measure(strengths: np.ndarray) -> np.ndarray:
            return self._values(origin + strengths[:, None] * np.eye(len(origin))[0], [move.attribute])[:, 0]

        low, high = move.reach
        return solve_one(
            measure,
            self.start[move.attribute] if start is None else start,
            target,
            slope=move.sigma,
            reach=(low - origin[0], high - origin[0]),
            tolerance=move.close,
            fair=move.fair,
        )

    def _solve_many(self, targets: np.ndarray) -> Found:
        start = np.array([self.start[move.attribute] for move in self.moves])
        for name, move, value in zip(self.names, self.moves, start, strict=True):
            if math.isnan(value):
                raise ConfigError(
                    f"{name}: {move.attribute} cannot be measured on {self.shoe.title}"
                    f"{_reason(self.shoe, move.attribute)}; edit one at a time"
                )
        attributes = [move.attribute for move in self.moves]

        def measure(strengths: np.ndarray) -> np.ndarray:
            return self._values(strengths, attributes)

        slopes = np.array([move.sigma for move in self.moves])
        reach = np.array([move.reach for move in self.moves])
        close = np.array([move.close for move in self.moves])
        found = solve_many(measure, start, targets, jacobian=np.diag(slopes), reach=reach, tolerances=close)
        fair = np.array([move.fair for move in self.moves])
        return solve_in_turn(measure, found, targets, slopes=slopes, reach=reach, tolerances=close, fair=fair)

    def _check(self, found: Found, targets: np.ndarray, shoe_length: float) -> None:
        """Raises ConfigError where targets are out of reach."""
        misses = np.abs(found.values - targets)
        title = self.shoe.title
        are_lengths = any(move.unit == "shoe length" for move in self.moves)
        reckoned = f" at a shoe length of {shoe_length:g} mm" if are_lengths else ""

        def text(move: _Move, value: float) -> str:
            return as_text(value, move.unit, shoe_length)

        if len(targets) == 1:
            (move,), (target,), (name,) = self.moves, targets, self.names
            low, high = float(found.low[0]), float(found.high[0])
            if math.isnan(low):
                raise ConfigError(
                    f"{name}: {move.attribute} cannot be measured on {title}{_reason(self.shoe, move.attribute)}, nor "
                    "on what it would become; give a strength such as 1"
                )
            if not low - move.close <= target <= high + move.close:
                raise ConfigError(
                    f"{name}: {text(move, target)} is out of reach of {title}; it can be brought from "
                    f"{text(move, low)} to {text(move, high)}{reckoned}"
                )
            return
        reach = np.array([move.reach for move in self.moves])
        at_end = ((found.strengths <= reach[:, 0] + 1e-3) | (found.strengths >= reach[:, 1] - 1e-3)).any()
        far = [m > move.fair for m, move in zip(misses, self.moves, strict=True)]
        if any(far) and (at_end or ((targets < found.low) | (targets > found.high)).any()):
            asked, had = (
                " and ".join(
                    f"{name} {text(move, value)}"
                    for name, move, value in zip(self.names, self.moves, values, strict=True)
                )
                for values in (targets, found.values)
            )
            raise ConfigError(
                f"{asked} at once is out of reach of {title}; the closest that was found is {had}{reckoned}; ask for "
                "less"
            )

    def correct(self, found: Found, wanted: Sequence[float]) -> Found:
        """Brings back what was to stay and has moved, where that helps: strengths of corrections behind the others."""
        if not self.keeps:
            return found
        count, targets = len(self.moves), np.array(wanted)
        attributes = [move.attribute for move in (*self.moves, *self.keeps)]
        before = np.array([self.shoe.measures[move.attribute] for move in self.keeps])
        sigmas = np.array([move.sigma for move in self.keeps])
        kept = KEPT_SIGMA * sigmas
        origin = np.concatenate([found.strengths, np.zeros(len(self.keeps))])
        values = self._values(origin[None], attributes)[0]

        def drift(values: np.ndarray) -> float:
            """Of what was to stay, the largest, in sigmas."""
            return float(np.max(np.nan_to_num(np.abs(values[count:] - before) / sigmas, nan=np.inf)))

        drifted = drift(values)
        if not KEPT_SIGMA < drifted < math.inf:
            return replace(found, strengths=origin, pictures=found.pictures + 1)
        moves = [*self.moves, *self.keeps]
        close = [move.close for move in self.moves]
        corrected = solve_many(
            lambda strengths: self._values(origin + strengths, attributes),
            values,
            np.concatenate([targets, before]),
            jacobian=np.diag([move.sigma for move in moves]),
            reach=np.array([move.reach for move in moves]) - origin[:, None],
            tolerances=np.concatenate([close, kept]),
        )
        pictures = found.pictures + 1 + corrected.pictures
        strengths, values = origin + corrected.strengths, corrected.values
        if count == 1 and abs(values[0] - targets[0]) > self.moves[0].close:
            again = self._solve_one(targets[0], strengths, float(values[0]))
            strengths, pictures = (
                strengths + np.eye(len(strengths))[0] * again.strengths,
                pictures + again.pictures,
            )
            values = self._values(strengths[None], attributes)[0]
        fair = [
            max(move.fair, miss)
            for move, miss in zip(self.moves, np.abs(found.values - targets), strict=True)
        ]
        if drift(values) < drifted and (np.abs(values[:count] - targets) <= fair).all():
            return replace(found, strengths=strengths, values=values[:count], pictures=pictures)
        return replace(found, strengths=origin, pictures=pictures)


def _corrections(
    direction: Direction, kept: Sequence[str], num_ws: int, measures: Mapping[str, float]
) -> list[_Move]:
    """For each attribute that is to stay and can be measured, the shortest step that moves it by one sigma."""
    moves = []
    for name in kept:
        gradient = direction.gradients.get(name)
        if gradient is None or name not in direction.sigmas or math.isnan(measures.get(name, math.nan)):
            continue
        layers = list(direction.layers)
        rows = gradient[layers] if gradient.ndim == 2 else gradient
        offset = torch.zeros(num_ws, gradient.shape[-1])
        offset[layers] = rows / rows.square().sum()
        moves.append(_Move(offset, name, "", direction.sigmas[name], (-1.0, 1.0)))
    return moves
