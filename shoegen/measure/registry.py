"""Which attributes there are: those built in, and the user's own."""

from __future__ import annotations

import csv
import math
import runpy
from pathlib import Path

from shoegen.errors import ConfigError, DataError
from shoegen.measure.attribute import NEEDS, Attribute
from shoegen.measure.colors import COLORS
from shoegen.measure.parts import PARTS
from shoegen.measure.silhouettes import SILHOUETTES

ATTRIBUTES: dict[str, Attribute] = {
    attribute.name: attribute for attribute in (*PARTS, *SILHOUETTES, *COLORS)
}
"""Those built in; `register` adds to them."""

ALIASES = {
    "heel": "heel_height",
    "sole": "sole_thickness",
    "platform": "platform_height",
    "shaft": "shaft_height",
    "toe": "toe_pointedness",
    "instep": "instep_curve",
    "collar": "collar_height",
    "rear": "rear_height",
    "opening": "opening_size",
    "fastening": "fastening_size",
    "silhouette": "silhouette_ratio",
    "chroma": "upper_chroma",
    "lightness": "upper_l",
}
"""Short forms of names."""

_loaded: dict[Path, list[str]] = {}


def attribute_name(name: str) -> str:
    """The attribute that a name or its short form ("heel") means.

    Raises:
        ConfigError: no attribute has this name; lists those that there are.
    """
    attribute = ALIASES.get(name, name)
    if attribute not in ATTRIBUTES:
        raise ConfigError(f"no attribute {name!r}; expected one of {', '.join([*ALIASES, *ATTRIBUTES])}")
    return attribute


def register(attribute: Attribute) -> Attribute:
    """Adds an attribute for as long as this process runs.

        register(Attribute("area", "area over length squared", "ratio", "silhouette", "no shoe",
                           lambda shoe: shoe.area / shoe.length**2))

    Raises:
        ConfigError: its name is taken or no identifier, its function cannot be called, or it needs something else than
            "silhouette", "parts" or "image".
    """
    if not isinstance(attribute, Attribute):
        raise ConfigError(f"register: got {type(attribute).__name__}, expected a shoegen.measure.Attribute")
    name = attribute.name
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigError(
            f"attribute {name!r}: expected a name of letters, digits and underscores, such as toe_gap"
        )
    if name in ATTRIBUTES or name in ALIASES:
        raise ConfigError(f"attribute {name}: there is one of this name; choose another")
    if not callable(attribute.function):
        got = type(attribute.function).__name__
        raise ConfigError(f"attribute {name}: its function is a {got}, expected something that takes a Shape")
    if attribute.needs not in NEEDS:
        raise ConfigError(
            f"attribute {name}: needs is {attribute.needs!r}, expected one of {', '.join(NEEDS)}"
        )
    ATTRIBUTES[name] = attribute
    return attribute


def load_attributes(path: str | Path) -> list[str]:
    """Runs a user's own Python file, which calls `register`, and gives the names that it added.

    The file is run as code, with all that this process may do: run only files that you trust. Running a file again
    replaces what it added before.

    Raises:
        ConfigError: it cannot be read, it fails, or it registers nothing.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise ConfigError(f"no attributes at {path}; give a Python file that calls shoegen.measure.register")
    for name in _loaded.pop(path, []):
        ATTRIBUTES.pop(name, None)
    before = set(ATTRIBUTES)
    try:
        runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        for name in set(ATTRIBUTES) - before:
            del ATTRIBUTES[name]
        raise ConfigError(f"{path} failed: {type(error).__name__}: {error}; mend it") from error
    names = [name for name in ATTRIBUTES if name not in before]
    if not names:
        raise ConfigError(f"{path} registers no attribute; call shoegen.measure.register in it")
    _loaded[path] = names
    return names


def read_scores(path: str | Path) -> dict[int, float]:
    """What people think of the shoes of seeds: a CSV file with the columns seed and score.

    Raises:
        DataError: it cannot be read, lacks a column, or has a line that is no whole number and number, or a seed twice.
    """
    scores: dict[int, float] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            lacking = {"seed", "score"} - set(rows.fieldnames or ())
            if lacking:
                raise DataError(
                    f"{path}: no column {' and '.join(sorted(lacking))}; its first line is: seed,score"
                )
            for row in rows:
                try:
                    seed, score = int(row["seed"]), float(row["score"])
                except (TypeError, ValueError):
                    seed, score = -1, math.nan
                if seed < 0 or not math.isfinite(score):
                    raise DataError(
                        f"{path}, line {rows.line_num}: got {row['seed']!r} and {row['score']!r}, expected a seed and "
                        "a number such as 7,0.5"
                    )
                if seed in scores:
                    raise DataError(
                        f"{path}, line {rows.line_num}: seed {seed} has a score already; leave one out"
                    )
                scores[seed] = score
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read the scores {path}: {error}; give a CSV file with seed,score") from error
    if not scores:
        raise DataError(f"{path} has no scores; expected lines such as 7,0.5")
    return scores
