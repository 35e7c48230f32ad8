"""The tab Swap: a photograph, what is worn in it, and what is to be worn."""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np

from shoegen.app import pictures, widgets
from shoegen.app.editor import EACH
from shoegen.app.photograph_tab import HEAVY
from shoegen.app.studio import Studio
from shoegen.app.uploads import drop, take_picture
from shoegen.app.widgets import guarded, need
from shoegen.app.words import remark
from shoegen.app.work import Work
from shoegen.data.images import encode_png, fit_image, same_aspect
from shoegen.errors import ConfigError

PICTURES = {
    "photo": "The photograph",
    "wearing": "The shoe that is worn in it",
    "article": "The new shoe",
}
SIDE = 256  # pixels of the drawn examples
SEED = 987_654


class SwapTab:
    """Attributes: shown, of the three pictures; result; `show` gives what the page shows of a visitor's swap."""

    def __init__(self, studio: Studio, work: gr.State) -> None:
        self._studio = studio
        gr.HTML(
            "<p class='lead'>Put another shoe on a foot: a photograph of a shoe on a foot, and both shoes alone. The "
            "model that ships knows drawn feet; your own is trained with your photographs.</p>"
        )
        self.shown: dict[str, gr.HTML] = {}
        files: dict[str, gr.HTML] = {}
        says: dict[str, gr.HTML] = {}
        with gr.Row():
            for name, label in PICTURES.items():
                with gr.Column(min_width=220):
                    files[name] = drop(label, f"swap-{name}", studio.options)
                    says[name] = widgets.says(f"swap-{name}-says")
                    self.shown[name] = gr.HTML(
                        '<div class="empty small">nothing yet</div>',
                        elem_id=f"swap-{name}-shown", elem_classes="stage small", apply_default_css=False,
                    )  # fmt: skip
        with gr.Row():
            go = gr.Button("Swap", variant="primary", elem_id="swap-go", min_width=120)
            example = gr.Button("Show me an example", elem_id="swap-example", min_width=120)
        self.says = widgets.says("swap-says")
        self.result = gr.HTML(
            '<div class="empty small">The photograph with the other shoe appears here.</div>',
            elem_id="swapped", elem_classes="stage", apply_default_css=False,
        )  # fmt: skip
        with gr.Row(elem_classes="exports"):
            widgets.export("⤓ Picture", self._export, [work], self.says, "swap-export-png")

        def upload(name: str) -> Any:
            @guarded(says[name])
            def run(work: Work, file: Any) -> dict[Any, Any]:
                pixels, _ = take_picture(file, studio.options)
                shape, wanted = pixels.shape[:2], studio.swapper.config.size
                note = ""
                if not same_aspect(shape, wanted):
                    height, width = wanted
                    factor = min(shape[0] / height, shape[1] / width)
                    pixels = fit_image(pixels, (round(height * factor), round(width * factor)), "crop")
                    shape_name = "a square" if height == width else f"{width} to {height}"
                    note = remark(f"Cut to {shape_name} around its middle, as the model needs it.")
                with need(work).lock:
                    work.swap_pictures[name] = pixels
                return {files[name]: None, self.shown[name]: self._figure(pixels, name), says[name]: note}

            return run

        for name, file in files.items():
            file.upload(
                upload(name),
                [work, file],
                [file, self.shown[name], says[name]],
                show_progress="minimal",
                **EACH,
            )

        self.outputs = outputs = [*self.shown.values(), self.result, self.says]

        @guarded(self.says)
        def swap(work: Work) -> dict[Any, Any]:
            with need(work).lock:
                given = dict(work.swap_pictures)
            missing = [label for name, label in PICTURES.items() if name not in given]
            if missing:
                raise ConfigError(f"still missing: {'; '.join(missing)}")
            made = studio.swapper.swap(*(given[name] for name in PICTURES))
            with work.lock:
                work.swapped = given["photo"], made.image
                return self.show(work)

        @guarded(self.says)
        def draw_example(work: Work) -> dict[Any, Any]:
            with need(work).lock:
                work.swap_pictures = self._example(work.swap_example)
                work.swap_example += 1
            return swap(work)

        go.click(swap, [work], outputs, show_progress_on=[self.result], **HEAVY)
        example.click(draw_example, [work], outputs, show_progress_on=[self.result], **HEAVY)

    def show(self, work: Work) -> dict[Any, Any]:
        """The three pictures and what was made of them."""
        outputs: dict[Any, Any] = {
            self.shown[name]: self._figure(pixels, name) for name, pixels in work.swap_pictures.items()
        }
        if work.swapped is not None:
            before, after = work.swapped
            outputs[self.result] = pictures.side_by_side(
                [pictures.figure(before, "before"), pictures.figure(after, "after")]
            )
        return outputs

    def _figure(self, pixels: np.ndarray, name: str) -> str:
        return pictures.figure(pixels, alt=PICTURES[name], side=300)

    def _example(self, number: int) -> dict[str, np.ndarray]:
        """A drawn foot in one shoe, and another shoe."""
        from shoegen.data.synthetic import render_shoe, render_worn, sample_parameters, sample_wearer

        worn = render_worn(sample_parameters(SEED, 2 * number), sample_wearer(SEED, number), SIDE)
        other = render_shoe(sample_parameters(SEED, 2 * number + 1), SIDE)
        return {"photo": worn.photo, "wearing": worn.article, "article": other.image}

    def _export(self, work: Work) -> tuple[str, bytes, str]:
        swapped = need(work).swapped
        if swapped is None:
            raise ConfigError("nothing was swapped yet; press Swap first")
        return "swapped.png", encode_png(swapped[1]), "image/png"
