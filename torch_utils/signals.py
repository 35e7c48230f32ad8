"""Being asked to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType
from typing import Any, Self


class StopRequest:
    """Within the context, SIGTERM and the first Ctrl-C only set `asked`; a second one stops at once.

    So a training can end at a step's end, with its state saved. Outside the main thread it notices nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._notice)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) != self._notice:
                continue  # someone else's by now
            with contextlib.suppress(TypeError):  # a handler that was not set from Python
                signal.signal(number, handler)

    def _notice(self, number: int, _: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
