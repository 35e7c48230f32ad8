"""Live progress: a bar with figures on a terminal, plain lines every few seconds elsewhere."""

from __future__ import annotations

import math
import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

BAR = 30  # columns, and a sixth of a narrow terminal
LINE_SECONDS = 5.0  # at least, from one plain line to the next


class LiveProgress:
    """How far a job is.

    Args:
        task: what is being done, such as "training".
        total: how much there is to do, in `unit`.
        unit: such as "kimg" or "images".
        done: how much was done before (a resumed run).
        on: show anything at all; of several processes one does.
    """

    def __init__(self, task: str, total: float, *, unit: str, done: float = 0.0, on: bool = True) -> None:
        self._task, self._total, self._unit = task, total, unit
        self._first, self._started = done, time.monotonic()
        self._bar: Progress | None = None
        self._on, self._shown = on, -math.inf
        if on and sys.stderr.isatty():
            console = Console(stderr=True)
            width = min(BAR, console.width // 6)
            self._bar = Progress(
                TextColumn("{task.description}", table_column=Column(min_width=len(task))),
                BarColumn(width, table_column=Column(min_width=width)),
                TextColumn(  # what has no room is cut off
                    "{task.fields[figures]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
                ),
                console=console,
                expand=True,
            )
            self._id = self._bar.add_task(task, total=total, figures="")
            self._bar.update(self._id, completed=done)

    def update(self, done: float, figures: str = "") -> None:
        """Shows that `done` of the total is done, with the time that is left and `figures`."""
        if not self._on:
            return
        elapsed = time.monotonic() - self._started
        left = max(self._total - done, 0)
        eta = elapsed / (done - self._first) * left if done > self._first else float("nan")
        text = f"{done:g}/{self._total:g} {self._unit}  ETA {format_seconds(eta)}  {figures}".rstrip()
        if self._bar:
            self._bar.update(self._id, completed=done, figures=text)
        elif done >= self._total or time.monotonic() - self._shown >= LINE_SECONDS:
            self._shown = time.monotonic()
            print(f"{self._task} {text}", file=sys.stderr, flush=True)

    def message(self, text: str) -> None:
        """A line that stays."""
        if not self._on:
            return
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()


def format_seconds(seconds: float) -> str:
    """75 → "1m 15s"; NaN → "?"."""
    if seconds != seconds:
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}h {minute:02d}m" if hours else f"{minute}m {second:02d}s" if minute else f"{second}s"
