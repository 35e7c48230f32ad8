"""A page for each command, written from what click knows of it: for `man`, and as Markdown for the documents."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from shoegen import __version__

PROGRAMS = (
    "shoegen ",
    "torchrun ",
    "eval ",
    "man ",
)  # a literal paragraph that has such a line is of examples

STATUS = (
    ("0", "All went well; a training that SIGTERM or Ctrl-C ended has saved first."),
    ("1", "An error, in one line: what was got, what was expected, what to do. --debug adds the traceback."),
    ("2", "The command line cannot be followed."),
)
VARIABLES = (
    ("SHOEGEN_OPS", "auto, native or reference: compiled operations or plain PyTorch, as --ops."),
    ("SHOEGEN_ASSETS", "Folder of the published weights that metrics and perceptual terms use."),
    ("SHOEGEN_PASSWORD", "What `shoegen app` asks its visitors for, as --password."),
    ("SHOEGEN_CUDA", "0: an installation leaves the CUDA ops out. 1: it builds them without a GPU too."),
    ("XDG_CACHE_HOME", "Where samples that were measured are kept, in shoegen/. Default: ~/.cache."),
)


@dataclass(frozen=True)
class Page:
    """One command. name: as it is typed, such as "shoegen latents list"."""

    name: str
    command: click.Command
    usage: str  # the arguments: "[OPTIONS] FILE|FOLDER…"
    paragraphs: list[str]  # of the description, but for the examples; literal ones begin with "\b\n"
    examples: list[str]  # lines
    options: list[tuple[str, str]]  # "--seed INTEGER", what it does
    children: list[Page]

    @property
    def file(self) -> str:
        """ "shoegen-latents-list" """
        return self.name.replace(" ", "-")

    @property
    def summary(self) -> str:
        return self.paragraphs[0] if self.paragraphs else ""

    def all(self) -> Iterator[Page]:
        yield self
        for child in self.children:
            yield from child.all()


def read_pages(command: click.Command, name: str = "shoegen", parent: click.Context | None = None) -> Page:
    """The page of a command, and those of the commands in it."""
    ctx = click.Context(command, info_name=name.split()[-1], parent=parent, **command.context_settings)
    children = []
    if isinstance(command, click.Group):
        for each in command.list_commands(ctx):
            child = command.get_command(ctx, each)
            assert child is not None
            children.append(read_pages(child, f"{name} {each}", ctx))
    paragraphs, examples = [], []
    for paragraph in filter(None, inspect.cleandoc(command.help or "").split("\n\n")):
        literal = paragraph.removeprefix("\b\n")
        lines = literal.splitlines()
        if literal != paragraph and any(line.startswith(PROGRAMS) for line in lines):
            examples += lines
        else:
            paragraphs.append(paragraph if literal != paragraph else " ".join(lines))
    records = (param.get_help_record(ctx) for param in command.get_params(ctx))
    return Page(
        name=name,
        command=command,
        usage=" ".join(command.collect_usage_pieces(ctx)),
        paragraphs=paragraphs,
        examples=examples,
        options=[(names, " ".join(text.split())) for names, text in filter(None, records)],
        children=children,
    )


# ---- man ----


def to_man(page: Page) -> str:
    """The page in roff, with the macros of man(7)."""
    lines = [
        f'.TH {page.file.upper()} 1 "" "shoegen {__version__}" "shoegen"',
        ".SH NAME",
        _roff(f"{page.file} - {page.summary.rstrip('.')}"),
        ".SH SYNOPSIS",
        f".B {_roff(page.name)}",
        _roff(page.usage),
        ".SH DESCRIPTION",
    ]
    for paragraph in page.paragraphs:
        literal = paragraph.removeprefix("\b\n")
        if literal != paragraph:
            lines += [".PP", ".nf", *map(_roff, literal.splitlines()), ".fi"]
        else:
            lines += [".PP", _roff(paragraph)]
    if page.examples:
        lines += [".SH EXAMPLES", ".nf", *map(_roff, page.examples), ".fi"]
    sections = [("OPTIONS", page.options)]
    if page.children:
        sections.append(("COMMANDS", [(child.file + "(1)", child.summary) for child in page.children]))
    if page.name == "shoegen":
        sections += [("EXIT STATUS", list(STATUS)), ("ENVIRONMENT", list(VARIABLES))]
    for title, entries in sections:
        lines.append(f".SH {title}")
        for name, text in entries:
            lines += [".TP", f".B {_roff(name)}", _roff(text)]
    if page.name != "shoegen":
        above = page.file.rpartition("-")[0] if page.name.count(" ") > 1 else "shoegen"
        lines += [".SH SEE ALSO", f".BR {_roff(above)} (1)"]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


# ---- Markdown ----


def to_markdown(page: Page) -> str:
    """The page for mkdocs, with definition lists."""
    parts = [f"# {page.name}"]
    parts += [_paragraph(each) for each in page.paragraphs[:1]]
    parts.append(f"```text\n{page.name} {page.usage}\n```")
    parts += [_paragraph(each) for each in page.paragraphs[1:]]
    if page.examples:
        parts.append("## Examples\n\n```sh\n" + "\n".join(page.examples) + "\n```")
    parts.append("## Options\n\n" + _definitions(page.options))
    if page.children:
        rows = [f"[`{child.name}`]({child.file}.md)\n:   {_escape(child.summary)}" for child in page.children]
        parts.append("## Commands\n\n" + "\n\n".join(rows))
    if page.name == "shoegen":
        parts.append("## Exit status\n\n" + _definitions(STATUS))
        parts.append("## Environment\n\n" + _definitions(VARIABLES))
    return "\n\n".join(parts) + "\n"


def _definitions(entries: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> str:
    return "\n\n".join(f"`{name}`\n:   {_escape(text)}" for name, text in entries)


def _paragraph(paragraph: str) -> str:
    literal = paragraph.removeprefix("\b\n")
    return f"```text\n{literal}\n```" if literal != paragraph else _escape(paragraph)


def _escape(text: str) -> str:
    """Nothing in a help text is Markdown but `code`."""
    parts = text.split("`")
    plain = [re.sub(r"([\\*_<>\[\]|#])", r"\\\1", part) for part in parts[::2]]
    coded = [f"`{part}`" for part in parts[1::2]]
    return "".join(each for pair in zip(plain, [*coded, ""], strict=False) for each in pair)
