"""What one visitor has, and where the page finds it again after it was loaded anew."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict

import numpy as np

from shoegen.app.bench import Bench
from shoegen.app.studio import PSI, Studio
from shoegen.inversion import Photo

KEPT = 200  # visitors
HOURS = 24.0


class Work:
    """One visitor's work. `lock` is held while it is changed.

    key: by which the visitor's browser asks for it again; nobody else knows it. shoes, photograph: benches. photo:
    the pixels of the uploaded one (H, W, 3), its name, and its shoe once that is found. drawing: (H, W) part map.
    """

    def __init__(self, studio: Studio) -> None:
        self.key = secrets.token_urlsafe(24)
        self.lock = threading.RLock()
        self.benches = {"shoes": Bench(studio), "photograph": Bench(studio)}
        self.first_seed, self.psi, self.kind = 0, PSI, 0
        self.pixels: np.ndarray | None = None
        self.photo_name = self.found = ""
        self.photo_when = 0.0
        self.photo: Photo | None = None
        self.several: list[np.ndarray] = []
        self.chosen = 0
        self.asked_for = False  # whether a search is wanted that has not begun
        self.searching, self.stop = threading.Event(), threading.Event()
        self.drawing: np.ndarray | None = None
        self.painted: np.ndarray | None = None
        self.style_picture: np.ndarray | None = None
        self.style_name = ""
        self.style_seed = self.first_style = 0
        self.swap_pictures: dict[str, np.ndarray] = {}
        self.swapped: tuple[np.ndarray, np.ndarray] | None = None
        self.swap_example = 1  # a boot: the shipped model is best where the new shoe hides the old one
        self.used = time.monotonic()


class Works:
    """All visitors' work in memory, the last `KEPT` of them for `HOURS`."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._lock = threading.Lock()
        self._works: OrderedDict[str, Work] = OrderedDict()

    def __len__(self) -> int:
        return len(self._works)

    def find(self, key: str) -> Work:
        """The work of this key, or new work with a key of its own."""
        now = time.monotonic()
        with self._lock:
            work = self._works.pop(key, None) or Work(self._studio)
            work.used = now
            self._works[work.key] = work
            old = [k for k, each in self._works.items() if now - each.used > HOURS * 3600]
            for k in (*old, *list(self._works)[: max(0, len(self._works) - KEPT)]):
                self._works.pop(k, None)
            return work
