"""The `shoegen` command. Each command is one file here; torch is imported inside the bodies only."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import click

from shoegen import __version__
from shoegen.errors import ShoegenError
from shoegen.torch_utils.text import one_line

SECTIONS = {
    "Draw and edit": ("app", "edit", "generate", "style-mix", "interpolate", "latents"),
    "Photographs": ("project", "segment", "measure", "cutout", "inpaint"),
    "Part maps and swaps": ("paint", "swap"),
    "Directions": ("fit-direction", "discover-directions", "convert-direction"),
    "Data": ("inspect", "prepare", "convert-annotations", "make-shoes"),
    "Train": ("train-stylegan", "train-segmenter", "train-spade", "train-cagan", "train-encoder"),
    "Judge and hand on": ("evaluate", "compare-segmenters", "convert-model", "export"),
    "This installation": ("doctor", "build-ops", "completion", "manual"),
}
"""The commands by what they are for, as the help shows them."""
TERMINATED = 128 + signal.SIGTERM
_terminated: list[int] = []


class _OneLineError(click.ClickException):
    """Shows `error: …` and exits with 1."""

    def show(self, file: object = None) -> None:
        click.echo(f"error: {self.message}", err=True)


class _CommandFiles(click.Group):
    """Finds the commands by their file names and loads only the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        return importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, self.list_commands(ctx)))
        for title, names in SECTIONS.items():
            commands = {name: self.get_command(ctx, name) for name in names}
            with formatter.section(title):
                formatter.write_dl(
                    [(name, each.get_short_help_str(limit)) for name, each in commands.items() if each]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if self.get_command(ctx, args[0]) is None:
                known = ", ".join(self.list_commands(ctx))
                raise click.UsageError(
                    f"No such command {args[0]!r}; the commands are {known}.", ctx
                ) from error
            raise

    def invoke(self, ctx: click.Context) -> object:
        with _errors_as_one_line(debug=ctx.params["debug"]):
            return super().invoke(ctx)


@contextlib.contextmanager
def _errors_as_one_line(*, debug: bool) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if _terminated:  # in the middle of C code, which took it for an error of its own
            sys.exit(TERMINATED)
        if debug or not isinstance(error, ShoegenError):
            raise
        message = one_line(str(error))
        if os.environ.get("WORLD_SIZE", "1") != "1" and "rank " not in message:
            message = f"rank {os.environ.get('RANK')}: {message}"
        raise _OneLineError(message) from error


@click.group(cls=_CommandFiles, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="shoegen")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--ops",
    type=click.Choice(["auto", "native", "reference"]),
    help="Compiled operations or plain PyTorch. Default: SHOEGEN_OPS, else auto: what there is.",
)
def main(debug: bool, ops: str | None) -> None:
    """Generative shoe design: segment shoes, train generators, edit along measured axes.

    \b
    shoegen edit --direction heel --by +20mm             # with the models that ship
    shoegen segment photo.jpg --out parts/ --overlay
    shoegen train-stylegan --data photos.zip --resolution 64 --out runs/shoes
    shoegen COMMAND --help                               # all options of a command, with examples
    shoegen manual --out ~/.local/share/man/man1         # the same for `man`
    eval "$(shoegen completion bash)"                    # names completed with the tab key
    """
    if ops is not None:
        os.environ["SHOEGEN_OPS"] = ops  # read when the first op is loaded
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, _: FrameType | None) -> None:
    """Ends the command by an exception, so that half-written files are cleaned up."""
    _terminated.append(number)
    sys.exit(TERMINATED)
