"""The page: `shoegen app`. Shoes and sliders, photographs, painting, swapping, in a browser.

studio: the models that all visitors share. work, bench: what one visitor has. editor and the *_tab files: what is on
the page, in Gradio. words: refusals as sentences. server: the port, the limits, and who may read what.

    with shoegen.app.serve(port=0) as address:  # in this process, in a thread
        ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoegen.app.options import Options

if TYPE_CHECKING:
    from shoegen.app.page import build
    from shoegen.app.server import Server, serve

__all__ = ["Options", "Server", "build", "serve"]


def __getattr__(name: str) -> object:
    """Gradio and torch are loaded when they are needed."""
    if name in ("Server", "serve"):
        from shoegen.app import server

        return getattr(server, name)
    if name == "build":
        from shoegen.app.page import build

        return build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
