"""The tab Shoes: a wall of samples, and the one that is picked on the bench."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from shoegen.app import widgets
from shoegen.app.editor import EACH, LAST, Editor
from shoegen.app.first_wall import COUNT, first_wall
from shoegen.app.studio import PSI, Studio
from shoegen.app.uploads import drop, take_file
from shoegen.app.widgets import guarded, need, number, picked
from shoegen.app.work import Work
from shoegen.editing import load_shoe
from shoegen.errors import FileFormatError

MOST = 2**31 - COUNT  # of seeds


class ShoesTab:
    """Attributes: wall, editor; `tiles` gives what the wall shows a visitor."""

    def __init__(self, studio: Studio, work: gr.State) -> None:
        self._studio = studio
        gr.HTML("<p class='lead'>Pick a shoe, then move its sliders.</p>")
        with gr.Row(elem_classes="wall-row"):
            self.wall = widgets.wall("wall")
        with gr.Row(elem_classes="wall-controls"):
            self.back = gr.Button(
                "‹ Earlier", size="sm", min_width=70, elem_id="wall-back", interactive=False
            )
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
            self.kind = gr.Dropdown(
                list(range(max(1, studio.classes))), value=0, label="Kind of shoe", visible=bool(studio.classes),
                elem_id="wall-kind",
            )  # fmt: skip
            saved = drop("A saved latent", "shoes-file", studio.options)
        self.says = widgets.says("wall-says")
        self.editor = Editor(studio, "shoes", work)

        @guarded(self.says)
        def turn(work: Work, psi: float, kind: int, step: int) -> dict[Any, Any]:
            with need(work).lock:
                work.first_seed = min(MOST, max(0, work.first_seed + step))
                work.psi, work.kind = min(1.0, max(0.2, number(psi, PSI))), int(kind)
                # What was typed may be none.
                return self._wall(work) | ({} if work.psi == psi else {self.psi: work.psi})

        inputs = [work, self.psi, self.kind]
        outputs = [self.wall, self.back, self.psi, self.says]
        for button, step in ((self.back, -COUNT), (self.more, COUNT)):
            button.click(
                lambda work, psi, kind, step=step: turn(work, psi, kind, step),
                inputs,
                outputs,
                show_progress="hidden",
                **EACH,
            )
        for event in (self.psi.input, self.kind.input):
            event(
                lambda work, psi, kind: turn(work, psi, kind, 0), inputs, outputs, show_progress="hidden", **LAST,
            )  # fmt: skip

        @guarded(self.says)
        def pick(work: Work, event: gr.EventData) -> dict[Any, Any]:
            with need(work).lock:
                seed = work.first_seed + picked(event, COUNT)
                bench = work.benches["shoes"]
                bench.put(studio.shoe(seed, work.psi, work.kind))
                return {self.wall: self.tiles(work), **self.editor.show(bench)}

        self.wall.click(
            pick, [work], [*outputs, *self.editor.outputs],
            show_progress="hidden", **EACH,
        )  # fmt: skip

        @guarded(self.says)
        def take_up(work: Work, file: Any) -> dict[Any, Any]:
            content, name = take_file(file, studio.options)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "shoe.safetensors"
                path.write_bytes(content)
                try:
                    shoe = load_shoe(path, studio.model)
                    _ = shoe.measures
                except FileFormatError as error:
                    raise FileFormatError(str(error).replace(str(path), name)) from error
            with need(work).lock:
                work.benches["shoes"].put(shoe)
                return {saved: None, **self._wall(work), **self.editor.show(work.benches["shoes"])}

        saved.upload(
            take_up, [work, saved], [saved, *outputs, *self.editor.outputs],
            show_progress="hidden", **EACH,
        )  # fmt: skip

        @guarded(self.says)
        def mark(work: Work) -> dict[Any, Any]:
            with need(work).lock:
                return self._wall(work)

        for step in self.editor.steps:
            step.then(mark, [work], [self.wall, self.back, self.says], show_progress="hidden", **LAST)

    def restore(self, work: Work) -> dict[Any, Any]:
        """The wall after the page was loaded anew."""
        return {**self._wall(work), self.psi: work.psi, self.kind: work.kind}

    @property
    def restored(self) -> list[Any]:
        return [self.wall, self.back, self.psi, self.kind]

    def _wall(self, work: Work) -> dict[Any, Any]:
        return {self.wall: self.tiles(work), self.back: gr.update(interactive=work.first_seed > 0)}

    def tiles(self, work: Work) -> str:
        """The wall as it stands."""
        start = work.benches["shoes"].start
        source = start.source if start is not None else {}
        is_here = source.get("psi") == work.psi and source.get("class", 0) == work.kind
        chosen = source["seed"] if is_here else None
        return first_wall(self._studio, work.first_seed, work.psi, work.kind, chosen=chosen)
