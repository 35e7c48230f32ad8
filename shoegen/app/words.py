"""What is said on the page: errors as sentences, attributes as a designer calls them."""

from __future__ import annotations

import html
import logging
import re

from shoegen.errors import ShoegenError

logger = logging.getLogger(__name__)

_NAMES = {
    "upper_l": "Upper: lightness",
    "upper_a": "Upper: green to red",
    "upper_b": "Upper: blue to yellow",
    "upper_chroma": "Upper: colourfulness",
    "sole_l": "Sole: lightness",
    "sole_a": "Sole: green to red",
    "sole_b": "Sole: blue to yellow",
    "instep_curve": "Instep curve",
    "silhouette_ratio": "Height to length",
}


def name_of(attribute: str) -> str:
    """ "heel_height" → "Heel height"."""
    return _NAMES.get(attribute) or attribute.replace("_", " ").capitalize()


def sentence(error: Exception) -> str:
    """An error as a sentence for someone who has no command line.

    What it says of options and commands is left out: the page has fields for these.
    """
    if not isinstance(error, ShoegenError):
        logger.exception("the page: %s", error, exc_info=error)
        return f"This could not be done ({type(error).__name__}). Your work is as it was."
    clauses = " ".join(str(error).split()).split("; ")
    kept = [clause for clause in clauses if not re.search(r"(^|\s)--\w|`", clause)]
    text = "; ".join(kept or [re.sub(r"--(\w)", r"\1", clauses[0])])
    if "." not in text.split()[0]:  # a file's name stays as it is
        text = text[:1].upper() + text[1:]
    return f"{text}."


def refusal(error: Exception | str) -> str:
    """The same as HTML, to be shown where it happened."""
    text = error if isinstance(error, str) else sentence(error)
    return f'<p class="refusal" role="alert">{html.escape(text)}</p>' if text else ""


def remark(text: str) -> str:
    """Something that a visitor should know, as HTML."""
    return f'<p class="remark">{html.escape(text)}</p>' if text else ""
