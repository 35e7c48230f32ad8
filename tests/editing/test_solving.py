import math

import numpy as np
import pytest

from shoegen.editing.solving import solve_in_turn, solve_many, solve_one


def find(curve, target, *, start=None, slope=1.0, reach=(-4, 4), tolerance=0.002, fair=0.01):
    asked = []

    def measure(strengths):
        asked.extend(strengths)
        return np.array([curve(each) for each in strengths])

    start = curve(0.0) if start is None else start
    found = solve_one(measure, start, target, slope=slope, reach=reach, tolerance=tolerance, fair=fair)
    assert found.pictures == len(asked)
    assert all(reach[0] <= each <= reach[1] for each in asked)
    return found


def test_finds_the_strength_on_curves_of_many_kinds():
    for curve in (lambda s: 0.2 + 0.1 * s, math.tanh, lambda s: 0.02 * (s + 4) ** 2, lambda s: -0.3 * s):
        for strength in (-2.5, -1, 0.02, 0.7, 2):
            found = find(curve, curve(strength), slope=0.1)
            assert found.values[0] == pytest.approx(curve(strength), abs=0.002)
            assert found.strengths[0] == pytest.approx(strength, abs=0.15)
            assert found.pictures <= 28


def test_the_ends_of_what_can_be_reached_lie_between_the_first_guesses():
    """From −4 to 4 by 1, as the grid goes, the least is 0.5, and what lies between is told too."""
    found = find(lambda s: abs(s + 2.5), 9.0)
    assert found.low[0] == 0
    assert found.high[0] == pytest.approx(6.5)


def test_what_is_there_already_is_left():
    found = find(lambda s: 0.3 + s, 0.301)
    assert found.strengths[0] == 0
    assert found.pictures == 0


def test_steps_of_pixels_are_no_hindrance():
    found = find(lambda s: round(100 * (0.2 + 0.1 * s)) / 100, 0.237, slope=0.1)
    assert abs(found.values[0] - 0.237) <= 0.0031


def test_the_least_strength_that_saturates():
    found = find(lambda s: max(0.0, 0.1 + 0.1 * s), 0.0, slope=0.1)
    assert found.values[0] < 0.002
    assert found.strengths[0] == pytest.approx(-1, abs=0.4)


def test_from_what_cannot_be_measured():
    found = find(lambda s: 0.1 * s if s > 0.5 else math.nan, 0.2, start=math.nan)
    assert found.values[0] == pytest.approx(0.2, abs=0.002)


def test_what_is_broken_is_not_taken():
    found = find(lambda s: s if abs(s) < 1 else math.nan, 2.0)
    assert found.high[0] < 1
    assert found.low[0] > -1
    assert found.values[0] == found.high[0]


def test_a_jump_over_the_target():
    def curve(s):  # passes 0.5 a little farther off only
        return 0.3 + 0.1 * s if s < 0.5 else 0.7 - 0.5 * (s - 0.5)

    found = find(curve, 0.5, slope=0.4)
    assert found.values[0] == pytest.approx(0.5, abs=0.01)


def test_the_range_is_seen_before_a_target_is_out_of_reach():
    found = find(lambda s: 0.2 + 0.1 * s, 2.0, slope=0.1)
    assert (found.low[0], found.high[0]) == pytest.approx((-0.2, 0.6))


# ---- several at once ----


def find_many(curve, targets, *, jacobian, reach=(-4, 4)):
    targets = np.array(targets, float)
    return solve_many(
        lambda strengths: np.array([curve(*each) for each in strengths]),
        np.array(curve(*np.zeros(len(jacobian[0])))),
        targets,
        jacobian=np.array(jacobian, float),
        reach=np.array([reach] * len(jacobian[0]), float),
        tolerances=np.full(len(targets), 0.002),
    )


def test_two_that_entangle():
    def curve(a, b):
        return [0.2 + 0.1 * a + 0.05 * b + 0.01 * a * b, math.tanh(0.3 * b - 0.1 * a)]

    for strengths in ((1, -1), (2, 0.5), (-1.5, 1.5), (0, 0)):
        found = find_many(curve, curve(*strengths), jacobian=np.diag([0.1, 0.3]))
        np.testing.assert_allclose(found.values, curve(*strengths), atol=0.002)
        assert found.pictures <= 22


def test_more_strengths_than_targets_stay_small():
    found = find_many(lambda a, b: [a + b], [1.0], jacobian=[[1.0, 1.0]])
    np.testing.assert_allclose(found.strengths, [0.5, 0.5], atol=0.05)


def test_bounds_hold_for_many():
    found = find_many(lambda a, b: [a, b], [9.0, 1.0], jacobian=np.eye(2))
    assert np.abs(found.strengths).max() <= 4
    assert found.values[0] == pytest.approx(4, abs=0.1)
    assert found.high[0] <= 4


def test_many_survive_what_cannot_be_measured():
    def curve(a, b):
        return [math.nan, math.nan] if a > 2 else [a, b]

    found = find_many(curve, [1.9, -1.0], jacobian=np.diag([0.5, 0.5]))
    np.testing.assert_allclose(found.values, [1.9, -1.0], atol=0.01)


def test_jumps_that_mislead_the_secants_are_passed_in_turn():
    """As of a flat shoe: hardly any heel until it breaks off the sole, and a platform that the heel's reach hides."""

    def curve(a, b):
        heel = 0.1 + 0.01 * a if a < 0.7 else 0.16 + 0.1 * (a - 0.7)
        return [heel, (0.04 if b < 1 else 0.04 + 0.07 * (b - 1)) - 0.003 * max(a, 0)]

    targets, reach = np.array([0.172, 0.077]), np.array([[-4.0, 4.0], [-2.0, 4.0]])

    def measure(strengths):
        return np.array([curve(*each) for each in strengths])

    tolerances, slopes = np.full(2, 0.002), np.array([0.1, 0.02])
    start = find_many(curve, [0.1, 0.04], jacobian=np.diag(slopes))
    assert start.pictures == 0
    found = solve_in_turn(
        measure,
        start,
        targets,
        slopes=slopes,
        reach=reach,
        tolerances=tolerances,
        fair=np.full(2, 0.011),
    )
    np.testing.assert_allclose(found.values, targets, atol=0.011)
    np.testing.assert_allclose(found.values, curve(*found.strengths))
    assert (np.abs(found.strengths) <= 4).all()


def test_in_turn_takes_nothing_that_is_worse():
    def measure(strengths):
        return np.full((len(strengths), 2), math.nan)

    start = find_many(lambda a, b: [a, b] if a == b == 0 else [math.nan] * 2, [1, 1], jacobian=np.eye(2))
    found = solve_in_turn(
        measure,
        start,
        np.ones(2),
        slopes=np.ones(2),
        reach=np.array([[-4.0, 4.0]] * 2),
        tolerances=np.full(2, 0.01),
        fair=np.full(2, 0.1),
    )
    assert (found.strengths == 0).all()
    assert (found.values == 0).all()
