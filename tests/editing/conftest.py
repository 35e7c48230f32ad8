import pytest

import shoegen

from ..tiny import BrightnessSegmenter
from .models import make_run_folder


@pytest.fixture
def run_folder(tmp_path):
    """A generator with a heel direction that makes its pictures brighter."""
    return make_run_folder(tmp_path / "run")


@pytest.fixture(autouse=True)
def fake_segmenter(monkeypatch):
    monkeypatch.setattr("shoegen.editing.PartSegmenter.load", lambda **_: BrightnessSegmenter())


@pytest.fixture(autouse=True)
def straight_edits(monkeypatch):
    """What the fake segmenter sees is no shoe, of which something could be held; see test_holding."""
    monkeypatch.setattr("shoegen.editing.holding.BELOW", frozenset())


@pytest.fixture
def model(run_folder):
    return shoegen.load(run_folder, device="cpu")
