"""What Gradio has not: a wall of pictures to pick from, downloads that leave no file on the server, refusals."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from shoegen.app.pictures import data_url
from shoegen.app.words import refusal
from shoegen.errors import ConfigError

WALL = """
<div class="wall">{{#each value}}<button type="button" data-index="{{@index}}" class="{{this.mark}}"
title="{{this.title}}"><img src="{{this.src}}" alt="{{this.title}}"><span>{{this.title}}</span></button>{{/each}}</div>
"""
PICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-index]');
  if (button) trigger('click', {index: Number(button.dataset.index)});
});
"""
SAVE = """
(file) => {
  if (!file) return;
  const {name, url} = JSON.parse(file);
  const link = document.createElement('a');
  link.href = url; link.download = name; document.body.append(link); link.click(); link.remove();
}
"""


def wall(elem_id: str) -> gr.HTML:
    """Pictures to pick from; its value: a list of `tile`s. Its click carries `index`."""
    return gr.HTML([], html_template=WALL, js_on_load=PICK, elem_id=elem_id, apply_default_css=False)


def tile(src: str, title: str, *, chosen: bool = False) -> dict[str, str]:
    return {"src": src, "title": title, "mark": "chosen" if chosen else ""}


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


def need(work: Any) -> Any:
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
    button = gr.Button(label, elem_id=elem_id, size="sm", min_width=80)
    file = gr.Textbox("", visible="hidden", elem_id=f"{elem_id}-file", container=False)

    @guarded(place)
    @functools.wraps(handler)
    def run(*arguments: Any) -> dict[Any, Any]:
        name, content, kind = handler(*arguments)
        return {file: json.dumps({"name": name, "url": data_url(content, kind)})}

    button.click(
        run, inputs, [file, place], show_progress="hidden", concurrency_id="edit", api_visibility="private"
    ).success(None, [file], None, js=SAVE).then(lambda: "", None, [file], api_visibility="private")
    return button
