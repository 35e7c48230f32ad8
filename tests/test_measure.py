import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.data.synthetic import ShoeParameters, render_shoe
from shoegen.errors import DataError
from shoegen.measure import ATTRIBUTES, is_one_shoe, measure, to_millimetres

SOLE, HEEL, UPPER, SHAFT, OPENING, FASTENING = range(1, 7)


@pytest.fixture
def blocks():
    """A shoe of rectangles, 100 long: heel 30 high and 20 wide, sole 10, upper 30, on the ground row 90."""
    part_map = np.zeros((120, 140), np.uint8)
    part_map[60:90, 100:120] = HEEL
    part_map[50:60, 80:120] = SOLE
    part_map[80:90, 20:80] = SOLE
    part_map[50:80, 20:80] = UPPER
    part_map[20:50, 80:120] = UPPER
    part_map[20:26, 90:110] = OPENING
    part_map[60:70, 50:60] = FASTENING
    return part_map


@pytest.fixture(scope="module")
def shoes():
    """40 shoes of all styles with their truth, as fractions of the length."""
    rng = np.random.default_rng(3)
    rendered = [render_shoe(ShoeParameters.sample(rng), 128) for _ in range(40)]
    return [(s, {k: v / s.attributes["shoe_length"] for k, v in s.attributes.items()}) for s in rendered]


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
    assert measured.keys() == {name for name, attribute in ATTRIBUTES.items() if not attribute.needs_image}


def test_size_and_place_do_not_matter(blocks):
    large = np.pad(blocks, ((7, 40), (31, 3))).repeat(3, 0).repeat(3, 1)
    for name, value in measure(blocks).items():
        assert measure(large)[name] == pytest.approx(value, abs=0.01), name


def test_slanted_heel_top_is_measured_at_the_rear():
    part_map = np.zeros((200, 300), np.uint8)
    for x in range(20, 270):
        top = 150 - round(0.2 * max(0, x - 120))  # rises to 120 at the rear, x = 270
        part_map[top - 40 : top - 10, x] = UPPER
        part_map[top - 10 : top, x] = SOLE
        if x >= 230:
            part_map[top:150, x] = HEEL
    assert measure(part_map)["heel_height"] == pytest.approx(30 / 250, abs=0.3 / 250)


def test_no_heel_is_zero_and_its_width_unknown(blocks):
    blocks[blocks == HEEL] = SOLE
    measured = measure(blocks)
    assert measured["heel_height"] == 0
    assert math.isnan(measured["heel_width"])


def test_stray_pixels_do_not_matter(blocks):
    before = measure(blocks)
    rng = np.random.default_rng(0)
    blocks[rng.integers(0, 120, 12), rng.integers(0, 140, 12)] = rng.integers(0, 7, 12)
    blocks[115, 3:5] = HEEL
    blocks[49, 119] = HEEL
    for name, value in measure(blocks).items():
        assert value == pytest.approx(before[name], abs=0.025), name


@pytest.mark.parametrize("fill", [0, UPPER])
def test_without_shoe_or_sole_everything_is_nan(fill):
    part_map = np.zeros((64, 64), np.uint8)
    part_map[20:40, 10:50] = fill
    measured = measure(part_map)
    assert all(math.isnan(value) for value in measured.values())


def test_against_the_renderers_truth(shoes):
    for name, limit in (
        ("heel_height", 0.006), ("platform_height", 0.008), ("sole_thickness", 0.008), ("heel_width", 0.02),
        ("toe_height", 0.02), ("shaft_height", 0.01),
    ):  # fmt: skip
        errors = [abs(measure(shoe.part_map)[name] - truth[name]) for shoe, truth in shoes]
        assert np.nanmedian(errors) < limit, name


def test_other_attributes_do_not_follow_the_heel(shoes):
    spread = {
        name: np.nanstd([measure(shoe.part_map, image=shoe.image)[name] for shoe, _ in shoes])
        for name in ATTRIBUTES
    }
    rng = np.random.default_rng(4)
    slopes: dict[str, list] = {name: [] for name in ATTRIBUTES}
    for _ in range(10):
        parameters = ShoeParameters.sample(rng)
        low, high = (render_shoe(replace(parameters, heel_height=h), 128) for h in (20.0, 100.0))
        less, more = (measure(shoe.part_map, image=shoe.image) for shoe in (low, high))
        change = {name: (more[name] - less[name]) / spread[name] for name in ATTRIBUTES}
        for name in ATTRIBUTES:
            slopes[name].append(abs(change[name] / change["heel_height"]))
    assert np.mean(slopes.pop("heel_height")) == 1
    for name, values in slopes.items():
        assert np.nanmedian(values) < 0.2, name


def test_never_fails_on_nonsense():
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width = rng.integers(1, 60, 2)
        part_map = rng.integers(0, 7, (height, width)).astype(np.uint8)
        part_map[rng.random((height, width)) < rng.random()] = 0
        part_map = part_map.repeat(rng.integers(1, 4), 0).repeat(rng.integers(1, 4), 1)
        image = rng.integers(0, 256, (*part_map.shape, 3), np.uint8)
        assert measure(part_map, image=image).keys() == ATTRIBUTES.keys()
        is_one_shoe(part_map)
    diagonal = np.eye(60, dtype=np.uint8).repeat(4, 0) * SOLE
    assert measure(diagonal)["heel_height"] == 0


def test_color_of_the_upper(blocks):
    image = np.full((*blocks.shape, 3), 255, np.uint8)
    image[blocks == UPPER] = (200, 30, 30)
    measured = measure(blocks, image=image)
    assert measured.keys() == ATTRIBUTES.keys()
    assert measured["lightness"] == pytest.approx(43.2, abs=0.3)
    assert measured["chroma"] == pytest.approx(77.6, abs=0.5)
    assert measured["hue"] == pytest.approx(35.7, abs=0.5)
    image[blocks == UPPER] = 120
    assert math.isnan(measure(blocks, image=image)["hue"])


def test_labels_may_be_in_another_order(blocks):
    labels = LabelMap.from_names(SHOE_PARTS.names[::-1])
    assert measure(6 - blocks, labels) == measure(blocks)
    with pytest.raises(DataError, match="no class 'sole'"):
        measure(blocks, LabelMap.from_names(["background", "shoe"]))


def test_wrong_shapes(blocks):
    with pytest.raises(DataError, match=r"expected \(H, W\)"):
        measure(blocks[None])
    with pytest.raises(DataError, match="as its part map"):
        measure(blocks, image=np.zeros((8, 8, 3), np.uint8))


def test_is_one_shoe(blocks, shoes):
    assert is_one_shoe(blocks)
    assert all(is_one_shoe(shoe.part_map) for shoe, _ in shoes)
    assert not is_one_shoe(np.zeros((64, 64), np.uint8))
    two = np.concatenate([blocks, blocks], 1)
    assert not is_one_shoe(two)
    blocks[blocks == SOLE] = UPPER
    assert not is_one_shoe(blocks)


def test_millimetres():
    assert to_millimetres(0.2) == pytest.approx(53)
    assert to_millimetres(0.2, shoe_length=250) == pytest.approx(50)


def test_loads_no_torch():
    code = "import sys, shoegen.measure; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
