"""What is wrong with annotations, item by item, each with a way to mend it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shoegen.errors import DataError
from shoegen.torch_utils.files import atomic_write, write_json


class Fault(DataError):
    """One item that cannot be used: `what` is wrong with it, and how to `mend` it."""

    def __init__(self, what: str, mend: str):
        super().__init__(f"{what}; {mend}")
        self.what, self.mend = what, mend


@dataclass(frozen=True)
class Finding:
    """Something that a user should know of `image` (or, where that is None, of the whole `file`).

    `severity` is "error" where a training would fail or learn what is wrong, otherwise "warning".
    """

    severity: str
    file: str
    image: str | None
    what: str
    mend: str

    def __str__(self) -> str:
        where = self.file if self.image is None else f"{self.file}: {self.image}"
        return f"{where}: {self.what}; {self.mend}"


class Findings(list[Finding]):
    """The findings of one file, as they come."""

    def __init__(self, file: str):
        super().__init__()
        self.file = file

    def error(self, image: str | None, what: str, mend: str) -> None:
        self.append(Finding("error", self.file, image, what, mend))

    def warning(self, image: str | None, what: str, mend: str) -> None:
        self.append(Finding("warning", self.file, image, what, mend))


def check_findings(findings: Sequence[Finding], source: str) -> None:
    """Raises DataError where there is an error, in one line with the first three of them."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    if len(errors) == 1:
        raise DataError(f"{errors[0]} (--skip-bad leaves out such pictures)")
    more = f"; and {len(errors) - 3} more, which shoegen inspect lists" if len(errors) > 3 else ""
    listed = "; ".join(
        (f"{error.image}: " if error.image is not None else "") + error.what for error in errors[:3]
    )
    raise DataError(
        f"{source}: {len(errors)} errors: {listed}{more}; mend them, or leave out such pictures with --skip-bad"
    )


def write_findings(path: str | Path, summary: dict[str, Any], findings: Sequence[Finding]) -> None:
    """Writes every finding, whole or not at all: as JSON after the summary, or as CSV without it."""
    rows = [asdict(finding) for finding in findings]
    if Path(path).suffix.lower() == ".json":
        write_json(path, {**summary, "findings": rows})
        return
    text = io.StringIO()
    table = csv.DictWriter(text, ["severity", "file", "image", "what", "mend"], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode(errors="backslashreplace"))
