"""`shoegen latents`: what files of latents hold."""

from __future__ import annotations

import click


@click.group()
def command() -> None:
    """Shoes that were saved: their names, where they come from, and what was done to them.

    \b
    shoegen edit --direction heel --strength 2 --save-latent shoes/high.safetensors
    shoegen latents list shoes/
    """


@command.command("list")
@click.argument("path", type=click.Path())
def list_(path: str) -> None:
    """List the shoes in a file, or anywhere below a folder.

    \b
    shoegen latents list shoes/
    """
    from pathlib import Path

    from shoegen.editing.store import SUFFIX, list_latents
    from shoegen.torch_utils.tensors import kind_of
    from shoegen.torch_utils.text import some

    for stored in list_latents(path):
        click.echo(f"{stored.path}: {stored.name}")
        if stored.count != 1:
            click.echo(f"  {stored.count} latents; `shoegen generate --w-file` draws them")
        origin = ", ".join(
            f"{key} {value}" for key, value in stored.source.items() if key not in ("figures", "notes")
        )
        if origin:
            click.echo(f"  from {origin}")
        tuned = ", tuned" if stored.generator_hash != stored.origin else ""
        written = f", written by shoegen {stored.version}" if stored.version else ""
        click.echo(
            f"  model {stored.model or 'not named'}, generator {stored.generator_hash[:12]}{tuned}{written}"
        )
        for edit in stored.history:
            keeping = f", keeping {', '.join(edit.kept)}" if edit.kept else ""
            click.echo(f"  {edit.title}: {edit.say()}{keeping}; direction {edit.direction_hash[:12]}")
    if Path(path).is_dir():
        others = [str(file) for file in sorted(Path(path).rglob(f"*{SUFFIX}")) if kind_of(file) is None]
        if others:
            click.echo(f"note: damaged, or of another program: {some(others)}", err=True)
