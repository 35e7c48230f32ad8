"""The models behind the page, which all visitors share. Those that ship are opened when they are first needed."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from shoegen.app.options import Options
from shoegen.directions.direction import Direction
from shoegen.editing import Shoe, ShoeModel, load
from shoegen.editing.shoe import prepare
from shoegen.errors import ShoegenError

if TYPE_CHECKING:
    from shoegen.cagan.swapping import Swapper
    from shoegen.inversion.projecting import Inverter
    from shoegen.spade.painting import Painter

PSI = 0.7


class Studio:
    """A generator with its directions, and beside it a painter and a swapper.

    Attributes: options, model, directions (by name, those that fit the model), left_out (why others do not), closing
        (set when the page ends, so that what takes long ends too).

    Raises:
        FileFormatError: no such generator, painter or swapper.
        ConfigError: no such device.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._lock = threading.RLock()
        self.closing = threading.Event()
        self.model: ShoeModel = load(self.options.model, self.options.device)
        self.directions: dict[str, Direction] = {}
        self.left_out: dict[str, str] = {}
        for name in self.model.directions:
            try:
                self.directions[name] = self.model.direction(name)
            except ShoegenError as error:
                self.left_out[name] = str(error)
        # A file that was named is opened at once, so that a wrong one is refused before anyone has come.
        if self.options.painter != "default":
            _ = self._painter
        if self.options.swapper != "default":
            _ = self._swapper

    @property
    def classes(self) -> int:
        """How many kinds of shoes a conditional generator tells apart; 0 for another."""
        return self.model.generator.config.c_dim

    def wall(self, first: int, count: int, psi: float = PSI, kind: int = 0) -> list[Shoe]:
        """The shoes of the seeds from `first` on, drawn; `kind` is the class where there are such."""
        shoes = self.model.samples(
            range(first, first + count), psi, class_index=kind if self.classes else None
        )
        prepare(shoes)
        return shoes

    def shoe(self, seed: int, psi: float = PSI, kind: int = 0) -> Shoe:
        """One of them."""
        return self.wall(seed, 1, psi, kind)[0]

    def warm_up(self) -> None:
        """Opens what the first slider needs."""
        with self._lock:
            _ = self.shoe(0).measures

    # One visitor opens a model, others wait for it.

    @property
    def inverter(self) -> Inverter:
        with self._lock:
            return self._inverter

    @property
    def painter(self) -> Painter:
        with self._lock:
            return self._painter

    @property
    def swapper(self) -> Swapper:
        with self._lock:
            return self._swapper

    @cached_property
    def _inverter(self) -> Inverter:
        from shoegen.inversion.projecting import Inverter

        inverter = Inverter(self.model.generator, segmenter=self.model.segmenter)
        _ = inverter.placement, inverter.basis
        return inverter

    @cached_property
    def _painter(self) -> Painter:
        from shoegen.spade.painting import Painter

        return Painter.load(self.options.painter, self.model.device)

    @cached_property
    def _swapper(self) -> Swapper:
        from shoegen.cagan.swapping import Swapper

        return Swapper.load(self.options.swapper, self.model.device)
