from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic import ShoeParameters, render, render_shoe, sample_parameters
from shoegen.data.synthetic.parameters import BOOT_SHAFT, CHOICES, HEEL_SHAPES, RANGES, STYLES
from shoegen.errors import ConfigError

HEEL, SHAFT = SHOE_PARTS.index("heel"), SHOE_PARTS.index("shaft")


def sample_style(style: str, seed: int = 0) -> ShoeParameters:
    shoes = (sample_parameters(seed, index) for index in range(1000))
    return next(shoe for shoe in shoes if shoe.style == style)


def heel_rows(part_map: np.ndarray) -> int:
    """From the shoe's lowest row to the top of the heel part, in pixels; 0 without a heel."""
    shoe, heel = (np.flatnonzero(mask.any(1)) for mask in (part_map > 0, part_map == HEEL))
    return int(shoe[-1] + 1 - heel[0]) if len(heel) else 0


def components(part_map: np.ndarray) -> int:
    return cv2.connectedComponents((part_map > 0).astype(np.uint8))[0] - 1


@st.composite
def parameters(draw) -> ShoeParameters:
    """Any parameters that are allowed, plausible or not."""
    measures = {name: draw(st.floats(low, high)) for name, (low, high) in RANGES.items()}
    choices = {name: draw(st.sampled_from(known)) for name, known in CHOICES.items()}
    flags = ("toe_cap", "counter_panel", "mudguard", "stitching", "heel_layers", "two_tone")
    boot = choices["style"] in ("ankle_boot", "high_boot")
    measures["shaft_height"] = draw(st.floats(BOOT_SHAFT, 150)) if boot else 0.0
    shoe = sample_parameters(0, draw(st.integers(0, 50)))
    return replace(shoe, **measures, **choices, **{name: draw(st.booleans()) for name in flags})


@settings(max_examples=150, deadline=None)
@given(parameters(), st.sampled_from([32, 48, 128]))
def test_any_allowed_shoe_is_one_piece_inside_the_picture(shoe, resolution):
    rendered = render_shoe(shoe, resolution)
    assert rendered.image.shape == (resolution, resolution, 3)
    assert rendered.image.dtype == rendered.part_map.dtype == np.uint8
    assert rendered.part_map.shape == (resolution, resolution)
    assert rendered.part_map.max() < len(SHOE_PARTS)
    assert components(rendered.part_map) == 1
    border = np.concatenate([rendered.part_map[[0, -1]].ravel(), rendered.part_map[:, [0, -1]].ravel()])
    assert not border.any()


def test_heel_height_on_the_map_is_the_true_one():
    for index in range(200):
        shoe = sample_parameters(11, index)
        part_map = render_shoe(shoe, 128).part_map
        pixels_per_mm = 128 * shoe.fill / shoe.shoe_length
        assert heel_rows(part_map) == pytest.approx(shoe.heel_height * pixels_per_mm, abs=1.5), (index, shoe)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("heel_shape", HEEL_SHAPES)
def test_heel_grows_with_its_height(style, heel_shape):
    shoe = replace(sample_style(style), heel_shape=heel_shape)
    heights = [0, 5, 20, 40, 60, 80, 100, 120]
    maps = [render_shoe(replace(shoe, heel_height=float(height)), 128).part_map for height in heights]
    rows = [heel_rows(part_map) for part_map in maps]
    areas = [(part_map == HEEL).sum() for part_map in maps]
    assert rows[0] == areas[0] == 0
    assert np.all(np.diff(rows) > 0)
    assert np.all(np.diff(areas) > 0)


def test_heel_vanishes_continuously():
    shoe = sample_style("pump")
    flat, barely = (render_shoe(replace(shoe, heel_height=height), 128) for height in (0.0, 0.01))
    assert (flat.part_map != barely.part_map).sum() <= 5
    assert np.abs(flat.image.astype(int) - barely.image).mean() < 1


def test_shoe_keeps_its_place_and_size():
    for index in range(60):
        shoe = sample_parameters(5, index)
        filled = render_shoe(shoe, 128).part_map > 0
        columns, rows = np.flatnonzero(filled.any(0)), np.flatnonzero(filled.any(1))
        assert columns[-1] + 1 - columns[0] == pytest.approx(128 * shoe.fill, abs=1.5)
        assert rows[-1] + 1 == pytest.approx(128 * shoe.ground_row, abs=1)


def test_toe_is_at_the_left():
    for index in range(30):
        shoe = replace(sample_parameters(6, index), heel_height=80.0)
        assert np.nonzero(render_shoe(shoe, 64).part_map == HEEL)[1].mean() > 32


def test_only_boots_have_a_shaft():
    for style in STYLES:
        shoe = sample_style(style)
        assert (render_shoe(shoe, 128).part_map == SHAFT).any() == shoe.is_boot


def test_sole_shows_at_the_smallest_resolution():
    sole = SHOE_PARTS.index("sole")
    for index in range(60):
        assert (render(8, index, 32).part_map == sole).sum() >= 10


def test_part_maps_agree_across_resolutions():
    shoe = sample_style("sneaker")
    small, large = (render_shoe(shoe, resolution).part_map for resolution in (128, 512))
    reduced = cv2.resize(large, (128, 128), interpolation=cv2.INTER_NEAREST)
    assert (small == reduced).mean() > 0.98


def test_render_is_repeatable_and_the_seed_counts():
    first, again, other = render(1, 7, 64), render(1, 7, 64), render(2, 7, 64)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.part_map, again.part_map)
    assert first.attributes == again.attributes
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("resolution", [0, 31, 1025, 64.5])
def test_bad_resolution(resolution):
    with pytest.raises(ConfigError, match="32 to 1024"):
        render(0, 0, resolution)
