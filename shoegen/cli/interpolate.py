"""`shoegen interpolate`: a film that walks from shoe to shoe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoegen.cli._drawing import counted, drawing_options, is_folder
from shoegen.cli._options import parse_integers
from shoegen.errors import ConfigError, OutputError

if TYPE_CHECKING:
    import numpy as np

    from shoegen.stylegan.networks import NoiseMode
    from shoegen.stylegan.sampling import Space, Walk


@click.command()
@click.option(
    "--seeds", required=True, help="Of the shoes, in their order: 1,5,9 or 0-7; with --grid of all places."
)
@click.option("--frames", default=60, show_default=True, help="From one shoe to the next.")
@click.option(
    "--easing",
    type=click.Choice(["linear", "smooth", "ease-in", "ease-out", "ease-in-out"]),
    help="How a step starts and ends.  [default: smooth; noise-loop: linear]",
)
@click.option(
    "--space",
    type=click.Choice(["w", "z", "noise-loop"]),
    default="w",
    show_default=True,
    help="Straight in W, on great circles in z (slerp), or from one shoe on a random circle in z back to it.",
)
@click.option("--loop", is_flag=True, help="From the last shoe back to the first.")
@click.option("--fps", type=click.IntRange(1, 240), default=30, show_default=True, help="Frames per second.")
@click.option(
    "--grid", default="1x1", show_default=True, help="Places, columns x rows, that share the seeds."
)
@click.option("--scale", type=click.IntRange(1, 16), default=1, show_default=True, help="Enlarge the frames.")
@click.option("--psi", default=0.7, show_default=True, help="1: as varied as trained; 0: the mean shoe.")
@click.option("--class", "class_index", type=click.IntRange(min=0), help="Of a conditional generator.")
@drawing_options
@click.option(
    "--out",
    type=click.Path(),
    default="walk.mp4",
    show_default=True,
    help=".mp4, .gif, .webp, or a folder for the frames as .png.",
)
def command(
    seeds: str,
    frames: int,
    easing: str | None,
    space: Space,
    loop: bool,
    fps: int,
    grid: str,
    scale: int,
    psi: float,
    class_index: int | None,
    model: str,
    cutoff: int | None,
    noise: NoiseMode,
    batch: int,
    device: str,
    out: str,
) -> None:
    """Walk from shoe to shoe, as a film.

    \b
    shoegen interpolate --seeds 1,5,9 --loop --out walk.mp4
    shoegen interpolate --seeds 0-23 --grid 4x2 --loop --out eight.gif     # three shoes in each place
    shoegen interpolate --seeds 7 --space noise-loop --frames 240 --out wander.webp

    .mp4 needs PyAV: pip install 'shoegen[video]'.
    """
    numbers = parse_integers("--seeds", seeds)
    columns, rows = _parse_grid(grid)
    places = columns * rows
    if len(numbers) % places:
        raise ConfigError(
            f"--seeds: got {len(numbers)} for {places} places, expected the same number for each"
        )

    from shoegen.torch_utils.files import check_writable
    from shoegen.torch_utils.video import check_film, write_film

    check_writable(Path(out) / "frame" if is_folder(out) else out)
    if is_folder(out) and Path(out).is_dir() and any(Path(out).iterdir()):
        raise OutputError(f"the folder {out} is not empty; give another for the frames")

    from shoegen.editing import load
    from shoegen.stylegan.sampling import interpolate

    generator = load(model, device).generator
    each = len(numbers) // places
    walks = [
        interpolate(
            generator,
            numbers[first : first + each],
            frames=frames,
            easing=easing,
            space=space,
            loop=loop,
            classes=class_index,
            psi=psi,
            cutoff=cutoff,
            noise=noise,
            batch=batch,
        )
        for first in range(0, len(numbers), each)
    ]
    count = len(walks[0])
    film = counted(_sheets(walks, columns, scale), "drawing", count, "frames")
    if is_folder(out):
        _write_frames(Path(out), film)
    else:
        height, width = generator.config.image_size
        check_film(out, size=(rows * height * scale, columns * width * scale), count=count, fps=fps)
        write_film(out, film, fps=fps, count=count)
    click.echo(f"{out}: {count} frames, {count / fps:.1f} s")


def _parse_grid(text: str) -> tuple[int, int]:
    """ "4x2" → 4 columns, 2 rows."""
    match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text)
    if not match:
        raise ConfigError(f"--grid: got {text!r}, expected columns x rows, such as 4x2")
    return int(match[1]), int(match[2])


def _sheets(walks: list[Walk], columns: int, scale: int) -> Iterator[np.ndarray]:
    """The frames of all walks at each moment, side by side."""
    from shoegen.data.images import image_grid, resize

    for tiles in zip(*walks, strict=True):
        sheet = tiles[0] if len(tiles) == 1 else image_grid(tiles, columns)
        size = scale * sheet.shape[0], scale * sheet.shape[1]
        yield resize(sheet, size).reshape(*size, -1)


def _write_frames(folder: Path, frames: Iterator[np.ndarray]) -> None:
    from shoegen.data.images import write_image

    for index, frame in enumerate(frames):
        write_image(folder / f"frame{index:05d}.png", frame)
