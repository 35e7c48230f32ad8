"""`shoegen project`: photographs of shoes as latents, which can be edited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoegen.cli._completion import complete_model
from shoegen.cli._pictures import check_outputs, find_pictures, name_outputs, read_mask, readable
from shoegen.cli._progress import show_progress

if TYPE_CHECKING:
    import numpy as np

    from shoegen.editing import Shoe
    from shoegen.inversion import Inversion

TILE = 256  # side of a sheet's pictures
SUFFIXES = (".safetensors", ".png", ".json")


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PHOTO|FOLDER…")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder: for each photograph its latent NAME.safetensors, a sheet NAME.png and a report NAME.json.",
)
@click.option(
    "--quality",
    default="balanced",
    show_default=True,
    help="fast: seconds; balanced: up to half a minute; best: minutes.",
)
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A generator's file, or a run folder.",
)
@click.option(
    "--encoder",
    shell_complete=complete_model,
    default="auto",
    show_default=True,
    help="An encoder.safetensors or run folder; `auto`: the shipped one if it is of this generator; `none`.",
)
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    help="A picture that is white where the shoe is, instead of what the segmenter sees; for one photograph.",
)
@click.option("--instance", type=int, help="Which of several shoes, counted from 1, left to right.")
@click.option(
    "--flip",
    default="auto",
    show_default=True,
    help="yes: the toe is at the right; no: at the left; auto: where the shoe is taller is its rear.",
)
@click.option("--seed", default=0, show_default=True, help="Of what is random in the search.")
@click.option("--skip-bad", is_flag=True, help="Leave out photographs that cannot be read or show no shoe.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def command(
    photos: tuple[Path, ...],
    out: Path,
    quality: str,
    model: str,
    encoder: str,
    mask: Path | None,
    instance: int | None,
    flip: str,
    seed: int,
    skip_bad: bool,
    device: str,
) -> None:
    """Find the latents of photographs, so that their shoes can be edited.

    \b
    shoegen project photo.jpg --out found/
    shoegen project photos/ --quality best --skip-bad --out found/
    shoegen edit --latent found/photo.safetensors --direction heel --by +20mm

    The sheet shows the photograph, the shoe as it is placed for the generator, what the generator draws, and that put
    back into the photograph. What was done before is not done again; a search that was interrupted goes on.
    """
    from typing import get_args

    from shoegen.errors import ConfigError, DataError
    from shoegen.inversion.align import Flip
    from shoegen.inversion.projecting import EFFORTS, Inverter
    from shoegen.torch_utils.files import check_writable

    # Options, before anything is opened.
    if quality not in EFFORTS:
        raise ConfigError(f"--quality: got {quality!r}, expected {', '.join(EFFORTS)}")
    if flip not in get_args(Flip):
        raise ConfigError(f"--flip: got {flip!r}, expected {', '.join(get_args(Flip))}")
    found = find_pictures(photos)
    if mask is not None and len(found) != 1:
        raise ConfigError(f"--mask is for one photograph, got {len(found)}; give them one at a time")
    names = name_outputs(readable(found, skip_bad=skip_bad))
    check_outputs(out, names, SUFFIXES)
    check_writable(out / "report.json")
    marked = None if mask is None else read_mask(mask)

    from shoegen.data.images import read_image
    from shoegen.editing import load

    shoes = load(model, device)
    inverter = Inverter(
        shoes.generator,
        segmenter=shoes.segmenter,
        encoder=None if encoder == "none" else encoder,
        seed=seed,
    )
    for note in inverter.notes:
        click.echo(f"note: {note}", err=True)

    left_out: dict[Path, str] = {}
    for photo, name in names.items():
        try:
            aligned = inverter.align(read_image(photo), mask=marked, instance=instance, flip=flip)  # type: ignore[arg-type]
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{photo}: {error}") from error
            left_out[photo] = str(error)
            click.echo(f"note: {photo} left out: {error}", err=True)
            continue
        key = inverter.key(aligned, quality)  # type: ignore[arg-type]
        report = _done_before(out, name, key)
        if report is not None:
            click.echo(f"{out / name}.safetensors: done before, {_describe(report['figures'])}")
            continue
        work = out / f".{name}"
        with show_progress(f"projecting {photo.name}", "steps") as progress:
            inversion = inverter.invert(aligned, quality=quality, work=work, progress=progress)  # type: ignore[arg-type]
        _write(out, name, photo, key, inversion, shoes)
        _clear(work)
        for note in aligned.notes:
            click.echo(f"note: {photo}: {note}", err=True)
        click.echo(f"{out / name}.safetensors: {_describe(inversion.figures)}")
    if len(left_out) == len(names):
        raise DataError(
            f"none of {len(names)} photographs could be used; the first: {next(iter(left_out.values()))}"
        )


def _write(out: Path, name: str, photo: Path, key: str, inversion: Inversion, shoes: Any) -> None:
    """The report comes last: where it is, so is the rest."""
    from shoegen.data.images import write_image
    from shoegen.editing.model import inverted
    from shoegen.torch_utils.files import write_json

    shoe = inverted(inversion, shoes, name=photo.name)
    shoe.save_latent(out / f"{name}.safetensors", name=name)
    write_image(out / f"{name}.png", _sheet(inversion, shoe))
    report = {
        "photo": str(photo),
        "photo_sha256": inversion.photo.sha256,
        "quality": inversion.quality,
        "model": {"name": shoes.name, "hash": inversion.origin},
        "tuned": inversion.is_tuned,
        "flipped": inversion.photo.is_flipped,
        "figures": {key: round(value, 6) for key, value in inversion.figures.items()},
        "notes": list(inversion.notes),
        "key": key,
    }
    write_json(out / f"{name}.json", report)


def _sheet(inversion: Inversion, shoe: Shoe) -> np.ndarray:
    """Photograph, aligned, reconstruction, put back: (H, W, 3) uint8."""
    from shoegen.data.images import fit_image, image_grid

    pictures = [inversion.photo.pixels, inversion.photo.aligned, shoe.image, shoe.in_photo]
    tiles = [fit_image(_rgb(each), (TILE, TILE), "pad", "bicubic") for each in pictures]
    return image_grid(tiles, len(tiles), captions=["photograph", "aligned", "reconstruction", "put back"])


def _rgb(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(3, axis=2) if picture.shape[2] == 1 else picture[..., :3]


def _done_before(out: Path, name: str, key: str) -> dict[str, Any] | None:
    """The report of the same search, if it and what it tells of are there."""
    import json

    if not all((out / f"{name}{suffix}").is_file() for suffix in SUFFIXES):
        return None
    try:
        report = json.loads((out / f"{name}.json").read_bytes())
        return report if report["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clear(work: Path) -> None:
    """Takes away what an interrupted search would have gone on from."""
    import contextlib

    from shoegen.inversion.projecting import STATE_FILE

    with contextlib.suppress(OSError):
        (work / STATE_FILE).unlink()
        work.rmdir()


def _describe(figures: dict[str, float]) -> str:
    return (
        f"parts IoU {figures['part_iou']:.3f}, colours {figures['delta_e']:.1f} ΔE00, latent "
        f"{figures['from_mean']:.2f} sigmas from the mean, {figures['seconds']:.0f} s"
    )
