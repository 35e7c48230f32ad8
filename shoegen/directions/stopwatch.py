"""Where the time goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from shoegen.torch_utils.progress import format_seconds


class Stopwatch:
    """Seconds by stage.

    watch = Stopwatch()
    with watch("drawing"):
        ...
    print(watch)  # drawing 1m 15s
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def __str__(self) -> str:
        return ", ".join(f"{stage} {format_seconds(seconds)}" for stage, seconds in self.seconds.items())
