import json
import math

import numpy as np
import pytest

from shoegen.data.images import read_image
from shoegen.editing import report as reports


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr("shoegen.editing.model.SAMPLES", 16)


def test_says_what_moved(model, tmp_path):
    shoe = model.sample(seed=3)
    edited = shoe.edit(heel="+15mm")
    report = edited.report(shoe, shoe_length=265)
    movements = {each.name: each for each in report.movements}
    heel = movements["heel_height"]
    assert heel.is_asked
    assert not heel.is_unwanted
    assert 265 * heel.change == pytest.approx(15, abs=1.1)
    assert heel.sigmas == pytest.approx(heel.change / 0.1)
    assert "heel_height" not in [each.name for each in report.unwanted]
    assert all(abs(each.sigmas) > reports.UNWANTED for each in report.unwanted)
    assert report.changed.shape == (16, 16)
    assert report.changed.any()
    assert " *heel_height: " in repr(report)

    path = tmp_path / "new" / "report.json"
    assert report.save(path) == path.with_suffix(".png")
    figures = json.loads(path.read_text())
    assert figures["edits"][0]["asked"] == "+15mm"
    assert figures["attributes"]["heel_height"]["change_mm"] == pytest.approx(265 * heel.change, abs=0.01)
    assert figures["changed_share"] == pytest.approx(report.changed.mean())
    assert np.array_equal(read_image(path.with_suffix(".png")), report.image)
    assert read_image(report._repr_png_()).shape == report.image.shape


def test_nothing_changed(model):
    shoe = model.sample(seed=3)
    report = shoe.report(shoe)
    assert not report.changed.any()
    assert report.unwanted == []
    assert report.figures()["edits"] == []


def test_what_cannot_be_measured_has_a_reason(model):
    shoe = model.sample(seed=3)
    report = shoe.edit(heel=-4).report(shoe)
    (width,) = (each for each in report.movements if each.name == "heel_width")
    assert math.isnan(width.change)
    assert width.reason
    figures = report.figures()["attributes"]["heel_width"]
    assert figures["after"] is None
    assert figures["reason"] == width.reason
    json.dumps(report.figures(), allow_nan=False)
    assert report.image.shape[2] == 3


def test_sigmas_come_from_directions_that_know_them(model):
    import dataclasses

    direction = dataclasses.replace(model.direction("heel"), sigmas={"heel_height": 0.1, "rear_height": 0.02})
    direction.save(model.directions_folder / "heel.safetensors")
    assert model.sigmas == {"heel_height": 0.1, "rear_height": 0.02}
