"""The shoe that a visitor works on, without the page."""

import pytest

from shoegen.app import bench as benches
from shoegen.app.bench import MEASURED, SIGMA, Bench
from shoegen.app.studio import Studio
from shoegen.app.words import sentence
from shoegen.app.work import KEPT, Works
from shoegen.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def studio():
    return Studio()


@pytest.fixture
def bench(studio):
    bench = Bench(studio)
    bench.put(studio.model.sample(7))
    return bench


def test_nothing_there(studio):
    with pytest.raises(ConfigError, match="pick one first"):
        Bench(studio).drag("heel", 1, SIGMA, [])


def test_one_drag_is_one_step(studio, bench, monkeypatch):
    monkeypatch.setattr(benches, "DRAG", 600.0)
    heel = studio.directions["heel"]
    first = bench.shoe
    for strength in (0.2, 0.5, 1.0):
        bench.drag("heel", strength, SIGMA, [])
        assert bench.position(heel, SIGMA) == pytest.approx(strength)
    assert len(bench.shoe.history) == 1
    monkeypatch.setattr(benches, "DRAG", 0.0)
    bench.drag("heel", 2.0, SIGMA, [])
    assert [edit.strength for edit in bench.shoe.history] == pytest.approx([1.0, 1.0])
    bench.undo()
    assert bench.position(heel, SIGMA) == pytest.approx(1.0)
    bench.undo()
    assert bench.shoe is first
    assert not bench.can_undo
    bench.redo()
    bench.drag("heel", -1.0, SIGMA, [])
    assert not bench.can_redo
    assert bench.position(heel, SIGMA) == pytest.approx(-1.0)


def test_the_rest_is_held_when_the_slider_rests(studio, bench, monkeypatch):
    monkeypatch.setattr(benches, "DRAG", 600.0)
    bench.drag("heel", 75, MEASURED, hold=True)
    entry = bench.unsettled
    held = bench.held(entry)
    assert bench.shoe is entry.shoe
    assert held.shoe.history[-1].attribute == "heel_height"
    assert not held.shoe.ws.equal(entry.shoe.ws)
    assert 265 * held.shoe.measures["heel_height"] == pytest.approx(75, abs=3)
    bench.drag("heel", 90, MEASURED, hold=True)  # dragged on meanwhile
    assert not bench.settle(entry, held)
    entry = bench.unsettled
    assert bench.settle(entry, bench.held(entry))
    assert bench.unsettled is None
    assert len(bench.shoe.history) == 1
    bench.undo()
    assert bench.shoe is bench.start
    bench.drag("heel", 80, MEASURED)
    assert bench.unsettled is None


def test_what_is_to_be_held_still_is_after_undo_and_redo(bench, monkeypatch):
    monkeypatch.setattr(benches, "DRAG", 600.0)
    bench.drag("heel", 75, MEASURED, hold=True)
    bench.undo()
    assert bench.unsettled is None
    bench.redo()
    entry = bench.unsettled
    assert bench.settle(entry, bench.held(entry))
    assert bench.shoe.history[-1].held
    bench.drag("heel", 80, MEASURED)  # another drag
    bench.undo()
    assert 265 * bench.shoe.measures["heel_height"] == pytest.approx(75, abs=3)


def test_millimetres_are_sought(studio, bench):
    heel = studio.directions["heel"]
    bench.drag("heel", 80, MEASURED, [])
    assert bench.position(heel, MEASURED) == pytest.approx(80, abs=3)
    reading = bench.reading(heel)
    assert reading.unit == "mm"
    assert reading.sigmas == pytest.approx((reading.now - reading.before) / 265 / heel.sigma)
    there = bench.shoe
    with pytest.raises(ConfigError, match="out of reach"):
        bench.drag("heel", 400, MEASURED, [])
    assert bench.shoe is there
    bench.reset()
    assert bench.shoe is bench.start
    bench.undo()
    assert bench.shoe.history == there.history


def test_what_is_held_by_measuring_still_has_its_slider(bench):
    bench.drag("heel", 80, MEASURED, ["heel_height", "shaft_height"])
    assert bench.shoe.history[-1].kept == ("shaft_height",)


def test_another_shoe_can_be_taken_back(studio, bench):
    bench.drag("heel", 1, SIGMA, [])
    edited = bench.shoe
    bench.put(studio.model.sample(8))
    assert bench.shoe is bench.start
    bench.undo()
    assert bench.shoe.history == edited.history


def test_memory_is_bounded(studio, bench, monkeypatch):
    monkeypatch.setattr(benches, "DRAG", 0.0)
    for step in range(benches.DEPTH + 10):
        bench.put(studio.model.sample(step % 3))
        _ = bench.shoe.image
    assert len(bench._done) == benches.DEPTH
    assert sum("_drawn" in entry.shoe.__dict__ for entry in bench._done) <= benches.DRAWN


def test_works_are_found_by_their_key_alone(studio):
    works = Works(studio)
    mine = works.find("")
    assert works.find(mine.key) is mine
    assert works.find("guess") is not mine
    assert len(mine.key) >= 32
    for _ in range(KEPT):
        works.find("")
    assert len(works) == KEPT
    assert works.find(mine.key) is not mine  # the one that was not used for longest


def test_sentences_speak_of_no_options():
    error = DataError("no shoe was found; expected one from the side; mark it with --mask")
    assert sentence(error) == "No shoe was found; expected one from the side."
    assert sentence(ConfigError("--quality: got 'x', expected fast")) == "Quality: got 'x', expected fast."
    assert (
        sentence(ValueError("inner things")) == "This could not be done (ValueError). Your work is as it was."
    )
