"""Damaged files of every kind: a command reads them or says in one line what is wrong, and runs no code."""

import json

import pytest

from .files import KINDS, make_files
from .fuzzing import fuzz


@pytest.fixture(scope="session")
def made(commands, whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "made"
    make_files(folder, commands, whole)
    return folder


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("count", [10, pytest.param(300, marks=pytest.mark.soak)])
def test_damaged_files(name, count, commands, made, tmp_path, tally):
    process = commands.call(fuzz, name, count, str(made), str(tmp_path / "work"))
    process.join(60 + 10 * count)
    lines = [json.loads(line) for line in (tmp_path / "work" / "results.jsonl").read_text().splitlines()]
    done = {line["number"]: line for line in lines}
    problems = [line for line in done.values() if line["problem"]]
    refused = sum(line.get("code") == 1 for line in done.values())
    tally(
        f"damaged {name}",
        len(done),
        f"{refused} refused, {len(done) - refused} read; {len(problems)} problems",
    )
    assert not problems, "\n\n".join(describe(line) for line in problems[:20])
    assert process.exitcode == 0
    assert len(done) == count
    assert refused or count < 5


def describe(line):
    return f"#{line['number']} {line['mutation']}: shoegen {line['command']}\n{line['problem']}"
