import numpy as np
import pytest

from shoegen.directions.calibration import CURVE, Trace

SHOES = 40


def made(heel, whole=None, **others):
    """A trace over CURVE of shoes that all do the same."""
    rows = {
        name: np.tile(np.array(values, float), (SHOES, 1))
        for name, values in {"heel": heel, **others}.items()
    }
    shares = np.ones(len(CURVE)) if whole is None else np.array(whole)
    return Trace(strengths=CURVE, values=rows, whole=np.arange(SHOES)[:, None] < SHOES * shares)


def test_reach_ends_where_the_curve_is_flat():
    rising = np.array(CURVE)
    assert made(rising).reach("heel", 1.0) == (-4, 4)
    assert made(np.maximum(rising, -2)).reach("heel", 1.0) == (-2, 4)
    assert made(np.minimum(rising, 3 - 0.01)).reach("heel", 1.0) == (-4, 3)
    assert made(-rising).reach("heel", 1.0) == (0, 0)


def test_reach_ends_where_shoes_fall_apart():
    whole = [0.5, 0.9, 1, 1, 1, 1, 0.95, 0.85, 1]
    assert made(CURVE, whole).reach("heel", 1.0) == (-3, 2)
    assert made(np.zeros(9), whole).reach(None, 1.0) == (-3, 2)
    assert made(CURVE, 0.5 * np.array(whole)).reach("heel", 1.0) == (-3, 2)  # of what is whole unmoved


def test_reach_ends_where_nothing_is_measured():
    heel = np.array(CURVE)
    heel[0] = np.nan
    trace = made(heel)
    assert trace.reach("heel", 1.0) == (-3, 4)
    curve = trace.curve("heel")
    assert [point[0] for point in curve] == list(CURVE[1:])
    assert curve[0] == [-3, -3, 0, 1]


def test_leaks_are_slopes_near_the_middle():
    toe = np.where(np.abs(CURVE) <= 2, 0.3 * np.array(CURVE), 100)
    leaks = made(2 * np.array(CURVE), toe=toe, grey=np.full(9, np.nan)).leaks(
        "heel", {"heel": 1.0, "toe": 0.5, "grey": 1.0}
    )
    assert leaks == {"toe": pytest.approx(0.3)}
    scores = made(CURVE, toe=toe).leaks(
        "elegance", {"toe": 0.5}
    )  # strength 1 counts as its standard deviation
    assert scores == {"toe": pytest.approx(0.6)}
