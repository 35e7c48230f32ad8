"""The tab Photograph: upload, cut-out, the search for its latent, sliders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import cv2
import gradio as gr
import numpy as np

from shoegen.app import pictures, widgets
from shoegen.app.editor import EACH, LAST, Editor
from shoegen.app.studio import Studio
from shoegen.app.uploads import drop, handed_in, take_picture
from shoegen.app.widgets import guarded, need
from shoegen.app.words import refusal, remark, sentence
from shoegen.app.work import Work
from shoegen.errors import ConfigError, ShoegenError
from shoegen.inversion import Photo
from shoegen.inversion.align import SeveralShoes

QUALITIES = {"Fast": "fast", "Balanced": "balanced", "Best": "best"}
TOES = {"find out": "auto", "left": "no", "right": "yes"}
FAIR = 0.8  # part IoU: below it a reconstruction does not look like its photograph
INK = (230, 90, 20)


class Stopped(ShoegenError):
    """The visitor wants no more of a search."""


class PhotographTab:
    """Attributes: editor; `show` gives what the page shows of a visitor's photograph."""

    def __init__(self, studio: Studio, work: gr.State) -> None:
        self._studio = studio
        gr.HTML(
            "<p class='lead'>A photograph of one shoe from the side, before a plain background, becomes a shoe with "
            "sliders.</p>"
        )
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                self.file = drop("Photograph", "photo-file", studio.options)
                self.says = widgets.says("photo-says")
                self.which = gr.Radio(
                    [], label="Which of the shoes?", visible=False, elem_id="photo-which", interactive=True
                )
                self.toe = gr.Radio(
                    list(TOES),
                    value="find out",
                    label="The toe points",
                    elem_id="photo-toe",
                    interactive=True,
                )
                self.quality = gr.Radio(
                    list(QUALITIES), value="Balanced", label="How well it is to be found",
                    info="Fast takes seconds, Balanced some ten seconds, Best a minute; large models take longer.",
                    elem_id="photo-quality",
                )  # fmt: skip
                with gr.Row():
                    self.find = gr.Button(
                        "Find the shoe",
                        variant="primary",
                        interactive=False,
                        elem_id="photo-find",
                        min_width=120,
                    )
                    stop = gr.Button("Stop", elem_id="photo-stop", min_width=80, scale=0)
            with gr.Column(scale=7, min_width=360):
                self.cut = gr.HTML(
                    '<div class="empty">The cut-out appears here.</div>',
                    elem_id="photo-cut", elem_classes="stage", apply_default_css=False,
                )  # fmt: skip
        self.editor = Editor(studio, "photograph", work)
        self.outputs = shown = [self.cut, self.which, self.find, self.says]
        self.found = [self.find, self.says, *self.editor.outputs]

        @guarded(self.says)
        def upload(work: Work, file: Any, toe: str) -> dict[Any, Any]:
            when = handed_in(file)
            with need(work).lock:
                if when < work.photo_when:  # another was dropped since
                    return {self.says: gr.skip()}
                work.photo_when = when
            pixels, name = take_picture(file, studio.options)
            try:
                photo = studio.inverter.align(pixels, flip=TOES[toe])  # type: ignore[arg-type]
                several: list[np.ndarray] = []
            except SeveralShoes as error:
                photo, several = None, error.shoes
            with work.lock:
                if when != work.photo_when:
                    return {self.says: gr.skip()}
                work.pixels, work.photo_name, work.photo = pixels, name, photo
                work.several, work.chosen, work.found = several, 0, ""
                return {self.file: None, **self.show(work)}

        @guarded(self.says)
        def choose(work: Work, which: str | None, toe: str) -> dict[Any, Any]:
            with need(work).lock:
                if work.pixels is None:
                    return {}
                if work.several:
                    if not which:
                        return self.show(work)
                    work.chosen = int(which.split()[0])
                work.found = ""
                work.photo = studio.inverter.align(
                    work.pixels,
                    instance=work.chosen or None,
                    flip=TOES[toe],  # type: ignore[arg-type]
                )
                return self.show(work)

        self.file.upload(
            upload,
            [work, self.file, self.toe],
            [*shown, self.file],
            show_progress_on=[self.cut],
            **EACH,
        )
        for radio in (self.which, self.toe):
            radio.input(choose, [work, self.which, self.toe], shown, show_progress_on=[self.cut], **LAST)

        editor = self.editor

        stopped = "stopped; the photograph is still here, and so is what was found before"

        def ask(work: Work | None) -> None:
            if work is not None:
                with work.lock:
                    work.asked_for = not work.searching.is_set()
                    work.stop.clear()

        @guarded(self.says)
        def search(
            work: Work,
            quality: str,
            progress: gr.Progress = gr.Progress(),  # noqa: B008
        ) -> dict[Any, Any]:
            from shoegen.editing.model import inverted

            with need(work).lock:
                photo, name = work.photo, work.photo_name
                if not work.asked_for:  # it was stopped before it began, or another has begun
                    return {self.says: gr.skip()}
                work.asked_for = False
                if photo is None:
                    raise ConfigError("there is no photograph yet; choose one first")
                work.searching.set()
                work.found = ""

            def report(done: int, total: int) -> None:
                if work.stop.is_set() or studio.closing.is_set():
                    raise Stopped(stopped)
                progress((done, total), desc="finding the shoe", unit="steps")

            try:
                found = studio.inverter.invert(photo, quality=QUALITIES[quality], progress=report)  # type: ignore[arg-type]
                shoe = inverted(found, studio.model, name=name)
                _ = shoe.measures
                with work.lock:
                    bench = work.benches["photograph"]
                    bench.put(shoe)
                    work.found = remark(_told(name, found.figures, quality))
                    return {self.says: work.found, **editor.show(bench)}
            finally:
                work.searching.clear()

        self.find.click(ask, [work], None, show_progress="hidden", **EACH).then(
            search, [work, self.quality], self.found,
            show_progress_on=[self.cut], **HEAVY,
        )  # fmt: skip

        def halt(work: Work | None) -> Any:
            if work is None:
                return gr.skip()
            with work.lock:
                work.stop.set()
                if not work.asked_for:
                    return gr.skip()
                work.asked_for = False  # others' searches come first, so there is nothing to stop yet
                return refusal(Stopped(stopped))

        stop.click(halt, [work], self.says, show_progress="hidden", **EACH)

    def await_search(self, work: Work | None) -> Iterator[dict[Any, Any]]:
        """What a search finds, or has found since, that a page began which is no longer there."""
        if work is None:
            yield {self.find: gr.skip()}
            return
        is_awaited = work.searching.is_set()
        if is_awaited:
            told = remark("The shoe is still being searched …")
            yield {self.find: gr.update(interactive=False), self.says: told}
        while work.searching.is_set():
            time.sleep(0.2)
        with work.lock:  # and not held where it is yielded: another thread goes on from there
            bench = work.benches["photograph"]
            outputs = {} if bench.shoe is None else self.editor.show(bench)
            outputs[self.find] = gr.update(interactive=work.photo is not None)
            if is_awaited or work.found:
                outputs[self.says] = work.found
        yield outputs

    def show(self, work: Work) -> dict[Any, Any]:
        """The photograph and its cut-out, or the shoes that are to be told apart."""
        if work.pixels is None:
            return {}
        choices = [f"{i + 1} {_side(i, len(work.several))}".strip() for i in range(len(work.several))]
        outputs: dict[Any, Any] = {
            self.which: gr.update(
                choices=choices,
                visible=bool(choices),
                value=choices[work.chosen - 1] if work.chosen else None,
            ),
            self.find: gr.update(interactive=work.photo is not None),
        }
        if work.photo is None:
            outputs[self.cut] = pictures.figure(_numbered(work.pixels, work.several), alt="shoes, numbered")
            outputs[self.says] = remark(
                f"There are {len(work.several)} shoes in {work.photo_name}. Which one is it?"
            )
        else:
            outputs[self.cut] = pictures.side_by_side(
                [
                    pictures.figure(_cut_out(work.photo), f"{work.photo_name}, cut out"),
                    pictures.figure(work.photo.aligned, "as the model sees it"),
                ]
            )
            outputs[self.says] = "".join(remark(_note(note)) for note in work.photo.notes)
        return outputs


WAITING: dict[str, Any] = {
    "concurrency_id": "waiting",
    "concurrency_limit": None,
    "show_progress": "hidden",
    "api_visibility": "private",
}
HEAVY: dict[str, Any] = {"concurrency_id": "heavy", "concurrency_limit": 1, "api_visibility": "private"}


def _told(name: str, figures: dict[str, float], quality: str) -> str:
    """How well a photograph's shoe was found."""
    share = figures["part_iou"]
    told = f"Found {name} in {figures['seconds']:.0f} s; its parts lie over the photograph's by {share:.0%}."
    if share < FAIR and quality != "Best":
        return f"{told} That is little: a higher quality may do better."
    if share < FAIR:
        return f"{told} That is little: the model may know no shoe like it."
    return told


def _note(note: str) -> str:
    """Notes speak of options that the page has under other names."""
    return sentence(ShoegenError(note))


def _side(index: int, count: int) -> str:
    return "(left)" if index == 0 else "(right)" if index == count - 1 else ""


def _cut_out(photo: Photo) -> np.ndarray:
    """(h, w, 3) uint8: the photograph, pale where the shoe is not, and an outline."""
    pixels = pictures.fit(photo.pixels, pictures.SIDE)
    mask = cv2.resize(photo.mask.astype(np.float32), pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    share = mask[..., None]
    shown = (pixels * share + (0.25 * pixels + 191) * (1 - share)).astype(np.uint8)
    return _outline(shown, mask >= 0.5)


def _outline(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.ascontiguousarray(pixels), lines, -1, INK, 2, cv2.LINE_AA))


def _numbered(pixels: np.ndarray, shoes: list[np.ndarray]) -> np.ndarray:
    shown = pictures.fit(pixels, 900)
    for number, shoe in enumerate(shoes, 1):
        mask = cv2.resize(shoe.astype(np.uint8), shown.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
        shown = _outline(shown, mask)
        rows, columns = np.nonzero(mask)
        place = int(columns.mean()) - 14, int(rows.mean()) + 14
        for color, width in (((255, 255, 255), 10), (INK, 4)):
            cv2.putText(shown, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 1.4, color, width, cv2.LINE_AA)
    return shown
