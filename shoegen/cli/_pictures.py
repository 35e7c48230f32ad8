"""The pictures that a command is given, and where what it makes of each goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np


def find_pictures(sources: tuple[Path, ...]) -> list[Path]:
    """The files, and the pictures anywhere below the folders."""
    from shoegen.data.images import IMAGE_SUFFIXES
    from shoegen.errors import DataError

    pictures: list[Path] = []
    for source in sources:
        if source.is_dir():
            found = sorted(
                path
                for path in source.rglob("*")
                if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not path.name.startswith(".")
            )
            if not found:
                raise DataError(f"{source} has no pictures; expected {' '.join(sorted(IMAGE_SUFFIXES))}")
            pictures += found
        elif source.is_file():
            pictures.append(source)
        else:
            raise DataError(f"nothing at {source}; give a picture or a folder of pictures")
    return pictures


def find_maps(sources: tuple[Path, ...]) -> list[Path]:
    """The same of part maps, without what `shoegen segment --overlay` leaves beside them in folders."""
    from shoegen.data.images import OVERLAY

    return [path for path in find_pictures(sources) if path in sources or not path.stem.endswith(OVERLAY)]


def readable(pictures: list[Path], *, skip_bad: bool) -> list[Path]:
    """The pictures that can be decoded; the others are named."""
    from shoegen.data.images import read_image
    from shoegen.errors import DataError
    from shoegen.torch_utils.text import some

    bad: dict[Path, str] = {}
    for picture in pictures:
        try:
            read_image(picture)
        except DataError as error:
            bad[picture] = str(error)
    if bad:
        listed = some(bad.values(), separator="; ")
        if not skip_bad or len(bad) == len(pictures):
            raise DataError(
                f"{len(bad)} of {len(pictures)} pictures cannot be read: {listed}; mend them, or leave them out "
                "with --skip-bad"
            )
        click.echo(f"note: {len(bad)} of {len(pictures)} pictures left out: {listed}", err=True)
    return [picture for picture in pictures if picture not in bad]


def read_mask(path: Path) -> np.ndarray:
    """(H, W) bool of the picture that --mask names: what is rather white than black, which JPEG blurs."""
    from shoegen.data.images import decode_image
    from shoegen.errors import DataError

    try:
        pixels = decode_image(path.read_bytes(), channels=1)[0]
    except (OSError, DataError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"--mask {path}: {reason}; give a picture that is white at the shoe and black elsewhere"
        ) from error
    mask: np.ndarray = pixels >= 128
    return mask


def name_outputs(pictures: list[Path]) -> dict[Path, str]:
    """The stem of the part map's file for each picture: its own, numbered where two pictures share one."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for picture in dict.fromkeys(pictures):
        name, number = picture.stem, 2
        while name in taken:
            name, number = f"{picture.stem}-{number}", number + 1
        names[picture] = name
        taken |= {name, f"{name}.overlay"}
    return names


def check_outputs(out: Path, names: dict[Path, str], suffixes: Sequence[str] = (".png",)) -> None:
    """Refuses a folder in which what is made of the pictures would take the place of one of them.

    Args:
        names: of `name_outputs`.
        suffixes: of the files that are made of each.
    """
    from shoegen.errors import ConfigError

    outputs = {(out / f"{name}{suffix}").resolve() for name in names.values() for suffix in suffixes}
    overwritten = [source for source in names if source.resolve() in outputs]
    if overwritten:
        raise ConfigError(f"--out {out} would overwrite the picture {overwritten[0]}; choose another folder")
