"""Pictures as the page shows them: in the HTML itself, so that no file of one visitor lies where others could ask."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

import numpy as np

from shoegen.data.images import encode_image, encode_png, resize
from shoegen.data.labels import LabelMap

SIDE = 512  # pixels of the longer side of a large picture
SMALL = 128


def fit(image: np.ndarray, side: int) -> np.ndarray:
    """(H, W, C) uint8 → its longer side `side` pixels, by Lanczos."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    return resize(image, (max(1, round(height * factor)), max(1, round(width * factor))), "lanczos")


def data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture_url(image: np.ndarray, side: int = SIDE) -> str:
    """(H, W, 3) uint8, enlarged or reduced, as a JPEG's URL."""
    return data_url(encode_image(fit(image, side), "JPEG"), "image/jpeg")


def png_url(image: np.ndarray) -> str:
    """Pixel by pixel."""
    return data_url(encode_png(image, compress_level=1), "image/png")


def figure(image: np.ndarray, caption: str = "", *, alt: str = "", side: int = SIDE) -> str:
    """HTML of a picture with a caption."""
    text = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><img src="{picture_url(image, side)}" alt="{html.escape(alt or caption)}">{text}</figure>'
    )


def tiles(shown: Iterable[tuple[str, str]], *, chosen: int | None = None) -> str:
    """A wall of pictures to pick from, of their URLs and titles; `chosen` is the index of the one that is marked."""
    buttons = "".join(
        f'<button type="button" data-index="{i}"{" class=chosen" if i == chosen else ""} title="{html.escape(title)}">'
        f'<img src="{url}" alt="{html.escape(title)}"><span>{html.escape(title)}</span></button>'
        for i, (url, title) in enumerate(shown)
    )
    return f'<div class="wall">{buttons}</div>'


def side_by_side(figures: Sequence[str]) -> str:
    return f'<div class="pictures">{"".join(figures)}</div>'


def wipe(before: np.ndarray, after: np.ndarray) -> str:
    """Both pictures over each other, with a handle between them."""
    return (
        '<div class="wipe" style="--cut:50%">'
        f'<img src="{picture_url(before)}" alt="before"><img class="over" src="{picture_url(after)}" alt="after">'
        '<span class="left">before</span><span class="right">after</span><i></i>'
        '<input type="range" min="0" max="100" value="50" aria-label="before and after" '
        "oninput=\"this.parentNode.style.setProperty('--cut', this.value + '%')\"></div>"
    )


def parts(image: np.ndarray, part_map: np.ndarray, labels: LabelMap) -> str:
    """A picture with its part map over it, and the legend."""
    from shoegen.segmentation.overlay import tint

    height, width = image.shape[:2]
    side = part_map.shape[0]
    factor = side / max(height, width)  # the part map has margins where the picture is not square
    rows, columns = round(height * factor), round(width * factor)
    top, left = (side - rows) // 2, (side - columns) // 2
    inner = part_map[top : top + rows, left : left + columns]
    shown = tint(resize(image, inner.shape[:2], "lanczos"), inner, labels)
    return figure(shown, alt="the parts of the shoe") + legend(labels, np.unique(inner).tolist())


def legend(labels: LabelMap, present: Sequence[int]) -> str:
    entries = (
        f'<li><b style="background:rgb{labels.colors[i]}"></b>{html.escape(labels.names[i])}</li>'
        for i in present
        if i
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'
