"""`shoegen manual`: the reference of all commands, as files."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder: shoegen.1, shoegen-edit.1 and so on; or shoegen.md and so on.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["man", "markdown"]),
    default="man",
    show_default=True,
    help="Of the pages.",
)
def command(out: Path, kind: str) -> None:
    """Write a page for each command, for `man` or in Markdown.

    \b
    shoegen manual --out ~/.local/share/man/man1 && man shoegen-edit
    shoegen manual --format markdown --out pages/
    """
    from shoegen.cli import main
    from shoegen.cli._manual import read_pages, to_man, to_markdown
    from shoegen.torch_utils.files import atomic_write

    write, suffix = (to_man, ".1") if kind == "man" else (to_markdown, ".md")
    pages = list(read_pages(main).all())
    for page in pages:
        with atomic_write(out / f"{page.file}{suffix}") as file:
            file.write(write(page).encode())
    click.echo(f"{out}: {len(pages)} pages")
