"""`shoegen completion`: commands, options and names, completed by the shell."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what lets a shell complete commands, options, models, directions and attributes.

    \b
    eval "$(shoegen completion bash)"    # in ~/.bashrc
    eval "$(shoegen completion zsh)"     # in ~/.zshrc, after compinit
    shoegen completion fish > ~/.config/fish/completions/shoegen.fish
    """
    from click.shell_completion import get_completion_class

    from shoegen.cli import main

    kind = get_completion_class(shell)
    assert kind is not None
    # Not `source()`: for bash it first asks the bash on the path for its version, and warns or fails without one.
    completion = kind(main, {}, "shoegen", "_SHOEGEN_COMPLETE")
    click.echo(completion.source_template % completion.source_vars())
