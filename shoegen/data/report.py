"""Reports on the files of a data set: what is wrong with each, and what happened to it. Loads no torch."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shoegen.errors import ConfigError
from shoegen.torch_utils.files import atomic_write, check_writable, write_json


@dataclass(frozen=True, kw_only=True)
class Offender:
    """A file that is not as it should be.

    Attributes:
        file: its name in the data set.
        problems: what is wrong, or was converted.
        action: what happened to it: "bad", "left out", "converted", "kept".
        width, height: in pixels, where the picture could be read.
        mode: how it is stored, such as "PNG palette", where it could be read.
    """

    file: str
    problems: list[str]
    action: str
    width: int | None = None
    height: int | None = None
    mode: str | None = None


def check_report(path: str | Path) -> None:
    """Checks, before long work, that a report can be written to `path`.

    Raises:
        ConfigError: neither .json nor .csv.
        OutputError: not writable.
    """
    if Path(path).suffix.lower() not in (".json", ".csv"):
        raise ConfigError(f"cannot write a report to {path}: expected the suffix .json or .csv")
    check_writable(path)


def write_report(path: str | Path, summary: dict[str, Any], offenders: list[Offender]) -> None:
    """Writes every offender, whole or not at all: as JSON after the summary, or as CSV without it."""
    if Path(path).suffix.lower() == ".json":
        write_json(path, {**summary, "offenders": [asdict(each) for each in offenders]})
        return
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "problems", "action", "width", "height", "mode"])
    for each in offenders:
        row = asdict(each) | {"problems": "; ".join(each.problems)}
        table.writerow(row.values())
    with atomic_write(path) as file:
        file.write(text.getvalue().encode(errors="backslashreplace"))
