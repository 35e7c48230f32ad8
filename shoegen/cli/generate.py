"""`shoegen generate`: pictures of seeds or of latents, one by one or on a sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from shoegen.cli._drawing import check_alpha, check_sheet, counted, drawing_options, is_folder
from shoegen.cli._options import parse_integers, parse_numbers
from shoegen.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from shoegen.stylegan.networks import Generator, NoiseMode

SEEDS = "0-31"


class _Picture(NamedTuple):
    seed: int  # or the row of the file of latents
    class_index: int | None
    psi: float


@click.command()
@click.option("--seeds", help=f"Such as 0-31,77.  [default: {SEEDS}]")
@click.option(
    "--w-file", type=click.Path(), help="Latents in place of seeds: .npz (key w), .npy or .safetensors."
)
@click.option("--classes", help="Of a conditional generator: such as 2 or 0-3, all, or random.")
@click.option(
    "--psi", type=float, help="1: as varied as trained; 0: the mean shoe.  [default: 0.7; --w-file: 1]"
)
@click.option("--psis", help="Several, such as 0,0.5,1: each shoe at each of them.")
@drawing_options
@click.option("--columns", type=click.IntRange(min=1), help="Pictures in a row of the sheet.")
@click.option("--format", type=click.Choice(["png", "jpg", "webp"]), help="Of the pictures in a folder; png.")
@click.option("--save-w", type=click.Path(), help="Also write the latents: .npz, .npy or .safetensors.")
@click.option(
    "--out",
    type=click.Path(),
    default="grid.png",
    show_default=True,
    help="A sheet (.png, .jpg, .webp), or a folder of pictures.",
)
def command(
    seeds: str | None,
    w_file: str | None,
    classes: str | None,
    psi: float | None,
    psis: str | None,
    model: str,
    cutoff: int | None,
    noise: NoiseMode,
    batch: int,
    device: str,
    columns: int | None,
    format: str | None,
    save_w: str | None,
    out: str,
) -> None:
    """Draw shoes from seeds, one picture each or all on one sheet.

    \b
    shoegen generate --seeds 0-31 --out grid.png
    shoegen generate --seeds 0-999 --psi 0.9 --out shoes/           # shoes/seed0000.png, …
    shoegen generate --seeds 5,8,13 --psis=-1,-0.5,0,0.5,1          # a truncation sweep, a shoe in each row
    shoegen generate --model runs/kinds --seeds 0-7 --classes all   # each seed in each class
    shoegen generate --seeds 7 --save-w seven.npz --out seven.png
    shoegen generate --w-file seven.npz --out again.png
    """
    if w_file is not None and (seeds is not None or classes is not None):
        raise ConfigError("--w-file has its own shoes; leave out --seeds and --classes")
    if psi is not None and psis is not None:
        raise ConfigError("give either --psi for one truncation or --psis for several")
    numbers = parse_integers("--seeds", SEEDS if seeds is None else seeds)
    default = 0.7 if w_file is None else 1.0
    truncations = parse_numbers("--psis", psis) if psis is not None else [default if psi is None else psi]
    to_folder = is_folder(out)
    if to_folder and columns is not None:
        raise ConfigError(f"--columns is for a sheet, but --out {out} is a folder; leave one out")
    if not to_folder and format is not None:
        raise ConfigError(f"--format is for a folder; --out {out} has its format in its suffix")

    folder, suffix = (Path(out), format or "png") if to_folder else (Path(out).parent, Path(out).suffix[1:])

    from shoegen.data.images import image_format, image_grid, write_image
    from shoegen.torch_utils.files import check_writable

    written_as = image_format(folder / f"picture.{suffix}" if to_folder else out)
    check_writable(folder / "picture" if to_folder else out)

    from shoegen.editing import load
    from shoegen.stylegan.sampling import (
        check_seeds,
        check_truncation,
        load_ws,
        one_hot,
        random_class,
        save_ws,
        w_suffix,
    )

    if save_w is not None:
        w_suffix(save_w)
        check_writable(save_w)
    generator = load(model, device).generator
    check_alpha(written_as, generator)
    stored: Tensor | None = None
    kinds: list[int | None] = [None]
    if w_file is None:
        kinds = _parse_classes(classes, generator.config.c_dim)
    else:
        stored = load_ws(w_file, generator, say=lambda text: click.echo(text, err=True))
        numbers = list(range(len(stored)))
    # All of it now, so that no folder is left half full.
    check_truncation(generator, truncations, cutoff)
    if stored is None:
        check_seeds(numbers)
        known = [kind for kind in kinds if kind is not None]
        one_hot(generator, known or ("random" if not kinds else None), known or numbers[:1])
    pictures = [
        _Picture(seed, kind, each)
        for seed in numbers
        for kind in kinds or [random_class(generator, seed)]
        for each in truncations
    ]

    latents: list[Tensor] = []
    keep = latents.append if save_w is not None else lambda ws: None
    drawn = _draw(generator, pictures, stored, cutoff=cutoff, noise=noise, batch=batch, keep=keep)
    drawn = counted(drawn, "drawing", len(pictures), "pictures")
    if to_folder:
        for picture, pixels in zip(pictures, drawn, strict=True):
            write_image(folder / f"{_name(picture, stored, truncations)}.{suffix}", pixels)
    else:
        across = len(truncations) if len(truncations) > 1 else len(kinds)
        columns = columns or (across if across > 1 else math.ceil(math.sqrt(len(pictures))))
        check_sheet(out, generator, columns=columns, rows=math.ceil(len(pictures) / columns))
        write_image(out, image_grid(list(drawn), columns))
    said = f"{len(pictures)} picture{'s' * (len(pictures) != 1)}"
    click.echo(f"{out}: {said} at psi {', '.join(f'{each:g}' for each in truncations)}")

    if save_w is not None:
        import torch

        notes = {"model": model, "pictures": [picture._asdict() for picture in pictures]}
        save_ws(save_w, torch.cat(latents), generator, notes=notes)
        click.echo(f"{save_w}: latents of {said}")


def _parse_classes(text: str | None, known: int) -> list[int | None]:
    """For each seed; [None] for a generator without classes, and [] for random ones."""
    if text is None and known:
        some = f"0, 0-{known - 1}, all or random"
        raise ConfigError(f"this generator draws {known} classes; choose with --classes, such as {some}")
    if text is not None and not known:
        raise ConfigError(f"--classes: got {text}, but this generator has no classes; leave it out")
    if text is None:
        return [None]
    if text == "random":
        return []
    return list(range(known)) if text == "all" else list(parse_integers("--classes", text))


def _draw(
    generator: Generator,
    pictures: list[_Picture],
    stored: Tensor | None,
    *,
    cutoff: int | None,
    noise: NoiseMode,
    batch: int,
    keep: Callable[[Tensor], None],
) -> Iterator[np.ndarray]:
    """The pictures' pixels; `keep` is given their latents."""
    from shoegen.stylegan.sampling import latents, render, truncate

    for first in range(0, len(pictures), batch):
        part = pictures[first : first + batch]
        seeds, psis = [each.seed for each in part], [each.psi for each in part]
        if stored is None:
            classes = [each.class_index for each in part if each.class_index is not None] or None
            ws = latents(generator, seeds, classes=classes, psi=psis, cutoff=cutoff)
        else:
            ws = truncate(generator, stored[seeds], psis, cutoff)
        keep(ws.cpu())
        yield from render(generator, ws, noise=noise, seeds=seeds, batch=batch)


def _name(picture: _Picture, stored: Tensor | None, truncations: list[float]) -> str:
    """ "seed0007-class2-psi0.5": with what tells the pictures of a seed apart."""
    name = f"{'seed' if stored is None else 'w'}{picture.seed:04d}"
    if picture.class_index is not None:
        name += f"-class{picture.class_index}"
    return name + (f"-psi{picture.psi:g}" if len(truncations) > 1 else "")
