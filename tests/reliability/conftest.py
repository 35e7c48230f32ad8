import time

import pytest

from .trainings import TRAININGS, Sets, length
from .warm import Commands

TALLY = pytest.StashKey()


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    started = Commands(tmp_path_factory.mktemp("output"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    return Sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="session")
def whole(commands, sets, tmp_path_factory):
    """By name, the folder of an undisturbed run."""
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def find(name):
        if name not in made:
            commands.run(*TRAININGS[name].start(sets, folder / name, length(name)))
            made[name] = folder / name
        return made[name]

    return find


@pytest.fixture
def tally(request):
    """Call it with what was done and how often, for the table at the end; a test that fails is a row too."""
    started, rows = time.monotonic(), request.config.stash.setdefault(TALLY, [])

    def count(what, number, remark=""):
        row[:] = [what, number, remark]

    row = [request.node.name, 0, "not finished"]
    yield count
    rows.append((*row, time.monotonic() - started))


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(TALLY, [])
    if not rows:
        return
    terminalreporter.section("what was survived")
    for what, number, remark, seconds in (("what", "times", "", "s"), *rows):
        took = seconds if isinstance(seconds, str) else f"{seconds:.0f}"
        terminalreporter.write_line(f"| {what:<44} | {number:>6} | {took:>5} | {remark}")
