"""What several commands do with their options."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import click
from click.core import ParameterSource

from shoegen.errors import ConfigError

MAX_INTEGERS = 100_000
MAX_SIDE = 16384


def parse_numbers(option: str, text: str) -> list[float]:
    """ "-2,0,1.5" → [-2.0, 0.0, 1.5].

    Raises:
        ConfigError: something is not a finite number.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{option}: got {text!r}, expected finite numbers such as -2,-1,0,1,2")
    return numbers


def parse_integers(option: str, text: str) -> list[int]:
    """ "0-3,7" → [0, 1, 2, 3, 7].

    Raises:
        ConfigError: not whole numbers from 0 on, or an empty range.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first)):
            raise ConfigError(f"{option}: got {text!r}, expected whole numbers such as 0-31 or 1,5,9-12")
        if int(last or first) - int(first) + len(numbers) >= MAX_INTEGERS:
            raise ConfigError(f"{option}: got {text!r}, expected at most {MAX_INTEGERS} numbers")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def parse_size(option: str, text: str) -> tuple[int, int]:
    """ "256x384", which is width x height, → (384, 256), which is (height, width); "256" → (256, 256).

    Raises:
        ConfigError: not one or two whole numbers from 1 to `MAX_SIDE`.
    """
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(
        side.isdecimal() and len(side) < 10 and 1 <= int(side) <= MAX_SIDE for side in sides
    ):
        raise ConfigError(
            f"{option}: got {text!r}, expected one side such as 256, or WIDTHxHEIGHT such as 256x384, each at most "
            f"{MAX_SIDE}"
        )
    return int(sides[-1]), int(sides[0])


def refuse_without_effect(ctx: click.Context, names: Collection[str], option: str) -> None:
    """Raises ConfigError for those of the options that were given, since `option` leaves them without effect."""
    given = [name for name in names if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE]
    unused = [f"--{name.replace('_', '-')}" for name in given]
    if unused:
        verb, them = ("has", "it") if len(unused) == 1 else ("have", "them")
        raise ConfigError(f"{' and '.join(unused)} {verb} no effect with {option}; leave {them} out")


def refuse_overwriting(option: str, path: str | Path | None, inputs: Iterable[str | Path]) -> None:
    """Raises ConfigError where what is to be written would take the place of something that was given."""
    if path is not None and Path(path).resolve() in {Path(each).resolve() for each in inputs}:
        raise ConfigError(f"{option} {path} would overwrite what was given; choose another name")


def refuse_with_resume(ctx: click.Context, allowed: Collection[str] = ()) -> None:
    """Raises ConfigError for options that --resume would ignore, since the run keeps its own."""
    kept = {"resume", "out", *allowed}
    given = [name for name in ctx.params if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE]
    ignored = [f"--{name.replace('_', '-')}" for name in given if name not in kept]
    if ignored:
        raise ConfigError(
            f"--resume keeps the options of the run, got {', '.join(ignored)} too; leave them out"
        )


def resume_options(command: Callable[..., None]) -> Callable[..., None]:
    """--resume and --dry-run, which every training has."""
    resume = click.option(
        "--resume", is_flag=True, help="Go on with the run in --out, exactly where its last checkpoint is."
    )
    dry_run = click.option(
        "--dry-run", is_flag=True, help="Check everything, print the configuration, and write nothing."
    )
    return resume(dry_run(command))


def process_options(command: Callable[..., None]) -> Callable[..., None]:
    """--device and --start-seconds, which every training has."""
    device = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
    start_seconds = click.option(
        "--start-seconds",
        default=120.0,
        show_default=True,
        help="How long several processes wait for one another at the start.",
    )
    return device(start_seconds(command))
