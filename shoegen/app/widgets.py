"""What Gradio has not: a wall of pictures to pick from, downloads that leave no file on the server, refusals."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from shoegen.app.pictures import data_url
from shoegen.app.words import refusal
from shoegen.app.work import Work
from shoegen.errors import ConfigError

PICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-index]');
  if (button) trigger('click', {index: Number(button.dataset.index)});
});
"""
SAVE = """
watch('value', () => {
  if (!props.value) return;
  const link = document.createElement('a');
  link.href = props.value.url; link.download = props.value.name;
  document.body.append(link); link.click(); link.remove();
});
"""


def wall(elem_id: str) -> gr.HTML:
    """Pictures to pick from; its value: `pictures.tiles`. Its click carries `index`."""
    return gr.HTML("", js_on_load=PICK, elem_id=elem_id, apply_default_css=False)


def picked(event: gr.EventData, count: int) -> int:
    """Which of a wall's `count` pictures was clicked.

    Raises:
        ConfigError: none of them.
    """
    index = event._data.get("index") if isinstance(event._data, dict) else None
    if not isinstance(index, int) or not 0 <= index < count:
        raise ConfigError("that is none of the pictures; pick one of them")
    return index


def number(value: Any, other: float) -> float:
    """What a slider says; `other` where that is no number, as in an empty field."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else other


def says(elem_id: str) -> gr.HTML:
    """A place for one sentence."""
    return gr.HTML("", elem_id=elem_id, elem_classes="says", apply_default_css=False)


def guarded(place: gr.HTML) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Of a handler that gives a dictionary of outputs: what it refuses is said at `place`, and nothing else changes."""

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        def run(*arguments: Any, **named: Any) -> dict[Any, Any]:
            try:
                outputs = handler(*arguments, **named)
            except Exception as error:  # said in the page; nothing of the work was changed
                return {place: refusal(error)}
            return {place: "", **outputs}

        return run

    return decorate


def need(work: Work | None) -> Work:
    """A visitor's work.

    Raises:
        ConfigError: the server does not know the visitor any more.
    """
    if work is None:
        raise ConfigError("the page has been asleep for too long; load it again")
    return work


def export(
    label: str,
    handler: Callable[..., tuple[str, bytes, str]],
    inputs: list[Any],
    place: gr.HTML,
    elem_id: str,
) -> gr.Button:
    """A button that hands the browser a file, which is made then and never lies on the server.

    handler: gives the file's name, its bytes, and its kind ("image/png").
    """
    button = gr.Button(label, elem_id=elem_id, size="sm", min_width=120)
    file = gr.HTML(None, html_template=" ", js_on_load=SAVE, elem_classes="file", apply_default_css=False)

    @guarded(place)
    @functools.wraps(handler)
    def run(*arguments: Any) -> dict[Any, Any]:
        name, content, kind = handler(*arguments)
        # The time makes the same file another value, which the browser is told of.
        return {file: {"name": name, "url": data_url(content, kind), "when": time.time()}}

    button.click(
        run, inputs, [file, place], show_progress="hidden", concurrency_id="edit", api_visibility="private"
    )
    return button
