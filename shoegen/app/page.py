"""The page, of its tabs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
from gradio_client.utils import traverse

from shoegen.app.editor import EACH, SETTLE
from shoegen.app.first_wall import COUNT
from shoegen.app.options import Options
from shoegen.app.paint_tab import PaintTab
from shoegen.app.photograph_tab import WAITING, PhotographTab
from shoegen.app.shoes_tab import ShoesTab
from shoegen.app.studio import Studio
from shoegen.app.swap_tab import SwapTab
from shoegen.app.words import remark
from shoegen.app.work import KEPT, Works
from shoegen.data.labels import SHOE_PARTS

STYLE = Path(__file__).parent / "page.css"
ANSWERS = Path(__file__).parent / "answers.js"
FETCH_KEY = """
() => {
  const pick = sessionStorage.getItem('shoegen-pick') ?? '';
  sessionStorage.removeItem('shoegen-pick');
  return [sessionStorage.getItem('shoegen') ?? '', pick];
}
"""
KEEP_KEY = "(key) => { sessionStorage.setItem('shoegen', key); }"


class Page(gr.Blocks):
    """Blocks that take no files from anyone, and leave it to who takes a slider's number whether it will do.

    What a visitor hands in comes inside a value. Gradio's own way is a path or URL that the visitor names and the
    server opens, wherever it is asked for a value. Of a number beyond a slider's ends Gradio says "Error" in all
    places at once, and leaves it where it is.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, *others: Any, **named: Any
    ) -> Any:
        def refuse(file: Any) -> Any:
            raise gr.Error("This page takes no files in this way.", print_exception=False)

        traverse(inputs, refuse, lambda value: isinstance(value, dict) and "path" in value)
        self.validate_inputs(block_fn, inputs)
        sliders = [isinstance(block, gr.Slider) for block in block_fn.inputs]
        harmless = [
            (state[block._id] if state and block._id in state else block).minimum if is_slider else value
            for block, value, is_slider in zip(block_fn.inputs, inputs, sliders, strict=True)
        ]
        taken = await super().preprocess_data(block_fn, harmless, state, *others, **named)
        return [
            value if is_slider else each
            for each, value, is_slider in zip(taken, inputs, sliders, strict=True)
        ]


def build(options: Options | None = None, *, studio: Studio | None = None) -> gr.Blocks:
    """The page as a Gradio application, which `shoegen.app.server` serves with its limits.

    Args:
        options: which models, and on what device.
        studio: the models, where they are open already.

    Raises:
        FileFormatError: no such model.
        ConfigError: no such device.
    """
    studio = studio or Studio(options)
    works = Works(studio)
    with Page(title="shoegen", analytics_enabled=False) as page:
        work = gr.State(None, time_to_live=24 * 3600)
        key = gr.Textbox("", visible="hidden", container=False)
        picked = gr.Textbox("", visible="hidden", container=False)  # while the page was being opened
        gr.HTML("<h1 class='brand'>shoegen</h1>")
        for name, reason in studio.left_out.items():
            gr.HTML(remark(f"The direction {name} is left out: {reason}"))
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Shoes", id="shoes"):
                shoes = ShoesTab(studio, work)
            with gr.Tab("Photograph", id="photograph"):
                photograph = PhotographTab(studio, work)
            with gr.Tab("Paint", id="paint") as paint_tab:
                paint = PaintTab(studio, work, SHOE_PARTS)
            with gr.Tab("Swap", id="swap"):
                swap = SwapTab(studio, work)

        # Examples are drawn when someone looks at them.
        paint_tab.select(paint.tiles, None, [paint.examples], show_progress="hidden", **EACH)

        def restore(found: str, pick: str) -> dict[Any, Any]:
            mine = works.find(found or "")
            with mine.lock:
                if pick and pick.isdecimal() and int(pick) < COUNT and mine.benches["shoes"].shoe is None:
                    mine.benches["shoes"].put(studio.shoe(int(pick)))
                outputs: dict[Any, Any] = {work: mine, key: mine.key, **shoes.restore(mine)}
                for tab in (shoes, photograph):
                    outputs |= tab.editor.restore(mine.benches[tab.editor.name])
                outputs |= photograph.show(mine)
                if mine.drawing is not None:
                    outputs |= paint.restore(mine)
                return outputs | swap.show(mine)

        outputs = [
            work, key, *shoes.restored, *shoes.editor.restored, *photograph.outputs,
            *photograph.editor.restored, *paint.outputs, *swap.outputs,
        ]  # fmt: skip
        loaded = page.load(restore, [key, picked], outputs, js=FETCH_KEY, show_progress="hidden", **EACH)
        loaded.success(None, [key], None, js=KEEP_KEY)
        # What the page before did not wait for.
        for tab in (shoes, photograph):
            loaded.then(tab.editor.resume, [work], tab.editor.outputs, **SETTLE)
        loaded.then(photograph.await_search, [work], photograph.found, **WAITING)
    page.queue(default_concurrency_limit=4, max_size=200)
    page.state_session_capacity = KEPT
    return page
