import dataclasses
import math

import numpy as np
import pytest
import torch

from shoegen.editing.aiming import say_miss
from shoegen.errors import ConfigError

from .models import brightness_direction


def heel(shoe):
    return 265 * shoe.measures["heel_height"]


def add_direction(model, name, **changes):
    """A file beside the heel's."""
    direction = dataclasses.replace(model.direction("heel"), **changes)
    direction.save(model.directions_folder / f"{name}.safetensors")
    return direction


def test_by_and_to_are_measured(model):
    shoe = model.sample(seed=3)
    taller = shoe.edit(heel="+10mm")
    assert heel(taller) == pytest.approx(heel(shoe) + 10, abs=1.1)
    assert heel(shoe.edit(heel="-10mm")) == pytest.approx(heel(shoe) - 10, abs=1.1)
    for target in (20, 45, 70):
        edited = shoe.edit(heel=f"{target}mm")
        assert heel(edited) == pytest.approx(target, abs=1.5)
        (edit,) = edited.history
        assert (edit.direction, edit.attribute, edit.asked) == ("heel", "heel_height", f"to {target}mm")
        assert edit.reached == pytest.approx(edited.measures["heel_height"], abs=1e-6)
        assert edit.miss == pytest.approx(edit.reached - target / 265)
        assert 0 < edit.pictures <= 24
        torch.testing.assert_close(edited.ws, model.direction("heel").move(shoe.ws, edit.strength))
    assert heel(shoe.edit(heel="to 60mm", shoe_length=300)) == pytest.approx(60 * 265 / 300, abs=1.5)
    assert shoe.edit(heel="to 45mm").title == "seed 3, heel to 45mm"


def test_edits_chain(model):
    shoe = model.sample(seed=3)
    edited = shoe.edit(heel="45mm").edit(heel=0.5).edit(heel="-5mm")
    assert [edit.asked for edit in edited.history] == ["to 45mm", "+0.5", "-5mm"]
    assert shoe.history == ()


def test_out_of_reach_says_the_range(model):
    with pytest.raises(
        ConfigError, match=r"900.0 mm is out of reach of seed 3; it can be brought from .* mm to"
    ):
        model.sample(seed=3).edit(heel="900mm")


def test_reach_of_the_direction_is_kept(model):
    add_direction(model, "short", curve=[[0.0, 0.1, 0.1, 1.0]], reach=(-0.1, 0.1))
    shoe = model.sample(seed=3)
    assert abs(shoe.edit(short="+1mm").history[0].strength) <= 0.1
    with pytest.raises(ConfigError, match="out of reach"):
        shoe.edit(short="+30mm")


def test_units_must_fit(model):
    shoe = model.sample(seed=3)
    for amount in ("+5 CIELAB", "to 0.4", "+1 ratio"):
        with pytest.raises(ConfigError, match=r"heel: got .* is measured in shoe length; expected mm"):
            shoe.edit(heel=amount)
    with pytest.raises(ConfigError, match="unit 'stone'"):
        shoe.edit(heel="+1 stone")
    with pytest.raises(ConfigError, match="shoe_length: got"):
        shoe.edit(heel="+10mm", shoe_length=-1)


def test_what_cannot_be_measured(model):
    add_direction(model, "elegance", attribute="elegance", unit="score", method="scores")
    add_direction(model, "fastening", attribute="heel_width")
    shoe = model.sample(seed=3)
    assert shoe.edit(elegance=1).history[0].attribute == "elegance"
    with pytest.raises(ConfigError, match="elegance cannot be measured here; give a strength"):
        shoe.edit(elegance="+1 score")
    flat = shoe.edit(heel=-4)
    assert math.isnan(flat.measures["heel_width"])
    with pytest.raises(
        ConfigError, match=r"heel_width cannot be measured on seed 3, heel -4 \(.*\); give a strength"
    ):
        flat.edit(fastening="+5mm")
    assert not math.isnan(
        flat.edit(fastening="41.2 mm").measures["heel_width"]
    )  # a target is found from there too


def test_several_at_once(model):
    # An attribute that the fake segmenter's shoe has too: its upper grows less tall as the heel lifts it.
    shoe = model.sample(seed=3)
    moved = shoe.edit(heel=1)
    change = moved.measures["rear_height"] - shoe.measures["rear_height"]
    assert change != 0
    direction = model.direction("heel")
    other = torch.randn(16, generator=torch.Generator().manual_seed(1))
    add_direction(
        model,
        "rear",
        attribute="rear_height",
        vector=-(direction.vector + 0.2 * other / other.norm()) / 1.02,
        sigma=abs(change),
    )
    with pytest.raises(ConfigError, match=r"heel 90.0 mm and rear .* mm at once is out of reach of seed 3"):
        shoe.edit(heel="90mm", rear=f"{265 * shoe.measures['rear_height'] + 80:.0f}mm")
    edited = shoe.edit(heel=0.5, rear="+0mm")  # a strength first, then the target beside it
    assert edited.measures["rear_height"] == pytest.approx(shoe.measures["rear_height"], abs=0.004)
    assert edited.history[0].strength == 0.5
    assert edited.history[1].strength != 0


def test_one_attribute_is_aimed_at_once(model):
    add_direction(model, "same")
    shoe = model.sample(seed=3)
    assert len(shoe.edit(heel=1, same=-0.5).history) == 2
    for edits in ({"heel": "+5mm", "same": 1}, {"heel": "+5mm", "same": "+5mm"}):
        with pytest.raises(ConfigError, match="heel and same both move heel_height"):
            shoe.edit(**edits)


def test_keep(model):
    generator = model.generator
    direction = model.direction("heel")
    rng = torch.Generator().manual_seed(0)
    other, third = torch.randn(2, 16, generator=rng)
    heel_gradient = direction.vector / (direction.step * 1.0)
    shaft_gradient = 0.3 * heel_gradient + 0.2 * other / other.norm()
    knowing = brightness_direction(
        generator,
        vector=direction.vector,
        gradients={"heel_height": heel_gradient, "shaft_height": shaft_gradient, "rear_height": third},
        sigmas={"heel_height": 0.1, "shaft_height": 0.1, "rear_height": 0.02},
    )
    knowing.save(model.directions_folder / "knowing.safetensors")
    shoe = model.sample(seed=3)
    kept = shoe.edit(knowing=1, keep="shaft")
    step = kept.ws[0] - shoe.ws[0]
    assert abs(float(step @ shaft_gradient)) < 0.1 * abs(float(knowing.move(shoe.ws, 1)[0] @ shaft_gradient))
    assert kept.history[0].kept == ("shaft_height",)
    assert torch.equal(kept.ws, shoe.edit(knowing=1, keep=["shaft_height"]).ws)
    # with a target it is measured too
    target = shoe.edit(knowing="+10mm", keep=("shaft", "rear"))
    assert heel(target) == pytest.approx(heel(shoe) + 10, abs=3)
    with pytest.raises(ConfigError, match=r"keep: got heel_height, which knowing is to edit"):
        shoe.edit(knowing=1, keep=("heel", "shaft"))
    with pytest.raises(ConfigError, match="sole"):
        shoe.edit(knowing=1, keep="sole")
    with pytest.raises(ConfigError, match="older version and knows of no other attribute"):
        shoe.edit(heel=1, keep="shaft")


def test_a_shoe_that_falls_apart_is_not_taken(model, monkeypatch):
    shoe = model.sample(seed=3)
    limit = 0.02 + shoe.measures["heel_height"]
    monkeypatch.setattr(
        "shoegen.editing.aiming.is_one_shoe",
        lambda part_map, labels: bool(np.count_nonzero(part_map == labels.index("heel")) < limit * 7000),
    )
    assert shoe.edit(heel="+2mm")
    with pytest.raises(ConfigError, match="out of reach"):
        shoe.edit(heel="+50mm")


def test_a_target_that_is_missed_is_told(model):
    (edit,) = model.sample(seed=3).edit(heel="45mm").history
    assert not say_miss(edit, {})
    assert say_miss(dataclasses.replace(edit, reached=edit.target + 0.02), {})  # 5 mm
    color = dataclasses.replace(edit, attribute="upper_l", unit="CIELAB", target=40.0, reached=42.0)
    assert say_miss(color, {"upper_l": 15.0})
    assert not say_miss(color, {"upper_l": 25.0})
