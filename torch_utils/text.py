"""Words for messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def some(items: Iterable[Any], limit: int = 3, separator: str = ", ") -> str:
    """The first of them, and how many more: "a, b, c, and 4 more"."""
    items = [str(item) for item in items]
    more = [f"and {len(items) - limit} more"] if len(items) > limit else []
    return separator.join(items[:limit] + more)


def one_line(text: str, limit: int = 1500) -> str:
    """For a terminal: without line breaks, with what cannot be printed escaped, and without the middle of what is long.

    What files and users say may stand in it: the names in a zip, the cells of a table.
    """
    text = " ".join(text.split())
    text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]} … {text[-half:]}"


def describe_size(size: tuple[int, int]) -> str:
    """ "128 px", or "256x384 px", which is width x height, as `--resolution` takes it."""
    height, width = size
    return f"{width} px" if height == width else f"{width}x{height} px"
