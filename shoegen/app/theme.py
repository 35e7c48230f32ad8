"""How the page looks: the fonts of the machine, so that none is fetched."""

from __future__ import annotations

from typing import Any

import gradio as gr

SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
MONO = ["ui-monospace", "Menlo", "Consolas", "monospace"]


def theme() -> Any:
    return gr.themes.Default(
        primary_hue="orange", neutral_hue="stone", font=SANS, font_mono=MONO, radius_size="md"
    )
