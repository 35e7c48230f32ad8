import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoegen.data.images import read_image, write_image
from shoegen.errors import ConfigError
from shoegen.segmentation.config import TrainingConfig
from shoegen.segmentation.range_test import RangeTest, suggest
from shoegen.segmentation.schedules import END, START, learning_rate

CONFIG = TrainingConfig(data="", images=1000, batch=2, learning_rate=0.1)


def rates(config, *shown):
    return [learning_rate(config, each) for each in shown]


def test_one_cycle_goes_up_for_a_tenth_and_down_for_the_rest():
    assert rates(CONFIG, 0, 50, 100, 1000) == pytest.approx([0.1 * START, 0.052, 0.1, 0.1 * END])
    curve = rates(CONFIG, *range(1001))
    assert np.all(np.diff(curve[:101]) > 0)
    assert np.all(np.diff(curve[100:]) < 0)


def test_triangles_repeat():
    config = dataclasses.replace(CONFIG, schedule="cyclical", cycle=100)
    low, high = 0.1 * START, 0.1
    expected = [low, (low + high) / 2, high, (low + high) / 2, low, high]
    assert rates(config, 0, 25, 50, 75, 100, 950) == pytest.approx(expected)


def test_constant():
    assert set(rates(dataclasses.replace(CONFIG, schedule="constant"), 0, 500, 5000)) == {0.1}


@given(st.integers(0, 10**6))
def test_never_above_the_highest(shown):
    for schedule in ("onecycle", "cyclical", "constant"):
        config = dataclasses.replace(CONFIG, schedule=schedule, cycle=64 if schedule == "cyclical" else None)
        assert 0 < learning_rate(config, shown) <= 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "steps"}, "--schedule: got 'steps', expected one of onecycle"),
        ({"cycle": 100}, "--cycle: got 100 with --schedule onecycle"),
        ({"schedule": "cyclical", "cycle": 3}, "--cycle: got 3"),
    ],
)
def test_other_schedules(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CONFIG, **changes)


def fake_test():
    grid = np.geomspace(1e-6, 1, 100)
    losses = 1 + 1 / (1 + (grid / 1e-3) ** 2) + np.clip(grid - 0.1, 0, None) * 10
    return RangeTest(grid.tolist(), losses.tolist(), losses.tolist(), suggest(grid.tolist(), losses.tolist()))


def test_where_the_loss_falls_fastest_is_suggested():
    assert fake_test().suggestion == pytest.approx(1e-3, rel=0.2)


def test_the_plot_marks_the_suggestion(tmp_path):
    test = fake_test()
    write_image(tmp_path / "plot.png", test.plot())
    picture = read_image(tmp_path / "plot.png").astype(int)
    assert picture.shape == (560, 900, 3)
    red = (picture[..., 0] > 150) & (picture[..., 1] < 90)
    columns = np.flatnonzero(red[100:450].mean(0) > 0.9)
    assert columns.mean() == pytest.approx(80 + (900 - 110) * 3 / 6, abs=20)  # 1e-3 of 1e-6 … 1
    blue = (picture[..., 2] > 130) & (picture[..., 0] < 60)
    assert blue.sum() > 800
