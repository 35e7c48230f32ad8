"""What is seen of a job that goes on."""

import io
import sys

import pytest

from shoegen.torch_utils import progress
from shoegen.torch_utils.progress import LiveProgress, format_seconds


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_narrow_terminal_shows_the_task_how_far_it_is_and_what_is_left(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with LiveProgress("training", 100, unit="kimg") as live:
        live.update(25, "12 images/s  loss 0.1234  " + 20 * "more ")
    shown = next(line for line in sys.stderr.getvalue().splitlines() if "25/100" in line)
    assert "training" in shown
    assert "━" in shown
    assert "25/100 kimg  ETA" in shown
    assert ("…" in shown) == (columns < 200)


def test_elsewhere_a_line_every_few_seconds_and_the_last(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with LiveProgress("drawing", 40, unit="shoes") as live:
        for done in range(1, 41):
            now[0] += 0.5
            live.update(done)
        live.message("stays")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "drawing 1/40 shoes  ETA 20s"
    assert lines[-2:] == ["drawing 40/40 shoes  ETA 0s", "stays"]
    assert len(lines) == 6


def test_a_silent_one(capsys):
    with LiveProgress("drawing", 40, unit="shoes", on=False) as live:
        live.update(1)
        live.message("nothing")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(float("nan"), "?"), (9.6, "10s"), (75, "1m 15s"), (7500, "2h 05m")]
)
def test_seconds(seconds, text):
    assert format_seconds(seconds) == text
