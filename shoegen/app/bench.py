"""The shoe that a visitor works on, and every one before it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shoegen.app.studio import Studio
from shoegen.directions.direction import Direction
from shoegen.editing import Shoe
from shoegen.editing.amounts import Amount
from shoegen.editing.holding import can_hold
from shoegen.errors import ConfigError
from shoegen.measure import SHOE_LENGTH, to_millimetres

DEPTH = 200  # shoes that are kept
DRAWN = 6  # of them, the last: with their pictures
DRAG = 1.0  # seconds between two moves of one slider that are one drag

MEASURED, SIGMA = "measured", "sigma"
"""The two scales that sliders have: the attribute's own unit, lengths in millimetres; or strengths."""


@dataclass(frozen=True, eq=False)
class Drag:
    """slider: the direction's name, brought from `base` to `value` on `scale`, `when`. keep: what was to stay.

    is_straight: whether what the edit is not about is still to be held, see `shoegen.editing.holding`.
    """

    base: Entry
    slider: str
    value: float
    scale: str
    keep: tuple[str, ...]
    is_straight: bool
    when: float


@dataclass(frozen=True, eq=False)
class Entry:
    """shoe: as it is. start: as it was picked. drag: what led here, as long as it may go on."""

    shoe: Shoe
    start: Shoe
    drag: Drag | None = None


@dataclass(frozen=True)
class Reading:
    """What stands beside a slider. before, now: in `unit`. sigmas: how far it moved. reason: why it is not measured."""

    unit: str
    before: float
    now: float
    sigmas: float
    reason: str = ""


class Bench:
    """One shoe, sliders, undo and redo. Not for several threads at once: its `Work` has the lock.

    Attributes: shoe_length, in millimetres; view and scale, what its visitor looks at and what the sliders show; hold
        and keep, what is to stay.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._done: list[Entry] = []
        self._undone: list[Entry] = []
        self.shoe_length = SHOE_LENGTH
        self.view, self.scale = "", MEASURED
        self.hold = True
        self.keep: tuple[str, ...] = ()

    @property
    def shoe(self) -> Shoe | None:
        """None: nothing was picked yet."""
        return self._done[-1].shoe if self._done else None

    @property
    def start(self) -> Shoe | None:
        """As it was picked."""
        return self._done[-1].start if self._done else None

    @property
    def can_undo(self) -> bool:
        return len(self._done) > 1

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    def need(self) -> tuple[Shoe, Shoe]:
        """The shoe as it was picked, and as it is.

        Raises:
            ConfigError: there is none.
        """
        if not self._done:
            raise ConfigError("there is no shoe yet; pick one first")
        return self._done[-1].start, self._done[-1].shoe

    def put(self, shoe: Shoe) -> None:
        """Another shoe; undo brings the one before it back, with its edits."""
        self._add(Entry(shoe, shoe))

    def undo(self) -> None:
        if self.can_undo:
            self._undone.append(self._done.pop())
            self._end_drag()

    def redo(self) -> None:
        if self._undone:
            self._done.append(self._undone.pop())
            self._end_drag()

    def reset(self) -> None:
        """The shoe as it was picked, as a step that can be undone."""
        start, shoe = self.need()
        if shoe is not start:
            self._add(Entry(start, start))

    # ---- sliders ----

    def position(self, direction: Direction, scale: str) -> float:
        """Where the slider of a direction stands; NaN where the attribute cannot be measured."""
        start, shoe = self.need()
        if scale == SIGMA:
            edits = shoe.history[len(start.history) :]
            return sum(edit.strength for edit in edits if edit.attribute == direction.attribute)
        return self.in_unit(direction, shoe.measures.get(direction.attribute, math.nan))

    def limits(self, direction: Direction, scale: str) -> tuple[float, float]:
        """From where to where a slider goes: as far as the direction holds."""
        low, high = direction.reach if direction.curve else (-3.0, 3.0)
        if scale == SIGMA:
            return low, high
        ends = [direction.mean + strength * direction.sigma for strength in (low, high)]
        measured = [point[1] for point in direction.curve if math.isfinite(point[1])]
        least, most = min([*ends, *measured]), max([*ends, *measured])
        if direction.unit in ("shoe length", "share"):
            least = max(0.0, least)
        return self.in_unit(direction, least), self.in_unit(direction, most)

    def in_unit(self, direction: Direction, value: float) -> float:
        """As it is shown: lengths in millimetres."""
        return to_millimetres(value, self.shoe_length) if direction.unit == "shoe length" else value

    def reading(self, direction: Direction) -> Reading:
        start, shoe = self.need()
        name = direction.attribute
        before, now = (each.measures.get(name, math.nan) for each in (start, shoe))
        reason = getattr(shoe.measures, "reasons", {}).get(name, "")
        unit = "mm" if direction.unit == "shoe length" else direction.unit
        return Reading(
            unit,
            self.in_unit(direction, before),
            self.in_unit(direction, now),
            (now - before) / direction.sigma if direction.sigma else math.nan,
            reason,
        )

    def drag(
        self, name: str, value: float, scale: str, keep: Sequence[str] = (), *, hold: bool = False
    ) -> None:
        """Brings the slider of the direction `name` to a value, straight. One drag is one step for undo.

        hold: whether `settle` is to follow.

        Raises:
            ConfigError: out of reach, or what is to stay cannot; the shoe is as it was.
        """
        self.need()
        last, now = self._done[-1], time.monotonic()
        before = last.drag
        goes_on = before is not None and before.slider == name and now - before.when < DRAG
        base = before.base if before is not None and goes_on else last
        shoe = self._edited(base, name, value, scale, keep, hold=False)
        is_straight = hold and shoe is not base.shoe and can_hold([self._studio.directions[name].attribute])
        drag = Drag(base, name, value, scale, tuple(keep), is_straight, time.monotonic())
        entry = Entry(shoe, base.start, drag)
        if goes_on:
            self._done[-1] = entry
            self._undone.clear()
        else:
            self._add(entry)

    @property
    def unsettled(self) -> Entry | None:
        """The last entry, where the rest of the shoe is still to be held."""
        entry = self._done[-1] if self._done else None
        return entry if entry is not None and entry.drag is not None and entry.drag.is_straight else None

    def held(self, entry: Entry) -> Entry:
        """An entry with all held that its drag was not about; takes a while, changes nothing here.

        Raises:
            ConfigError: out of reach if the rest is held.
        """
        drag = entry.drag
        assert drag is not None
        shoe = self._edited(drag.base, drag.slider, drag.value, drag.scale, drag.keep, hold=True)
        return replace(self.left_straight(entry), shoe=shoe)

    def left_straight(self, entry: Entry) -> Entry:
        """An entry as it is, with nothing to be held any more."""
        assert entry.drag is not None
        return replace(entry, drag=replace(entry.drag, is_straight=False))

    def settle(self, entry: Entry, held: Entry) -> bool:
        """Puts what was held in its entry's place, unless there is another by now."""
        if not self._done or self._done[-1] is not entry:
            return False
        self._done[-1] = held
        return True

    def _edited(
        self, base: Entry, name: str, value: float, scale: str, keep: Sequence[str], *, hold: bool
    ) -> Shoe:
        direction = self._studio.directions[name]
        amount = self._amount(base, direction, value, scale)
        if amount is None:
            return base.shoe
        edits: dict[str, Any] = {name: amount}
        keep = [each for each in keep if each != direction.attribute]  # it is moved by hand
        shoe = base.shoe.edit(keep=keep, hold=hold, shoe_length=self.shoe_length, **edits)
        _ = shoe.image, shoe.measures  # so that what fails does so before anything is changed
        return shoe

    def _amount(self, base: Entry, direction: Direction, value: float, scale: str) -> Amount | None:
        if scale == MEASURED:
            if direction.unit == "shoe length":
                return Amount("to", value, "mm")
            return Amount("to", value, direction.unit)
        edits = base.shoe.history[len(base.start.history) :]
        there = sum(edit.strength for edit in edits if edit.attribute == direction.attribute)
        step = value - there
        return Amount.parse(step, direction.name, way="strength") if abs(step) > 1e-9 else None

    # ---- what is kept ----

    def _add(self, entry: Entry) -> None:
        self._done.append(entry)
        self._undone.clear()
        del self._done[:-DEPTH]
        if len(self._done) > DRAWN:  # pictures can be drawn again
            old = self._done[-DRAWN - 1]
            self._done[-DRAWN - 1] = Entry(replace(old.shoe), old.start)

    def _end_drag(self) -> None:
        """The next move of the slider is another drag; what is still to be held stays to be held."""
        last = self._done[-1]
        if last.drag is not None:
            self._done[-1] = replace(last, drag=replace(last.drag, when=-math.inf))
