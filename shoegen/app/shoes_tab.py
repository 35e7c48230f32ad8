"""The tab Shoes: a wall of samples, and the one that is picked on the bench."""

from __future__ import annotations

from typing import Any

import gradio as gr

from shoegen.app import widgets
from shoegen.app.editor import EVENT, Editor
from shoegen.app.first_wall import COUNT, first_wall
from shoegen.app.studio import PSI, Studio
from shoegen.app.widgets import guarded, need
from shoegen.app.work import Work

MOST = 2**31 - COUNT  # of seeds


class ShoesTab:
    """Attributes: wall, editor, and `restore`, what the page shows of a visitor's work when it is loaded."""

    def __init__(self, studio: Studio, work: gr.State) -> None:
        self._studio = studio
        gr.HTML("<p class='lead'>Pick a shoe, then move its sliders.</p>")
        with gr.Row(elem_classes="wall-row"):
            self.wall = widgets.wall("wall")
        with gr.Row(elem_classes="wall-controls"):
            self.back = gr.Button("‹ Earlier", size="sm", min_width=70, elem_id="wall-back")
            self.more = gr.Button("More shoes ›", size="sm", min_width=70, elem_id="wall-more")
            self.psi = gr.Slider(
                0.2,
                1.0,
                value=PSI,
                step=0.1,
                label="How varied",
                buttons=[],
                elem_id="wall-psi",
                min_width=200,
            )
        self.says = widgets.says("wall-says")
        self.editor = Editor(studio, "shoes", work)

        @guarded(self.says)
        def turn(work: Work, psi: float, step: int) -> dict[Any, Any]:
            with need(work).lock:
                work.first_seed = min(MOST, max(0, work.first_seed + step))
            return {self.wall: self.tiles(work, psi)}

        inputs = [work, self.psi]
        outputs = [self.wall, self.says]
        for button, step in ((self.back, -COUNT), (self.more, COUNT)):
            button.click(
                lambda work, psi, step=step: turn(work, psi, step),
                inputs,
                outputs,
                show_progress="hidden",
                **EVENT,
            )
        self.psi.input(
            lambda work, psi: turn(work, psi, 0), inputs, outputs, show_progress="hidden",
            trigger_mode="always_last", **EVENT,
        )  # fmt: skip

        @guarded(self.says)
        def pick(work: Work, psi: float, view: str, scale: str, event: gr.EventData) -> dict[Any, Any]:
            with need(work).lock:
                seed = work.first_seed + min(COUNT - 1, max(0, int(event.index)))
                bench = work.benches["shoes"]
                bench.put(studio.model.sample(seed, float(psi)))
                return {self.wall: self.tiles(work, psi), **self.editor.show(bench, view, scale)}

        self.wall.click(
            pick, [*inputs, self.editor.view, self.editor.scale], [*outputs, *self.editor.outputs],
            show_progress="hidden", **EVENT,
        )  # fmt: skip

    def tiles(self, work: Work, psi: float) -> str:
        """The wall as it stands."""
        start = work.benches["shoes"].start
        is_here = start is not None and start.source["psi"] == psi
        chosen = start.source["seed"] if start is not None and is_here else None
        return first_wall(self._studio, work.first_seed, float(psi), chosen=chosen)
