"""CSV files that users write: UTF-8 with or without a mark, columns in any order, their names in any case."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from shoegen.errors import DataError


@dataclass(frozen=True)
class Row:
    """line: its number in the file, from 1. cells: by lower-case column, without spaces around; "" where empty."""

    line: int
    cells: dict[str, str]


def read_table(
    content: bytes, name: str, needed: Sequence[str], optional: Sequence[str] = (), *, others: bool = False
) -> list[Row]:
    """The rows of a CSV file that have anything in these columns.

    Args:
        content: of the file. name: what messages call it.
        needed: lower-case names of the columns that must be there. optional: of those that may.
        others: whether columns of other names may be there, which are left out.

    Raises:
        DataError: it is no CSV file, lacks a column, has one too many, or a row has more cells than columns, or a NUL.
    """
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        columns = [(each or "").strip().lower() for each in reader.fieldnames or ()]
        reader.fieldnames = columns
        read = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name} is no CSV file in UTF-8 ({error}); save it anew") from error
    expected = f"expected {', '.join(needed)}"
    if optional:
        expected += f", if wanted {', '.join(optional)}"
    known = {*needed, *optional}
    if not {*needed} <= {*columns} or ({*columns} - known and not others):
        raise DataError(f"{name} has the columns {', '.join(filter(None, columns)) or 'none'}; {expected}")
    rows = []
    for line, row in read:
        if None in row or "\0" in "".join(filter(None, row.values())):
            raise DataError(f"{name}: line {line} has more cells than columns, or a NUL; {expected}")
        cells = {column: (row.get(column) or "").strip() for column in (*needed, *optional)}
        if any(cells.values()):
            rows.append(Row(line, cells))
    return rows
