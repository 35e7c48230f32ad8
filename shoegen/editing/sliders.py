"""A shoe with a slider for each direction, in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from shoegen.data.images import encode_png
from shoegen.editing.shoe import Shoe, enlarge
from shoegen.errors import ConfigError
from shoegen.measure import SHOE_LENGTH

STEP = 0.1
FAR = (-3.0, 3.0)


class Sliders:
    """The shoe, and as many sliders as directions; moving one edits the shoe. A notebook shows it.

    Attributes:
        shoe: the one that is shown.
        widget: of ipywidgets.
        sliders: by direction.

    Args:
        shoe: where all sliders are 0.
        directions: by default all of its model's.
        shoe_length: millimetres.

    Raises:
        ConfigError: ipywidgets is not installed, or there is no such direction.
    """

    def __init__(
        self, shoe: Shoe, directions: Sequence[str] = (), *, shoe_length: float = SHOE_LENGTH
    ) -> None:
        try:
            import ipywidgets
        except ImportError as error:
            raise ConfigError(
                "sliders need ipywidgets, which is not installed; pip install 'shoegen[notebook]'"
            ) from error
        names = list(directions) or shoe.model.directions
        self._directions = {name: shoe.model.direction(name) for name in names}
        if not names:
            raise ConfigError(f"{shoe.model.name} has no directions; learn one with `shoegen fit-direction`")
        self._start, self._shoe_length = shoe, shoe_length
        self.shoe = shoe
        self.sliders: dict[str, Any] = {}
        for name, direction in self._directions.items():
            low, high = direction.reach if direction.curve else FAR
            self.sliders[name] = ipywidgets.FloatSlider(
                value=0.0,
                min=min(low, 0.0),
                max=max(high, 0.0),
                step=STEP,
                description=name,
                readout_format="+.1f",
            )
            self.sliders[name].observe(self._edit, names="value")
        self._reset = ipywidgets.Button(description="reset")
        self._reset.on_click(lambda _: self.reset())
        self._picture = ipywidgets.Image(format="png")
        self._text = ipywidgets.HTML()
        controls = ipywidgets.VBox([*self.sliders.values(), self._reset, self._text])
        self.widget = ipywidgets.HBox([self._picture, controls])
        self._show()

    def reset(self) -> None:
        """Sets all sliders to 0."""
        for slider in self.sliders.values():
            slider.value = 0.0

    def _edit(self, change: object) -> None:
        strengths = {name: slider.value for name, slider in self.sliders.items() if slider.value}
        self.shoe = self._start.edit(**strengths) if strengths else self._start
        self._show()

    def _show(self) -> None:
        self._picture.value = encode_png(enlarge(self.shoe.image))
        attributes = dict.fromkeys(direction.attribute for direction in self._directions.values())
        lines = [f"{name}: {self.shoe.say(name, self._shoe_length)}" for name in attributes]
        self._text.value = "<br>".join(html.escape(line) for line in [self.shoe.title, *lines])

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)
