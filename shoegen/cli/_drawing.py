"""What the commands that draw pictures have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._progress import show_progress
from shoegen.errors import ConfigError

if TYPE_CHECKING:
    from shoegen.stylegan.networks import Generator

OPTIONS = [
    click.option(
        "--model",
        default="default",
        show_default=True,
        shell_complete=complete_model,
        help="A generator's file, or a run folder.",
    ),
    click.option("--cutoff", type=click.IntRange(min=0), help="Truncate only so many of the first layers."),
    click.option(
        "--noise",
        type=click.Choice(["const", "random", "none"]),
        default="const",
        show_default=True,
        help="The same for all pictures, drawn for each from its seed, or none.",
    ),
    click.option(
        "--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures at once."
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
]


def drawing_options(command: Callable[..., None]) -> Callable[..., None]:
    """--model, --cutoff, --noise, --batch and --device."""
    return functools.reduce(lambda function, option: option(function), reversed(OPTIONS), command)


def is_folder(out: str) -> bool:
    """Whether --out names a folder: one that is there, a name that ends in a slash, or one without a suffix."""
    if not out:
        raise ConfigError("--out: got an empty path, expected a sheet such as grid.png, or a folder")
    return out.endswith("/") or Path(out).is_dir() or not Path(out).suffix


def check_sheet(out: str, generator: Generator, *, columns: int, rows: int) -> None:
    """Refuses a sheet that cannot be written, or that nobody could read; call it before drawing."""
    from shoegen.data.images import MAX_PIXELS, image_format

    height, width = generator.config.image_size
    if columns * width * rows * height > MAX_PIXELS:
        raise ConfigError(
            f"{out}: a sheet of {columns} x {rows} pictures of {width}x{height} is too large; "
            "draw fewer, or give a folder"
        )
    check_alpha(image_format(out), generator)


def check_alpha(format: str, generator: Generator) -> None:
    """Refuses JPEG for a generator of RGBA pictures."""
    if format == "JPEG" and generator.config.img_channels == 4:
        raise ConfigError(
            "this generator's pictures are transparent, which JPEG cannot hold; write png or webp"
        )


def counted(items: Iterable[Any], task: str, total: int, unit: str) -> Iterator[Any]:
    """The items, with progress on stderr where they take long."""
    with show_progress(task, unit) as report:
        for done, item in enumerate(items, 1):
            yield item
            report(done, total)
