"""That the attributes are what they say they are: on rectangles to the pixel, on renders against their parameters."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from shoegen.data.colors import to_lab
from shoegen.data.synthetic import ShoeParameters, render_shoe
from shoegen.data.synthetic.geometry import Last, Upper
from shoegen.measure import ATTRIBUTES, measure

from .conftest import HEEL, SOLE, UPPER

WHITE = 255


@pytest.fixture(scope="module")
def measured(shoes):
    return [measure(shoe.part_map, image=shoe.image) for _, shoe in shoes]


def test_blocks_to_the_pixel(blocks):
    measured = measure(blocks)
    assert measured["heel_height"] == pytest.approx(0.30)
    assert measured["heel_width"] == pytest.approx(0.20)
    assert measured["sole_thickness"] == pytest.approx(0.10)
    assert measured["platform_height"] == pytest.approx(0.10)
    assert measured["toe_height"] == pytest.approx(0.30)
    assert measured["toe_roundness"] == pytest.approx(1.0)
    assert measured["rear_height"] == pytest.approx(0.30)
    assert measured["shaft_height"] == 0
    above = 60 * 30 + 40 * 30
    assert measured["opening_size"] == pytest.approx(120 / above)
    assert measured["fastening_size"] == pytest.approx(100 / above)
    # The sole ends 60 above the ground at the rear, the underside is its lower edge there, 30 above the ground.
    assert measured["silhouette_ratio"] == pytest.approx(0.40)
    assert measured["collar_height"] == pytest.approx(0.40)
    # It is 40 high up to 60 % of the length.
    assert measured["instep_curve"] == pytest.approx(0)


def test_a_wedge_is_part_of_a_silhouette_but_not_of_a_part_map(blocks):
    blocks[60:90, 80:120] = HEEL
    assert measure(blocks)["silhouette_ratio"] == pytest.approx(0.40)
    assert measure(blocks > 0)["silhouette_ratio"] == pytest.approx(0.70)
    assert measure(blocks > 0)["collar_height"] == pytest.approx(0.70)


@pytest.mark.parametrize(("exponent", "expected"), [(1, 0.5), (2, 1 - np.pi / 4), (4, 0.073)])
def test_toe_pointedness_is_the_empty_part_of_the_box(exponent, expected):
    length, start, stop = 1000, 0.015, 0.2
    x = (np.arange(length) + 0.5) / length
    along = np.clip((x - start) / (stop - start), 0, 1)
    height = 30 + 120 * (1 - (1 - along) ** exponent) ** (1 / exponent)
    mask = np.arange(400)[::-1, None] < height
    assert measure(mask)["toe_pointedness"] == pytest.approx(expected, abs=0.04)


def test_instep_curve_is_the_mean_sag():
    x = (np.arange(1000) + 0.5) / 1000
    rise = np.interp(x, [0, 0.20, 0.38, 0.56, 1], [100, 100, 110, 300, 300])
    sags = np.arange(400)[::-1, None] < rise
    # A triangle between the straight line, 200 at 38 %, and the edge, 110 there: half as high on average.
    assert measure(sags)["instep_curve"] == pytest.approx(0.09 / 2, abs=0.008)
    rise = np.interp(x, [0, 0.20, 0.38, 0.56, 1], [100, 100, 290, 300, 300])
    bulges = np.arange(400)[::-1, None] < rise
    assert measure(bulges)["instep_curve"] == pytest.approx(-0.09 / 2, abs=0.008)
    sags[:340, 250:330] = False
    assert measure(sags).reasons["instep_curve"] == "an open upper"


def test_slanted_heel_top_is_measured_at_the_rear():
    part_map = np.zeros((200, 300), np.uint8)
    for x in range(20, 270):
        top = 150 - round(0.2 * max(0, x - 120))  # rises to 120 at the rear, x = 270
        part_map[top - 40 : top - 10, x] = UPPER
        part_map[top - 10 : top, x] = SOLE
        if x >= 230:
            part_map[top:150, x] = HEEL
    assert measure(part_map)["heel_height"] == pytest.approx(30 / 250, abs=0.3 / 250)


def test_tapered_heel_is_measured_on_the_ground(blocks):
    for row in range(60, 90):
        blocks[row, 100 : 100 + (row - 60) // 2] = 0
    assert measure(blocks)["heel_width"] == pytest.approx(0.0525, abs=0.004)


def test_no_heel_is_zero_and_its_width_unknown(blocks):
    blocks[blocks == HEEL] = SOLE
    measured = measure(blocks)
    assert measured["heel_height"] == 0
    assert math.isnan(measured["heel_width"])
    assert measured.reasons["heel_width"] == "no heel"


def test_size_and_place_do_not_matter(shoes):
    for parameters, _ in shoes[:6]:
        large = measure(render_shoe(parameters, 384).part_map)
        shoe = render_shoe(parameters, 192)
        small = measure(np.pad(shoe.part_map, ((7, 40), (31, 3))))
        for name, value in large.items():
            if ATTRIBUTES[name].unit == "shoe length" and math.isfinite(value):
                assert small[name] == pytest.approx(value, abs=0.012), (name, parameters.style)
            elif math.isfinite(value):
                assert small[name] == pytest.approx(value, abs=0.05), (name, parameters.style)


def test_stray_pixels_do_not_matter(shoes):
    rng = np.random.default_rng(0)
    for _, shoe in shoes[:12]:
        part_map = shoe.part_map.copy()
        side = len(part_map)
        before = measure(part_map)
        rows, columns = np.nonzero(part_map)
        part_map[rng.integers(0, side, 12), rng.integers(0, side, 12)] = rng.integers(0, 7, 12)
        part_map[max(0, rows.min() - 6) : rows.min(), int(np.median(columns[rows == rows.min()]))] = (
            UPPER  # a hair
        )
        part_map[rows.max() + 1, columns.min() + 30] = SOLE
        for name, value in measure(part_map).items():
            if math.isfinite(before[name]):
                assert value == pytest.approx(before[name], abs=0.03), name


def test_against_the_renderers_truth(shoes, measured):
    for name, limit in (
        ("heel_height", 0.006), ("platform_height", 0.008), ("sole_thickness", 0.008), ("heel_width", 0.02),
        ("toe_height", 0.02), ("shaft_height", 0.01),
    ):  # fmt: skip
        errors = [
            abs(values[name] - shoe.attributes[name] / shoe.attributes["shoe_length"])
            for values, (_, shoe) in zip(measured, shoes)
        ]
        assert np.nanmedian(errors) < limit, name


def test_ranks_are_those_of_the_renderers_parameters(shoes, measured):
    def rank(name, true):
        pairs = [(values[name], true(p)) for values, (p, _) in zip(measured, shoes)]
        return spearmanr(*np.array([pair for pair in pairs if math.isfinite(pair[0])]).T).statistic

    assert rank("heel_height", lambda p: p.heel_height / p.shoe_length) > 0.99
    assert rank("heel_width", lambda p: p.heel_width / p.shoe_length) > 0.95
    assert (
        rank("platform_height", lambda p: p.attributes["platform_height"] / p.shoe_length) > 0.75
    )  # 1 px is 2.5 mm
    assert rank("shaft_height", lambda p: p.shaft_height / p.shoe_length) > 0.98
    assert rank("toe_height", lambda p: p.toe_height / p.shoe_length) > 0.7
    assert rank("toe_roundness", lambda p: p.toe_roundness) > 0.9
    assert rank("toe_pointedness", lambda p: -p.toe_roundness) > 0.85
    collar = lambda p: (Upper(p, Last(p)).back[-1, 1] + p.sole_thickness) / p.shoe_length  # noqa: E731
    assert rank("collar_height", collar) > 0.8
    for channel, index in zip("lab", range(3)):
        for part in ("upper", "sole"):
            true = lambda p: to_lab(np.array(getattr(p, f"{part}_color"), np.uint8))[index]  # noqa: B023, E731
            assert rank(f"{part}_{channel}", true) > 0.9, (part, channel)


def test_other_attributes_do_not_follow_the_heel(measured):
    spread = {name: np.nanstd([values[name] for values in measured]) for name in ATTRIBUTES}
    slopes: dict[str, list] = {name: [] for name in ATTRIBUTES}
    for parameters in [ShoeParameters.sample(np.random.default_rng([4, i])) for i in range(8)]:
        low, high = (render_shoe(replace(parameters, heel_height=h), 128) for h in (20.0, 100.0))
        less, more = (measure(shoe.part_map, image=shoe.image) for shoe in (low, high))
        change = {name: (more[name] - less[name]) / spread[name] for name in ATTRIBUTES}
        for name in ATTRIBUTES:
            slopes[name].append(abs(change[name] / change["heel_height"]))
    assert np.mean(slopes.pop("heel_height")) == 1
    for name, values in slopes.items():
        assert np.nanmedian(values) < 0.2, name


def test_colours_are_medians_of_the_inside(blocks):
    image = np.full((*blocks.shape, 3), WHITE, np.uint8)
    image[blocks == UPPER] = (200, 30, 30)
    image[blocks == SOLE] = 119
    image[50, 20:80] = image[80, 20:80] = 0  # edges
    measured = measure(blocks, image=image)
    color = to_lab(np.array((200, 30, 30), np.uint8))
    assert [measured[f"upper_{channel}"] for channel in "lab"] == pytest.approx(color)
    assert measured["upper_chroma"] == pytest.approx(math.hypot(*color[1:]))
    assert [measured[f"sole_{channel}"] for channel in "lab"] == pytest.approx([50.03, 0, 0], abs=0.01)
    blocks[blocks == SOLE] = UPPER
    assert measure(blocks, image=image).reasons["sole_l"] == "no sole"
