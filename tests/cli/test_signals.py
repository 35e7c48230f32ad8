"""A command that is asked to end."""

import os
import signal

import pytest

from shoegen import cli
from shoegen.errors import FileFormatError


def read(terminated):
    """In C code: what ends it while it reads is taken for an error of its own."""
    with cli._errors_as_one_line(debug=False):
        try:
            if terminated:
                os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise FileFormatError("not a readable safetensors file")


@pytest.fixture(autouse=True)
def handled(monkeypatch):
    monkeypatch.setattr(cli, "_terminated", [])
    before = signal.signal(signal.SIGTERM, cli._terminate)
    yield
    signal.signal(signal.SIGTERM, before)


def test_an_end_that_c_code_took_for_an_error_is_an_end():
    with pytest.raises(SystemExit) as ended:
        read(terminated=True)
    assert ended.value.code == 143


def test_an_error_without_it_stays_one():
    with pytest.raises(cli._OneLineError, match="not a readable"):
        read(terminated=False)
