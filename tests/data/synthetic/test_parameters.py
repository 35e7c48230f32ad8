from dataclasses import fields, replace

import numpy as np
import pytest

from shoegen.data.synthetic import ShoeParameters, sample_parameters
from shoegen.data.synthetic.parameters import CHOICES, RANGES, STYLES
from shoegen.errors import DataError


@pytest.fixture(scope="module")
def shoes() -> list[ShoeParameters]:
    return [sample_parameters(3, index) for index in range(6000)]


def as_numbers(shoes: list[ShoeParameters]) -> dict[str, np.ndarray]:
    """Every parameter as columns of numbers: measures, flags, choices as indicators, colours by channel."""
    columns = {}
    for name in (field.name for field in fields(ShoeParameters)):
        values = [getattr(shoe, name) for shoe in shoes]
        if name in CHOICES:
            columns |= {f"{name}={c}": np.array([v == c for v in values], float) for c in CHOICES[name]}
        elif name.endswith("_color"):
            columns |= {f"{name}[{i}]": np.array(values, float)[:, i] for i in range(3)}
        else:
            columns[name] = np.array(values, float)
    return columns


def test_nothing_correlates_with_heel_height(shoes):
    columns = as_numbers(shoes)
    height = columns.pop("heel_height")
    for name, values in columns.items():
        if values.std() > 0:
            assert abs(np.corrcoef(height, values)[0, 1]) < 0.05, name


def test_every_style_has_flat_and_high_heels(shoes):
    for style in STYLES:
        heights = np.array([shoe.heel_height for shoe in shoes if shoe.style == style])
        assert heights.min() == 0
        assert heights.max() > 115
        assert np.median(heights) == pytest.approx(55, abs=8)


def test_attributes_and_metadata_cover_every_shoe(shoes):
    names = set(shoes[0].attributes)
    for shoe in shoes[:200]:
        assert set(shoe.attributes) == names
        assert all(isinstance(value, float) for value in shoe.attributes.values())
        assert shoe.metadata["style"] == shoe.style
        assert shoe.metadata["upper_color"].startswith("#")


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1e3])
def test_out_of_range_is_one_clear_line(shoes, name, bad):
    with pytest.raises(DataError, match=name) as caught:
        replace(shoes[0], **{name: bad})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", CHOICES)
def test_unknown_choice_names_the_known_ones(shoes, name):
    with pytest.raises(DataError, match=CHOICES[name][-1]):
        replace(shoes[0], **{name: "clog"})


def test_shaft_belongs_to_boots(shoes):
    boot = next(shoe for shoe in shoes if shoe.is_boot)
    pump = next(shoe for shoe in shoes if shoe.style == "pump")
    with pytest.raises(DataError, match="shaft_height"):
        replace(boot, shaft_height=0.0)
    with pytest.raises(DataError, match="shaft_height"):
        replace(pump, shaft_height=100.0)
