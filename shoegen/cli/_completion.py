"""What the shell offers for names that are no plain paths: models, directions, attributes. Loads no torch."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

import shoegen

FILE = "file"  # click's word for: let the shell complete a path


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`default`, and paths."""
    return _offer(["default"], incomplete)


def complete_direction(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The directions beside the model that the command line names, and paths."""
    model = str(ctx.params.get("model") or "default")
    path = Path(shoegen.__file__).parent / "assets" if model == "default" else Path(model)
    folder = path if path.is_dir() else path.parent
    return _offer(sorted(each.stem for each in folder.glob("directions/*.safetensors")), incomplete)


def complete_attributes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Of a list such as `shaft,toe` the last one; an argument that may be repeated is such a list too."""
    from shoegen.measure import ALIASES, ATTRIBUTES

    before, comma, last = incomplete.rpartition(",")
    names = sorted([*ATTRIBUTES, *ALIASES, *(["all"] if not comma else [])])
    return [before + comma + name for name in names if name.startswith(last)]


def _offer(names: list[str], incomplete: str) -> list[CompletionItem]:
    # The path comes first: in bash it would take the place of what stands before it.
    fitting = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return [CompletionItem(incomplete, type=FILE), *fitting]
