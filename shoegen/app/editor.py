"""A shoe and its sliders; the same on the tabs Shoes and Photograph."""

from __future__ import annotations

import html
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from shoegen.app import pictures, widgets
from shoegen.app.bench import MEASURED, SIGMA, Bench
from shoegen.app.studio import Studio
from shoegen.app.widgets import guarded, need, number
from shoegen.app.words import name_of, refusal, remark, sentence
from shoegen.app.work import Work
from shoegen.data.images import encode_png
from shoegen.directions.direction import Direction
from shoegen.editing import Shoe
from shoegen.editing.aiming import say_miss
from shoegen.errors import ConfigError, ShoegenError
from shoegen.measure import ATTRIBUTES, parse_shoe_length

SHOE, COMPARE, WIPE, PARTS, CHANGES, IN_PHOTO = (
    "Shoe", "Before | after", "Wipe", "Parts", "What changed", "In the photograph",
)  # fmt: skip
SCALES = {"Measured (mm)": MEASURED, "Strength (σ)": SIGMA}
REST = 0.25  # seconds that a slider is left alone before the rest of the shoe is held
_EMPTY = {"shoes": "Pick a shoe first.", "photograph": "The shoe of your photograph appears here."}
# Gradio leaves a click alone that comes while the last one is at work: here each counts, or the last.
EACH: dict[str, Any] = {"concurrency_id": "edit", "api_visibility": "private", "trigger_mode": "multiple"}
LAST = EACH | {"trigger_mode": "always_last"}
SETTLE = LAST | {"concurrency_id": "settle", "concurrency_limit": 2, "show_progress": "hidden"}


@dataclass
class Editor:
    """The components of one editor. outputs: all that an edit changes."""

    studio: Studio
    name: str  # of the bench
    work: gr.State
    stage: gr.HTML = field(init=False)
    view: gr.Radio = field(init=False)
    story: gr.HTML = field(init=False)
    says: gr.HTML = field(init=False)
    scale: gr.Radio = field(init=False)
    keep: gr.Dropdown = field(init=False)
    hold: gr.Checkbox = field(init=False)
    length: gr.Textbox = field(init=False)
    undo: gr.Button = field(init=False)
    redo: gr.Button = field(init=False)
    reset: gr.Button = field(init=False)
    sliders: dict[str, gr.Slider] = field(default_factory=dict)
    readings: dict[str, gr.HTML] = field(default_factory=dict)
    refusals: dict[str, gr.HTML] = field(default_factory=dict)
    steps: list[Any] = field(default_factory=list)  # events that bring back another shoe

    def __post_init__(self) -> None:
        views = [SHOE, COMPARE, WIPE, PARTS, CHANGES] + [IN_PHOTO] * (self.name == "photograph")
        with gr.Row(elem_classes="editor"):
            with gr.Column(scale=5, min_width=320):
                self.stage = gr.HTML(
                    f'<div class="empty">{_EMPTY[self.name]}</div>',
                    elem_id=f"{self.name}-stage",
                    elem_classes="stage",
                    apply_default_css=False,
                )
                self.view = gr.Radio(
                    views, value=SHOE, show_label=False, container=False, elem_id=f"{self.name}-view"
                )
                self.story = gr.HTML("", elem_id=f"{self.name}-story", elem_classes="story")
            with gr.Column(scale=6, min_width=360):
                self._controls()
        self._wire()

    def _controls(self) -> None:
        with gr.Row():
            self.undo = gr.Button(
                "Undo", interactive=False, size="sm", min_width=70, elem_id=f"{self.name}-undo"
            )
            self.redo = gr.Button(
                "Redo", interactive=False, size="sm", min_width=70, elem_id=f"{self.name}-redo"
            )
            self.reset = gr.Button(
                "Reset", interactive=False, size="sm", min_width=70, elem_id=f"{self.name}-reset"
            )
        self.scale = gr.Radio(
            list(SCALES), value=next(iter(SCALES)), label="Sliders show", elem_id=f"{self.name}-scale"
        )
        for name, direction in self.studio.directions.items():
            with gr.Column(elem_classes="direction"):
                with gr.Row(equal_height=True):
                    self.sliders[name] = gr.Slider(
                        0, 1, value=0, step=0.1, label=name_of(direction.attribute), interactive=False,
                        elem_id=f"{self.name}-slider-{name}", buttons=[], scale=5, min_width=200,
                    )  # fmt: skip
                    with gr.Column(scale=3, min_width=150):
                        self.readings[name] = gr.HTML(
                            "", elem_id=f"{self.name}-reading-{name}", elem_classes="reading",
                            apply_default_css=False,
                        )  # fmt: skip
                self.refusals[name] = widgets.says(f"{self.name}-refusal-{name}")
        if not self.studio.directions:
            gr.HTML(
                refusal("This model has no directions yet, so there are no sliders. An engineer adds them with "
                        "shoegen fit-direction.")
            )  # fmt: skip
        with gr.Accordion("More", open=False):
            self.hold = gr.Checkbox(
                True, label="Hold the rest of the shoe", elem_id=f"{self.name}-hold",
                info="When a slider rests, the shoe is found again with nothing else changed, as far as that can be.",
            )  # fmt: skip
            self.keep = gr.Dropdown(
                self._keepable(), multiselect=True, value=[], label="Hold these by measuring too",
                info="What moves one thing may move others a little; those named here are brought back.",
                elem_id=f"{self.name}-keep",
            )  # fmt: skip
            self.length = gr.Textbox(
                "265 mm", label="Length of the shoe", info="Heel to toe; millimetres are reckoned with it.",
                elem_id=f"{self.name}-length",
            )  # fmt: skip
        self.says = widgets.says(f"{self.name}-says")
        with gr.Row(elem_classes="exports"):
            for label, what, handler in (
                ("Picture", "png", self._export_png),
                ("Latent", "latent", self._export_latent),
                ("Report (JSON)", "report", self._export_report),
                ("Report (PNG)", "report-png", self._export_report_png),
                *([("Photograph", "photo", self._export_photo)] if self.name == "photograph" else []),
            ):
                widgets.export(f"⤓ {label}", handler, [self.work], self.says, f"{self.name}-export-{what}")

    def _keepable(self) -> list[tuple[str, str]]:
        names = {name for each in self.studio.directions.values() for name in each.gradients}
        return [(name_of(name), name) for name in sorted(names) if name in ATTRIBUTES]

    @property
    def outputs(self) -> list[Any]:
        return [
            self.stage, self.story, self.says, self.undo, self.redo, self.reset, *self.sliders.values(),
            *self.readings.values(), *self.refusals.values(),
        ]  # fmt: skip

    # ---- what is shown ----

    def show(self, bench: Bench, *, dragged: str | None = None, refused: str = "") -> dict[Any, Any]:
        """All outputs for the bench as it is; the slider that is dragged is left to the hand that drags it.

        Where its drag was `refused`, it goes back, and says why.
        """
        start, shoe = bench.need()
        outputs: dict[Any, Any] = {
            self.stage: self._stage(bench),
            self.story: self._story(bench),
            self.undo: gr.update(interactive=bench.can_undo),
            self.redo: gr.update(interactive=bench.can_redo),
            self.reset: gr.update(interactive=shoe is not start),
        }
        for name, direction in self.studio.directions.items():
            outputs[self.readings[name]] = self._reading(bench, direction)
            outputs[self.refusals[name]] = (
                refused if refused and name == dragged else self._missed(bench, name)
            )
            if name != dragged or refused:
                outputs[self.sliders[name]] = self._slider(bench, direction)
        return outputs

    def restore(self, bench: Bench) -> dict[Any, Any]:
        """What the page shows of the bench, and how, after it was loaded anew."""
        scales = {scale: label for label, scale in SCALES.items()}
        settings = {
            self.view: bench.view or SHOE,
            self.scale: scales[bench.scale],
            self.length: f"{bench.shoe_length:g} mm",
            self.hold: bench.hold,
            self.keep: list(bench.keep),
        }
        return settings if bench.shoe is None else settings | self.show(bench)

    @property
    def restored(self) -> list[Any]:
        return [*self.outputs, self.view, self.scale, self.length, self.hold, self.keep]

    def _slider(self, bench: Bench, direction: Direction) -> Any:
        scale = bench.scale
        value, (low, high) = bench.position(direction, scale), bench.limits(direction, scale)
        if not math.isfinite(value):
            return gr.update(interactive=False)
        step = 0.1 if scale == SIGMA else 1 if direction.unit == "shoe length" else _nice((high - low) / 100)
        low, high = math.floor(min(low, value) / step) * step, math.ceil(max(high, value) / step) * step
        return gr.update(
            minimum=round(low, 6), maximum=round(high, 6), step=step, value=round(round(value / step) * step, 6),
            interactive=True,
        )  # fmt: skip

    def _reading(self, bench: Bench, direction: Direction) -> str:
        """ "79 mm", and smaller "+20 mm, +0.6 σ; was 59 mm"."""
        reading = bench.reading(direction)
        if not math.isfinite(reading.now):
            return f"<b>not measured</b> <span>{html.escape(reading.reason)}</span>"
        text = f'<b class="now">{_number(reading.now, reading.unit)}</b>'
        if not math.isfinite(reading.before):
            return f"{text}<span>not measured before</span>"
        if abs(reading.now - reading.before) < 1e-9:
            return text
        digits = _digits(reading.unit)
        step = round(reading.now, digits) - round(reading.before, digits)  # of the numbers that are shown
        change = _number(step, reading.unit, signed=True)
        sigmas, before = _number(reading.sigmas, "σ", signed=True), _number(reading.before, reading.unit)
        return f"{text}<span>{change}, {sigmas}; was {before}</span>"

    def _story(self, bench: Bench) -> str:
        """ "seed 7 › heel to 80mm"."""
        start, shoe = bench.need()
        edits = shoe.history[len(start.history) :][-6:]
        texts = [f"<b>{html.escape(start.title)}</b>", *(html.escape(edit.title) for edit in edits)]
        waits = " <i>the rest is being held …</i>" if bench.unsettled else ""
        return " › ".join(texts) + waits

    def _stage(self, bench: Bench) -> str:
        (start, shoe), view = bench.need(), bench.view
        if view == COMPARE:
            return pictures.side_by_side(
                [pictures.figure(start.rgb, "before"), pictures.figure(shoe.rgb, "after")]
            )
        if view == WIPE:
            return pictures.wipe(start.rgb, shoe.rgb)
        if view == PARTS:
            return pictures.parts(shoe.rgb, shoe.part_map, self.studio.model.segmenter.labels)
        if view == CHANGES:
            report = shoe.report(start, shoe_length=bench.shoe_length)
            return pictures.figure(report.image, alt="what changed", side=900)
        if view == IN_PHOTO:
            return pictures.figure(shoe.in_photo, alt="the shoe in the photograph", side=900)
        return pictures.figure(shoe.rgb, alt=shoe.title)

    def _missed(self, bench: Bench, name: str) -> str:
        """That the slider's last move did not come as far as it was asked to."""
        start, shoe = bench.need()
        last = shoe.history[-1] if len(shoe.history) > len(start.history) else None
        if last is None or last.attribute != self.studio.directions[name].attribute:
            return ""
        missed = say_miss(last, self.studio.model.sigmas)
        return remark(sentence(ShoegenError(missed))) if missed else ""

    # ---- what happens ----

    def _wire(self) -> None:
        inputs = [self.work]
        outputs = self.outputs

        @guarded(self.says)
        def rescale(work: Work, scale: str) -> dict[Any, Any]:
            with need(work).lock:
                bench = work.benches[self.name]
                bench.scale = SCALES[scale]
                return {} if bench.shoe is None else self.show(bench)

        self.scale.input(rescale, [*inputs, self.scale], outputs, show_progress="hidden", **LAST)

        @guarded(self.says)
        def set_rest(work: Work, hold: bool, keep: list[str]) -> dict[Any, Any]:
            with need(work).lock:
                bench = work.benches[self.name]
                bench.hold, bench.keep = bool(hold), tuple(keep or ())
            return {}

        for setting in (self.hold, self.keep):
            setting.input(
                set_rest, [*inputs, self.hold, self.keep], [self.says], show_progress="hidden", **LAST
            )

        @guarded(self.says)
        def look(work: Work, view: str) -> dict[Any, Any]:
            with need(work).lock:
                bench = work.benches[self.name]
                bench.view = view
                return {} if bench.shoe is None else {self.stage: self._stage(bench)}

        self.view.input(look, [*inputs, self.view], [self.stage, self.says], show_progress="hidden", **LAST)

        def step(name: str) -> Callable[..., Any]:
            @guarded(self.says)
            def run(work: Work) -> dict[Any, Any]:
                with need(work).lock:
                    bench = work.benches[self.name]
                    getattr(bench, name)()
                    return self.show(bench)

            return run

        for button, name in ((self.undo, "undo"), (self.redo, "redo"), (self.reset, "reset")):
            stepped = button.click(step(name), inputs, outputs, show_progress="hidden", **EACH)
            stepped.then(self.settle, inputs, outputs, **SETTLE)
            self.steps.append(stepped)

        def drag(name: str) -> Callable[..., Any]:
            @guarded(self.says)
            def run(work: Work, scale: str, value: Any) -> dict[Any, Any]:
                with need(work).lock:
                    bench, refused = work.benches[self.name], ""
                    wanted = number(value, math.nan)
                    # Of the scale before, or an empty field.
                    if SCALES[scale] != bench.scale or math.isnan(wanted):
                        return self.show(bench)
                    try:
                        bench.drag(name, wanted, bench.scale, bench.keep, hold=bench.hold)
                    except ConfigError as error:  # said beside the slider, which has the name
                        refused = refusal(ConfigError(str(error).removeprefix(f"{name}: ")))
                    except Exception as error:
                        refused = refusal(error)
                    return self.show(bench, dragged=name, refused=refused)

            return run

        for name, slider in self.sliders.items():
            slider.input(
                drag(name), [*inputs, self.scale, slider], outputs, show_progress="hidden",
                **LAST,
            ).then(
                self.settle, inputs, outputs, **SETTLE,
            )  # fmt: skip

        @guarded(self.says)
        def set_length(work: Work, text: str) -> dict[Any, Any]:
            with need(work).lock:
                bench = work.benches[self.name]
                bench.shoe_length = parse_shoe_length(text, "Length of the shoe")
                return {} if bench.shoe is None else self.show(bench)

        for event in (self.length.submit, self.length.blur):
            event(set_length, [*inputs, self.length], outputs, show_progress="hidden", **EACH)

    def resume(self, work: Work | None) -> dict[Any, Any]:
        """What the page before did not wait for, or has done since this one was shown the bench."""
        nothing = self.settle(work)
        if work is None or work.benches[self.name].shoe is None:
            return nothing
        with work.lock:
            return self.show(work.benches[self.name])

    def settle(self, work: Work | None) -> dict[Any, Any]:
        """Holds the rest of the shoe where a slider has come to rest, if that is still to be done."""
        if work is None:
            return {self.story: gr.skip()}
        bench = work.benches[self.name]
        entry = bench.unsettled
        if entry is None or entry.drag is None:
            return {self.story: gr.skip()}
        name = entry.drag.slider

        def show(refused: str = "") -> dict[Any, Any]:
            shown = self.show(bench, dragged=name, refused=refused)
            for other in self.refusals.keys() - {name}:
                del shown[self.refusals[other]]  # said since then, of another slider
            return shown

        time.sleep(REST)
        if bench.unsettled is not entry:  # it is dragged on, or the page before has done it
            with work.lock:
                return show()
        try:
            held, refused = bench.held(entry), ""
        except Exception as error:
            held, refused = bench.left_straight(entry), refusal(error)
        with work.lock:
            if not bench.settle(entry, held):
                return show()
            shown = show(refused)
            if refused:
                return shown
            if bench.scale == entry.drag.scale:  # what was asked for, which what is measured comes close to
                return {**shown, self.sliders[name]: gr.update(value=entry.drag.value)}
            return {**shown, self.sliders[name]: self._slider(bench, self.studio.directions[name])}

    # ---- files ----

    def _pair(self, work: Work) -> tuple[Bench, Shoe, Shoe]:
        with need(work).lock:
            bench = work.benches[self.name]
            return bench, *bench.need()

    def _export_png(self, work: Work) -> tuple[str, bytes, str]:
        return "shoe.png", encode_png(self._pair(work)[2].image), "image/png"

    def _export_photo(self, work: Work) -> tuple[str, bytes, str]:
        return "photograph.png", encode_png(self._pair(work)[2].in_photo), "image/png"

    def _export_latent(self, work: Work) -> tuple[str, bytes, str]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "shoe.safetensors"
            self._pair(work)[2].save_latent(path)
            return path.name, path.read_bytes(), "application/octet-stream"

    def _export_report(self, work: Work) -> tuple[str, bytes, str]:
        bench, start, shoe = self._pair(work)
        figures = shoe.report(start, shoe_length=bench.shoe_length).figures()
        return "report.json", (json.dumps(figures, indent=2) + "\n").encode(), "application/json"

    def _export_report_png(self, work: Work) -> tuple[str, bytes, str]:
        bench, start, shoe = self._pair(work)
        report = shoe.report(start, shoe_length=bench.shoe_length)
        return "report.png", encode_png(report.image), "image/png"


def _nice(step: float) -> float:
    """1, 2 or 5 times a power of ten, near `step`."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(power * each for each in (1, 2, 5, 10) if power * each >= step * 0.99)


def _number(value: float, unit: str, *, signed: bool = False) -> str:
    """ "79 mm", "+0.6 σ", "0.31" of a share or colour, whose units tell a designer nothing; with a minus sign."""
    sign = "+" if signed else ""
    shown = f" {unit}" if unit in ("mm", "σ") else ""
    return f"{value:{sign}z.{_digits(unit)}f}{shown}".replace("-", "−")


def _digits(unit: str) -> int:
    """That are shown behind the point."""
    return {"mm": 0, "σ": 1, "CIELAB": 1}.get(unit, 2)
