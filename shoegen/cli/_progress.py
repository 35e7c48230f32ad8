"""How far a job on many files is."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def show_progress(task: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A function of (done, total) that may be called for every file: it shows a bar, or a line now and then."""
    from shoegen.torch_utils.progress import LiveProgress

    pause = 0.1 if sys.stderr.isatty() else 5.0  # seconds
    shown = time.monotonic()
    live: LiveProgress | None = None
    with contextlib.ExitStack() as stack:

        def report(done: int, total: int) -> None:
            nonlocal live, shown
            if live is None:
                live = stack.enter_context(LiveProgress(task, total, unit=unit))
            if time.monotonic() - shown >= pause:
                shown = time.monotonic()
                live.update(done)

        yield report
