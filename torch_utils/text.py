"""Words for messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def some(items: Iterable[Any], limit: int = 3, separator: str = ", ") -> str:
    """The first of them, and how many more: "a, b, c, and 4 more"."""
    items = [str(item) for item in items]
    more = [f"and {len(items) - limit} more"] if len(items) > limit else []
    return separator.join(items[:limit] + more)
