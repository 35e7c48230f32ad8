"""The tab Paint: a part map under a brush, and the shoe that SPADE makes of it."""

from __future__ import annotations

import base64
import binascii
import html
import math
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from shoegen.app import pictures, widgets
from shoegen.app.editor import EACH, LAST
from shoegen.app.studio import Studio
from shoegen.app.uploads import drop, take_map, take_picture
from shoegen.app.widgets import guarded, need, picked
from shoegen.app.words import name_of, remark
from shoegen.app.work import Work
from shoegen.data.annotations.pngs import decode_colors
from shoegen.data.images import encode_part_map, encode_png, fit_part_map
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError
from shoegen.measure import ATTRIBUTES, format_measure, measure

EMPTY = '<div class="empty">What you draw appears here as a shoe.</div>'
SIDE = 256  # pixels of the canvas, as in canvas.js
STYLES = 8
EXAMPLES = 8
SEED = 2024  # of the drawn examples
MEASURED = ("heel_height", "sole_thickness", "shaft_height", "rear_height")


def canvas(labels: LabelMap) -> gr.HTML:
    """A part map to draw on; its value: a PNG's URL, of the classes' colours."""
    parts = "".join(
        f'<button type="button" data-part="{i}" aria-pressed="{str(i == 3).lower()}">'
        f'<b style="background:rgb{color}"></b>{html.escape(name) if i else "erase"}</button>'
        for i, (name, color) in enumerate(zip(labels.names, labels.colors, strict=True))
    )
    tools = "".join(
        f'<button type="button" data-tool="{tool}" aria-pressed="{pressed}">{text}</button>'
        for tool, text, pressed in (("brush", "Brush", "true"), ("fill", "Fill an area", "false"))
    ) + "".join(
        f'<button type="button" data-tool="{tool}">{text}</button>'
        for tool, text in (("undo", "Undo"), ("redo", "Redo"), ("clear", "Clear"))
    )
    template = (
        f'<div class="palette" role="toolbar" aria-label="parts">{parts}</div>'
        f'<div class="palette" role="toolbar" aria-label="tools">{tools}'
        '<label>Brush size <input class="brush-size" type="range" min="2" max="60" value="18"></label></div>'
        f'<canvas width="{SIDE}" height="{SIDE}" aria-label="part map" data-colors="{list(map(list, labels.colors))}">'
        "</canvas>"
    )
    return gr.HTML(
        "",
        html_template=template,
        js_on_load=(Path(__file__).parent / "canvas.js").read_text(),
        elem_id="canvas",
        elem_classes="canvas",
        apply_default_css=False,
    )


class PaintTab:
    """Attributes: canvas, painted, styles; `show` gives what a visitor's drawing looks like."""

    def __init__(self, studio: Studio, work: gr.State, labels: LabelMap) -> None:
        self._studio, self._labels = studio, labels
        gr.HTML("<p class='lead'>Draw the parts of a shoe from the side, its toe to the left.</p>")
        with gr.Row():
            with gr.Column(scale=5, min_width=340):
                self.canvas = canvas(labels)
                self.says = widgets.says("paint-says")
                gr.HTML("<p class='lead'>Or start with one of these</p>")
                self.examples = widgets.wall("examples")
                with gr.Row():
                    mine = gr.Button("The shoe on my bench", size="sm", elem_id="paint-mine")
                    given = drop("A part map (PNG)", "paint-map", studio.options)
            with gr.Column(scale=5, min_width=340):
                self.painted = gr.HTML(
                    EMPTY,
                    elem_id="painted", elem_classes="stage", apply_default_css=False,
                )  # fmt: skip
                self.measured = gr.HTML("", elem_id="paint-measured", elem_classes="reading")
                gr.HTML(
                    "<p class='lead'>Style: pick one, or give a picture whose colours and material it takes</p>"
                )
                self.styles = widgets.wall("styles")
                with gr.Row():
                    others = gr.Button("Other styles", size="sm", elem_id="styles-more")
                    style = drop("A picture of a shoe", "paint-style", studio.options)
                self.style_says = widgets.says("style-says")
                with gr.Row(elem_classes="exports"):
                    widgets.export("⤓ Picture", self._export_picture, [work], self.says, "paint-export-png")
                    widgets.export("⤓ Part map", self._export_map, [work], self.says, "paint-export-map")

        shown = [self.painted, self.measured, self.styles, self.says]
        self.outputs = [self.canvas, *shown, self.style_says]

        @guarded(self.says)
        def draw(work: Work, url: str) -> dict[Any, Any]:
            part_map = self._decode(url)
            with need(work).lock:
                work.drawing = part_map
                return self.show(work)

        self.canvas.input(draw, [work, self.canvas], shown, show_progress="hidden", **LAST)

        def start_with(work: Work, part_map: np.ndarray) -> dict[Any, Any]:
            with need(work).lock:
                work.drawing = fit_part_map(part_map, (SIDE, SIDE), "pad")
                return {self.canvas: self.url(work), **self.show(work)}

        @guarded(self.says)
        def example(work: Work, event: gr.EventData) -> dict[Any, Any]:
            return start_with(work, self._example(picked(event, EXAMPLES)))

        @guarded(self.says)
        def from_bench(work: Work) -> dict[Any, Any]:
            _, shoe = need(work).benches["shoes"].need()
            if studio.model.segmenter.labels.names != labels.names:
                raise ConfigError("the painter knows other parts than the shoe on the bench has")
            return start_with(work, shoe.part_map)

        @guarded(self.says)
        def from_file(work: Work, file: Any) -> dict[Any, Any]:
            part_map = take_map(file, labels, studio.options)
            return {given: None, **start_with(work, part_map)}

        self.examples.click(example, [work], [self.canvas, *shown], show_progress="hidden", **EACH)
        mine.click(from_bench, [work], [self.canvas, *shown], show_progress="hidden", **EACH)
        given.upload(from_file, [work, given], [given, self.canvas, *shown], show_progress="hidden", **EACH)

        styled = [self.painted, self.measured, self.styles, self.style_says]

        @guarded(self.style_says)
        def pick_style(work: Work, event: gr.EventData) -> dict[Any, Any]:
            with need(work).lock:
                work.style_seed = work.first_style + picked(event, STYLES)
                work.style_picture = None
                return self.show(work)

        @guarded(self.style_says)
        def other_styles(work: Work) -> dict[Any, Any]:
            with need(work).lock:
                work.first_style += STYLES
                return self.show(work)

        @guarded(self.style_says)
        def style_of(work: Work, file: Any) -> dict[Any, Any]:
            from shoegen.spade.painting import check_style

            picture, name = take_picture(file, studio.options)
            check_style(studio.painter, picture, name)
            with need(work).lock:
                work.style_picture, work.style_name = picture, name
                return {style: None, **self.show(work), self.style_says: self._style(work)}

        self.styles.click(pick_style, [work], styled, show_progress="hidden", **EACH)
        others.click(other_styles, [work], styled, show_progress="hidden", **EACH)
        style.upload(style_of, [work, style], [style, *styled], show_progress="minimal", **EACH)

    def show(self, work: Work) -> dict[Any, Any]:
        """The painting, its measures, and the drawing in other styles."""
        part_map = work.drawing
        if part_map is None or not part_map.any():
            work.painted = None
            return {self.painted: EMPTY, self.measured: "", self.styles: ""}
        painter = self._studio.painter
        seeds = list(range(work.first_style, work.first_style + STYLES)) if painter.config.z_dim else []
        if work.style_picture is not None:
            work.painted = painter.paint(part_map, work.style_picture)
        else:
            work.painted = painter.paint(part_map, style_seed=work.style_seed if seeds else None)
        tiles = (
            (pictures.picture_url(painter.paint(part_map, style_seed=seed), pictures.SMALL), f"style {seed}")
            for seed in seeds
        )
        chosen = work.style_seed - work.first_style if work.style_picture is None else None
        return {
            self.painted: pictures.figure(work.painted, alt="the painted shoe"),
            self.measured: self._measures(part_map),
            self.styles: pictures.tiles(tiles, chosen=chosen),
        }

    def restore(self, work: Work) -> dict[Any, Any]:
        """The drawing and its painting after the page was loaded anew."""
        return {self.canvas: self.url(work), **self.show(work), self.style_says: self._style(work)}

    def _style(self, work: Work) -> str:
        return remark(f"In the style of {work.style_name}.") if work.style_picture is not None else ""

    def url(self, work: Work) -> str:
        """The drawing, for the canvas."""
        if work.drawing is None:
            return ""
        return pictures.png_url(self._labels.colorize(work.drawing))

    def tiles(self) -> str:
        """The examples to start with."""
        maps = (self._labels.colorize(self._example(i)) for i in range(EXAMPLES))
        return pictures.tiles(
            (pictures.png_url(pictures.fit(each, pictures.SMALL)), str(i + 1)) for i, each in enumerate(maps)
        )

    def _example(self, index: int) -> np.ndarray:
        from shoegen.data.synthetic import render_shoe, sample_parameters

        return render_shoe(sample_parameters(SEED, index), SIDE).part_map

    def _decode(self, url: str) -> np.ndarray:
        """(SIDE, SIDE) uint8, of what the canvas says."""
        try:
            content = base64.b64decode(url.removeprefix("data:image/png;base64,"), validate=True)
            part_map = decode_colors(content, self._labels)
        except (AttributeError, binascii.Error, ValueError) as error:
            raise DataError("the drawing did not arrive whole; draw on, and it is sent again") from error
        if part_map.shape != (SIDE, SIDE):
            raise DataError("the drawing did not arrive whole; draw on, and it is sent again")
        return part_map

    def _measures(self, part_map: np.ndarray) -> str:
        found = measure(part_map, self._labels)
        texts = [
            f"{name_of(name)} <b>{html.escape(format_measure(name, found[name]))}</b>"
            for name in MEASURED
            if name in ATTRIBUTES and not math.isnan(found.get(name, math.nan))
        ]
        return "As drawn, of a shoe of 265 mm: " + ", ".join(texts) if texts else ""

    def _export_picture(self, work: Work) -> tuple[str, bytes, str]:
        painted = need(work).painted
        if painted is None:
            raise ConfigError("there is no painting yet; draw a shoe first")
        return "painted.png", encode_png(painted), "image/png"

    def _export_map(self, work: Work) -> tuple[str, bytes, str]:
        drawing = need(work).drawing
        if drawing is None:
            raise ConfigError("there is no drawing yet; draw a shoe first")
        return "part_map.png", encode_part_map(drawing, self._labels), "image/png"
