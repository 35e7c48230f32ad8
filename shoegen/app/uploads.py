"""Files that visitors hand in: read at once, and taken from the disk again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal, overload

import gradio as gr
import numpy as np

from shoegen.data.images import fit_image, read_image
from shoegen.errors import DataError

MAX_PIXELS = 50_000_000
MAX_SIDE = 3072  # pixels: larger pictures are reduced


def drop(label: str, elem_id: str) -> gr.File:
    """A place for one file. What it is, is found out here: a browser's guess by the name is none."""
    return gr.File(
        label=label, type="filepath", elem_id=elem_id, height=130, buttons=[], elem_classes="file-drop"
    )


@overload
def take(path: str) -> tuple[bytes, str]: ...
@overload
def take(path: str, *, as_picture: Literal[True]) -> tuple[np.ndarray, str]: ...


def take(path: str, *, as_picture: bool = False) -> tuple[bytes | np.ndarray, str]:
    """The content of an uploaded file, or its pixels (H, W, 3), of at most `MAX_SIDE` a side; and its name.

    Raises:
        DataError: it is none that can be read.
    """
    name = Path(path).name
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{name} did not arrive; choose it again") from error
    with contextlib.suppress(OSError):
        os.unlink(path)
    if not as_picture:
        return content, name
    pixels = read_image(content, name=name, max_pixels=MAX_PIXELS)
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_SIDE:
        factor = MAX_SIDE / max(height, width)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        pixels = fit_image(pixels, size, "crop")
    return pixels, name
