"""Files that visitors hand in. They come inside an event and are never on a disk here."""

from __future__ import annotations

import base64
import binascii
import html
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from shoegen.app.options import MEGABYTE, Options
from shoegen.app.widgets import number
from shoegen.data.images import READ_FORMATS, fit_image, open_picture, read_image
from shoegen.data.labels import LabelMap
from shoegen.errors import DataError
from shoegen.spade.maps import decode_map

MAX_PIXELS = 50_000_000
MAX_MAP_PIXELS = 4096**2  # telling colours apart takes more memory than a picture
MAX_SIDE = 3072  # pixels: larger pictures are reduced


def drop(label: str, elem_id: str, options: Options) -> gr.HTML:
    """A place for one file. Its event is `upload`, its value for `take_file` or `take_picture`, and then None."""
    template = (
        f'<label class="drop" data-most="{options.max_upload}"><b>{html.escape(label)}</b>'
        '<input type="file"><span class="told">Drop a file here, or click</span></label>'
    )
    return gr.HTML(
        None,
        html_template=template,
        js_on_load=(Path(__file__).parent / "drop.js").read_text(),
        elem_id=elem_id,
        apply_default_css=False,
        min_width=160,
    )


def take_file(value: Any, options: Options) -> tuple[bytes, str]:
    """The content of a file, and its name.

    Raises:
        DataError: it did not arrive whole, or is too large.
    """
    try:
        name, data = Path(str(value["name"])).name[:80] or "the file", value["data"]
        if len(data) * 3 / 4 > options.max_upload + 2:
            most = f"{options.max_upload / MEGABYTE:g} MB"
            raise DataError(f"{name} is too large; at most {most} are taken")
        return base64.b64decode(data, validate=True), name
    except (TypeError, KeyError, binascii.Error) as error:
        raise DataError("the file did not arrive whole; choose it again") from error


def take_map(value: Any, labels: LabelMap, options: Options) -> np.ndarray:
    """(H, W) uint8: the part map of a PNG.

    Raises:
        DataError: none, or too large.
    """
    content, name = take_file(value, options)
    try:
        open_picture(content, READ_FORMATS, MAX_MAP_PIXELS)
        return decode_map(content, labels)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def handed_in(value: Any) -> float:
    """When a file was dropped, by the visitor's clock: large ones arrive after smaller ones that were dropped later."""
    return number(value.get("when") if isinstance(value, dict) else None, 0.0)


def take_picture(value: Any, options: Options) -> tuple[np.ndarray, str]:
    """(H, W, 3) uint8, of at most `MAX_SIDE` a side, and the file's name.

    Raises:
        DataError: no picture that can be read.
    """
    content, name = take_file(value, options)
    pixels = read_image(content, name=name, max_pixels=MAX_PIXELS)
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_SIDE:
        factor = MAX_SIDE / max(height, width)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        pixels = fit_image(pixels, size, "crop")
    return pixels, name
