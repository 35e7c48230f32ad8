"""For mkdocstrings: docstrings as this project writes them, in the form that it reads.

What a class says of its attributes, a line for each, becomes a list. Parameters that share a line get one each:

    mean, sigma: of the attribute over the samples.

What a package has from its modules is shown with the module alone.
"""

import re
from collections.abc import Collection

import griffe

ENTRY = re.compile(r"( *)(\w+(?:, \w+)*): ")


class HouseStyle(griffe.Extension):
    def on_class(self, *, cls: griffe.Class, **_: object) -> None:
        if cls.docstring:
            known = {*cls.members, *(parameter.name for parameter in cls.parameters)}
            paragraphs = _one_each(cls.docstring.value, known).split("\n\n")
            cls.docstring.value = "\n\n".join(_as_list(each, known) for each in paragraphs)

    def on_function(self, *, func: griffe.Function, **_: object) -> None:
        if func.docstring:
            known = {parameter.name.lstrip("*") for parameter in func.parameters}
            func.docstring.value = _one_each(func.docstring.value, known)

    def on_module(self, *, mod: griffe.Module, **_: object) -> None:
        for member in mod.members.values():
            if member.is_alias:
                member.public = False


def _one_each(text: str, known: Collection[str]) -> str:
    """Indented entries of several names, once for each of them."""
    lines, done = text.splitlines(), []
    while lines:
        line = lines.pop(0)
        found = ENTRY.match(line)
        names = found[2].split(", ") if found and found[1] else []
        if found is None or len(names) < 2 or not {*names} <= {*known}:
            done.append(line)
            continue
        rest = [line[found.end() :]]
        while lines and lines[0].startswith(found[1] + " "):
            rest.append(lines.pop(0))
        for name in names:
            done += [f"{found[1]}{name}: {rest[0]}", *rest[1:]]
    return "\n".join(done)


def _as_list(paragraph: str, known: Collection[str]) -> str:
    """Markdown bullets, where every line is an entry that begins with known names, or goes on with one."""
    entries: list[str] = []
    for line in paragraph.splitlines():
        found = ENTRY.match(line)
        if found and not found[1] and {*found[2].split(", ")} <= {*known}:
            names = ", ".join(f"`{name}`" for name in found[2].split(", "))
            entries.append(f"- {names}: {line[found.end() :]}")
        elif entries:
            entries[-1] += " " + line.strip()
        else:
            return paragraph
    return "\n".join(entries)
