"""Measured samples, for the commands that need them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from shoegen.directions.sampling import Samples
    from shoegen.directions.stopwatch import Stopwatch
    from shoegen.editing import ShoeModel

CACHE_HELP = (
    "Folder in which measured samples are kept; `none` keeps none. Default: directions/samples beside the model; for "
    "the shipped one the user's cache folder."
)


def sample(
    shoes: ShoeModel,
    model: str,
    count: int,
    *,
    psi: float,
    seed: int,
    cache: Path | None,
    ranges: tuple[tuple[int, ...], ...] = (),
    watch: Stopwatch | None = None,
) -> Samples:
    """Measured samples, with progress; `model` and `cache` as the options."""
    from shoegen.cli._progress import show_progress
    from shoegen.directions.cache import cached_samples, user_cache
    from shoegen.torch_utils.files import check_writable

    folder: Path | None = shoes.directions_folder / "samples"
    if model == "default":
        folder = user_cache() / "samples"
    if cache is not None:
        folder = None if str(cache) == "none" else cache
    if folder is not None:
        check_writable(folder / "samples.safetensors")
    with show_progress("measuring samples", "samples") as report:
        return cached_samples(
            shoes.generator,
            shoes.segmenter,
            count,
            psi=psi,
            seed=seed,
            ranges=ranges,
            folder=folder,
            progress=lambda done: report(done, count),
            say=click.echo,
            watch=watch,
        )
