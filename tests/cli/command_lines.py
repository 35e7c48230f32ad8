"""Commands as documents and help texts write them: taken from the text and parsed, but not run."""

import re
import shlex

import click

from shoegen.cli import main


def command_lines(text):
    """The arguments of each `shoegen` in lines for a shell: of pipes and chains of every one, of launchers too."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(re.sub(r"\$\((.*)\)", r"\1", line), comments=True)
        for i, word in enumerate(words):
            is_command = i == 0 or words[i - 1] in ("&&", "|", ";") or "=" in words[0] or words[0] == "srun"
            if word == "shoegen" and (is_command or words[i - 1] == "-m"):
                rest = words[i + 1 :]
                stops = [rest.index(stop) for stop in ("&&", "|", ";", ">", "&") if stop in rest]
                yield rest[: min(stops, default=len(rest))]
            elif word.startswith("shoegen ") and words[0] == "eval":
                yield word.split()[1:]


def parse(arguments, command=main, name="shoegen"):
    """Raises click.UsageError where click cannot follow the arguments; runs nothing."""
    try:
        ctx = command.make_context(name, list(arguments))
    except click.exceptions.Exit:  # --help, --version
        return
    if isinstance(command, click.Group):
        name, command, rest = command.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
        parse(rest, command, name)
