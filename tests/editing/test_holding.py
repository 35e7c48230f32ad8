"""On the shipped model: what is held is what an eye would call the same shoe."""

import numpy as np
import pytest
import torch

import shoegen
from shoegen.data.colors import delta_e
from shoegen.editing import holding


@pytest.fixture(autouse=True)
def fake_segmenter():
    """The shipped one, in place of the folder's fake."""


@pytest.fixture(autouse=True)
def straight_edits():
    """Edits as users get them."""


@pytest.fixture(scope="module")
def default():
    return shoegen.load("default", device="cpu")


def upper(shoe):
    labels = shoe.model.segmenter.labels
    return np.isin(shoe.part_map, [labels.index("upper"), labels.index("shaft")])


@pytest.mark.parametrize(
    "seed", [1000006, 1000009]
)  # a boot and a shoe that change a lot along the heel's direction
def test_a_higher_heel_leaves_the_upper_as_it_looks(default, seed):
    shoe = default.sample(seed)
    straight, held = (shoe.edit(heel=1.5, hold=hold) for hold in (False, True))
    assert [each.history[-1].held for each in (straight, held)] == [False, True]
    grown = [each.measures["heel_height"] - shoe.measures["heel_height"] for each in (straight, held)]
    assert grown[1] == pytest.approx(grown[0], rel=0.3)
    assert grown[1] > 0.1
    areas = [upper(each).sum() / upper(shoe).sum() for each in (straight, held)]
    assert abs(areas[1] - 1) < min(0.12, abs(areas[0] - 1) + 0.02)
    colors = [
        np.linalg.norm([each.measures[f"upper_{axis}"] - shoe.measures[f"upper_{axis}"] for axis in "lab"])
        for each in (straight, held)
    ]
    assert colors[1] < max(0.6 * colors[0], 4.0)  # four is hardly seen


@pytest.mark.parametrize("seed", [1, 7, 11])
def test_what_is_kept_by_measuring_stays_also_where_the_rest_is_held(default, seed):
    shoe, sigma = default.sample(seed), default.direction("heel").sigmas["toe_pointedness"]
    kept = shoe.edit(heel="+15mm", keep="toe")
    assert kept.history[-1].held
    assert abs(kept.measures["toe_pointedness"] - shoe.measures["toe_pointedness"]) < 0.25 * sigma
    assert 265 * (kept.measures["heel_height"] - shoe.measures["heel_height"]) == pytest.approx(15, abs=3)


def test_targets_hold_too(default):
    shoe = default.sample(1000002)
    edited = shoe.edit(heel="+20mm")
    (edit,) = edited.history
    assert edit.held
    assert 265 * (edited.measures["heel_height"] - shoe.measures["heel_height"]) == pytest.approx(20, abs=1.5)
    assert edit.reached == pytest.approx(edited.measures["heel_height"], abs=1e-6)
    assert shoe.edit(heel=0) is not shoe
    assert torch.equal(shoe.edit(heel=0).ws, shoe.ws)  # nothing to hold


def test_what_cannot_be_held(default):
    shoe = default.sample(3)
    assert not holding.can_hold({"toe_height"})
    assert not holding.can_hold({"heel_height", "shaft_height"})
    assert holding.can_hold({"heel_height", "upper_l"})
    assert holding.hold(shoe, shoe, {"toe_height"}) is None
    bare = default.sample(3)
    bare.__dict__["_measured"] = (np.zeros_like(shoe.part_map), shoe.measures)  # no sole in it
    assert holding.hold(bare, shoe, {"heel_height"}) is None
    assert holding.hold(shoe, bare, {"heel_height"}) is None


def test_the_picture_that_is_wanted(default):
    shoe = default.sample(1000006)
    higher = shoe.edit(heel=1, hold=False)
    wanted = holding._wanted(shoe, higher, {"heel_height"})
    assert wanted.shape == shoe.drawn.shape
    # The heel is the edit's, and the same shoe twice wants itself.
    labels = default.segmenter.labels
    heel = torch.from_numpy(higher.visible_part_map == labels.index("heel"))[None, None].float()
    heel = torch.nn.functional.interpolate(heel, wanted.shape[-2:], mode="area") == 1
    heel = heel.expand_as(wanted)
    assert heel.any()
    assert torch.equal(wanted[heel], higher.drawn[heel])
    same = holding._wanted(shoe, shoe, {"heel_height"})
    assert float((same - shoe.drawn).abs().max()) < 1e-4


def test_a_colour_is_changed_and_nothing_else(default):
    shoe = default.sample(1000006)
    darker = default.sample(1000006)
    darker.__dict__["_measured"] = (
        shoe.part_map,
        {**shoe.measures, "upper_l": shoe.measures["upper_l"] - 20},
    )
    wanted = holding._wanted(shoe, darker, {"upper_l"})
    from shoegen.torch_utils.pixels import to_pixels

    change = delta_e(to_pixels(wanted)[0], shoe.rgb)
    inside = torch.nn.functional.interpolate(
        torch.from_numpy(upper(shoe))[None, None].float(), change.shape, mode="area"
    )[0, 0].numpy()
    assert change[inside == 0].max() < 1
    assert np.median(change[inside == 1]) > 8


@pytest.mark.parametrize("name", ["heel", "platform", "toe", "lightness", "upper_a", "upper_b"])
def test_the_shipped_directions_move_what_they_are_called(default, name):
    direction = default.direction(name)
    low, high = (np.clip(1.0, None, abs(end)) for end in direction.reach)
    moves = []
    for seed in range(4):
        values = [
            default.sample(seed).edit(**{name: strength}).measures[direction.attribute]
            for strength in (-low, high)
        ]
        moves.append((values[1] - values[0]) / direction.sigma)
    assert np.nanmean(moves) > 1
    assert direction.stability > 0.8
