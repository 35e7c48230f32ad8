"""Attributes that are known functions of w take the place of pictures."""

import numpy as np
import pytest
import torch

from shoegen.directions.fitting import (
    DirectionEstimator,
    FitConfig,
    fit_direction,
    measure_leaks,
    slopes_over,
    steer,
    unwrap,
)
from shoegen.directions.sampling import Samples
from shoegen.errors import ConfigError, DataError

FEATURES, LAYERS = 16, 6
HEEL = np.eye(FEATURES)[0]
TOE = 0.6 * HEEL + 0.8 * np.eye(FEATURES)[1]  # entangled with the heel


def measure_ws(ws):
    """Heel and toe follow the first four layers, hue the last two, and no shoe has a fastening."""
    coarse, fine = (part.mean(1).double().numpy() for part in (ws[:, :4], ws[:, 4:]))
    return {
        "heel_height": 0.3 + 0.1 * coarse @ HEEL,
        "toe_height": 0.2 + 0.05 * coarse @ TOE,
        "hue": 170 + 30 * fine @ HEEL,
        "fastening_size": np.full(len(ws), np.nan),
    }


def draw(count=1500, seed=0):
    w = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(seed))
    return Samples(w=w, attributes=measure_ws(w.unsqueeze(1).expand(-1, LAYERS, -1)), psi=0.7, seed=seed)


def fit(samples, attribute="heel", **options):
    config = FitConfig(attribute=attribute, **options)
    return fit_direction(samples, measure_ws, config, num_ws=LAYERS, generator_hash="x")


@pytest.fixture(scope="module")
def direction():
    return fit(draw())


def test_estimator_finds_a_planted_direction():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(2000, 32)) * rng.uniform(0.5, 2, 32)
    planted = rng.normal(size=32)
    planted /= np.linalg.norm(planted)
    clean = w @ planted
    values = np.exp(clean) + rng.normal(size=2000) * 0.1  # skewed and noisy
    estimator = DirectionEstimator(quantile=0.25, random_state=0)
    assert estimator.fit(w[:1600], values[:1600]) is estimator
    assert estimator.direction_ @ planted > 0.95
    assert np.linalg.norm(estimator.direction_) == pytest.approx(1)
    assert estimator.score(w[1600:], values[1600:]) > 0.85
    assert np.mean(estimator.predict(w[:1600])) == pytest.approx(0.5, abs=0.02)
    again = DirectionEstimator(quantile=0.25, random_state=0).fit(w[:1600], values[:1600])
    np.testing.assert_array_equal(estimator.direction_, again.direction_)


@pytest.mark.parametrize("quantile", [0, -0.1, 0.6])
def test_estimator_refuses_a_quantile(quantile):
    with pytest.raises(ConfigError, match="quantile"):
        DirectionEstimator(quantile=quantile).fit(np.zeros((10, 2)), np.arange(10.0))


def test_estimator_refuses_what_cannot_be_learned():
    w = np.random.default_rng(0).normal(size=(100, 4))
    with pytest.raises(DataError, match="varies too little"):
        DirectionEstimator().fit(w, np.zeros(100))
    with pytest.raises(DataError, match="at least 8"):
        DirectionEstimator().fit(w[:5], np.arange(5.0))


def test_estimator_takes_an_attribute_that_is_often_zero():
    w = np.random.default_rng(0).normal(size=(1000, 8))
    estimator = DirectionEstimator().fit(w, np.maximum(w[:, 0], 0))
    assert estimator.direction_[0] > 0.95


def test_direction_is_found_and_calibrated(direction):
    assert direction.attribute == "heel_height"
    assert direction.vector.numpy() @ HEEL > 0.95
    assert direction.vector.norm() == pytest.approx(1, abs=1e-5)
    assert direction.scores["accuracy"] > 0.9
    assert direction.scores["auc"] > 0.97
    assert (direction.mean, direction.sigma) == pytest.approx((0.3, 0.1), abs=0.01)
    ws = draw(100, seed=5).w.unsqueeze(1).expand(-1, LAYERS, -1)
    for strength in (-1, 1, 2):
        change = measure_ws(direction.move(ws, strength))["heel_height"] - measure_ws(ws)["heel_height"]
        assert change.mean() == pytest.approx(strength * direction.sigma, rel=0.02)


def test_auto_takes_the_layers_that_leak_least(direction):
    assert direction.layers == (0, 1, 2, 3)
    assert direction.leaks.keys() == {"0-3", "0-5"}
    assert abs(direction.leaks["0-3"]["hue"]) < 0.05
    assert direction.leaks["0-5"]["hue"] == pytest.approx(1, abs=0.1)
    assert direction.leaks["0-3"]["toe_height"] == pytest.approx(0.6, abs=0.1)
    assert "fastening_size" not in direction.leaks["0-3"]


def test_layers_by_hand():
    assert fit(draw(), layers="all").layers == tuple(range(LAYERS))
    assert fit(draw(), layers=[3, 1]).layers == (1, 3)
    with pytest.raises(ConfigError, match="0 to 5"):
        fit(draw(), layers=[6])
    with pytest.raises(DataError, match="does not follow"):
        fit(draw(), layers=[4, 5])


def test_a_direction_of_hues_that_wrap():
    direction = fit(draw(), "hue", layers=[4, 5])
    assert direction.vector.numpy() @ HEEL > 0.95
    assert direction.sigma == pytest.approx(30, rel=0.05)
    assert direction.step == pytest.approx(1, rel=0.1)


def test_orthogonal_to_removes_the_leak():
    direction = fit(draw(), orthogonal_to=["toe_height"])
    assert abs(direction.leaks["0-3"]["toe_height"]) < 0.1
    said = []
    everything = FitConfig(attribute="heel", orthogonal_to="all")
    with pytest.raises(DataError, match="cannot be told from"):  # hue grows along the same w, at other layers
        fit_direction(draw(), measure_ws, everything, num_ws=LAYERS, generator_hash="x", say=said.append)
    assert any("fastening_size" in line for line in said)
    with pytest.raises(DataError, match="fastening_size"):
        fit(draw(), orthogonal_to=["fastening_size"])
    with pytest.raises(ConfigError, match="itself"):
        fit(draw(), orthogonal_to=["heel_height"])


def test_steer_is_the_projection_of_the_normal(direction):
    rng = np.random.default_rng(0)
    vector, normals = rng.normal(size=FEATURES), rng.normal(size=(3, FEATURES))
    basis, _ = np.linalg.qr(normals.T)
    projected = vector - basis @ (basis.T @ vector)
    for others in (normals, np.concatenate([normals, normals])):
        jacobian = np.stack([vector, *others])
        steered = steer(direction, jacobian, np.eye(len(jacobian))[0])
        np.testing.assert_allclose(steered.vector, projected / np.linalg.norm(projected), atol=1e-6)
        np.testing.assert_allclose(
            steered.step * jacobian @ steered.vector.numpy(), np.eye(len(jacobian))[0], atol=1e-5
        )
    with pytest.raises(DataError, match="name fewer"):
        steer(direction, np.stack([vector, 2 * vector]), np.array([1.0, 0.0]))


def test_what_the_linear_models_miss_is_measured_and_taken_out(monkeypatch):
    """The toe follows the heel also where no sample is: only moving shows it."""

    def bent(ws):
        measured = measure_ws(ws)
        extra = np.maximum(measured["heel_height"] - 0.45, 0)
        return {**measured, "toe_height": measured["toe_height"] + extra}

    config = FitConfig(attribute="heel", orthogonal_to=["toe_height"], layers=[0, 1, 2, 3])
    options = {"num_ws": LAYERS, "generator_hash": "x"}
    refined = fit_direction(draw(), bent, config, **options)
    monkeypatch.setattr("shoegen.directions.fitting.REFINEMENTS", 0)
    plain = fit_direction(draw(), bent, config, **options)
    assert abs(plain.leaks["0-3"]["toe_height"]) > 0.1
    assert abs(refined.leaks["0-3"]["toe_height"]) < 0.03


def test_what_was_not_measured_is_left_out_and_counted():
    samples = draw()
    samples.attributes["heel_height"][::10] = np.nan
    direction = fit(samples)
    assert direction.scores["not_measured"] == pytest.approx(0.1)
    assert direction.vector.numpy() @ HEEL > 0.95
    with pytest.raises(DataError, match="fastening_size was measured on 0 of 300"):
        fit(draw(), "fastening_size")


def test_same_seed_same_direction():
    one, two = fit(draw(400), seed=3), fit(draw(400), seed=3)
    assert torch.equal(one.vector, two.vector)
    assert (one.step, one.layers, one.scores, one.leaks) == (two.step, two.layers, two.scores, two.leaks)


def test_slopes_leave_out_what_is_missing():
    strengths = np.array([-2.0, -1, 0, 1, 2])
    values = np.stack([3 * strengths, 3 * strengths, np.full(5, np.nan)])
    values[1, 1] = np.nan
    np.testing.assert_allclose(slopes_over(strengths, values, "chroma"), [3, 3, np.nan])


def test_hue_goes_on_past_180_degrees():
    turned = unwrap("hue", np.array([[170.0, 178, -174, np.nan]]))
    np.testing.assert_allclose(np.diff(turned[0, :3]), 8)
    np.testing.assert_allclose(slopes_over([0, 1, 2, 3], np.array([[170.0, 178, -174, np.nan]]), "hue"), 8)


def test_leaks_are_in_standard_deviations():
    direction = fit(draw(), layers="all")
    ws = draw(50, seed=1).w.unsqueeze(1).expand(-1, LAYERS, -1)
    leaks = measure_leaks(direction, measure_ws, ws, {"heel_height": 0.1, "toe_height": 0.05, "hue": 60.0})
    assert leaks["toe_height"] == pytest.approx(0.6, abs=0.1)
    assert leaks["hue"] == pytest.approx(0.5, abs=0.05)
