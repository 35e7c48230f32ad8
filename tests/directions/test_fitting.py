"""Attributes that are known functions of w take the place of pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shoegen.directions.calibration import measure_leaks, slopes_over
from shoegen.directions.fitting import (
    DirectionEstimator,
    FitConfig,
    fit_direction,
    shared_models,
    stability,
    steer,
)
from shoegen.directions.sampling import Samples
from shoegen.errors import ConfigError, DataError

FEATURES, LAYERS = 16, 6
HEEL = np.eye(FEATURES)[0]
TOE = 0.6 * HEEL + 0.8 * np.eye(FEATURES)[1]  # entangled with the heel


def measure_ws(ws):
    """Heel and toe follow the first four layers, lightness the last two, and no shoe has a fastening."""
    coarse, fine = (part.mean(1).double().numpy() for part in (ws[:, :4], ws[:, 4:]))
    return {
        "heel_height": 0.3 + 0.1 * coarse @ HEEL,
        "toe_height": 0.2 + 0.05 * coarse @ TOE,
        "upper_l": 50 + 15 * fine @ HEEL,
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
    assert abs(direction.leaks["0-3"]["upper_l"]) < 0.05
    assert direction.leaks["0-5"]["upper_l"] == pytest.approx(1, abs=0.1)
    assert direction.leaks["0-3"]["toe_height"] == pytest.approx(0.6, abs=0.1)
    assert "fastening_size" not in direction.leaks["0-3"]


def test_layers_by_hand():
    assert fit(draw(), layers="all").layers == tuple(range(LAYERS))
    assert fit(draw(), layers=[3, 1]).layers == (1, 3)
    with pytest.raises(ConfigError, match="0 to 5"):
        fit(draw(), layers=[6])
    with pytest.raises(DataError, match="does not follow"):
        fit(draw(), layers=[4, 5])


def test_orthogonal_to_removes_the_leak():
    direction = fit(draw(), orthogonal_to=["toe_height"])
    assert abs(direction.leaks["0-3"]["toe_height"]) < 0.1
    said = []
    everything = FitConfig(attribute="heel", orthogonal_to="all")
    direction = fit_direction(
        draw(), measure_ws, everything, num_ws=LAYERS, generator_hash="x", say=said.append
    )
    assert abs(direction.leaks["0-3"]["toe_height"]) < 0.1
    assert direction.kept == (
        "toe_height",
    )  # with one w for all layers, upper_l is but another name of the heel
    assert any("measure much the same: upper_l" in line for line in said)
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
    # Not where that takes a step which leads too far.
    with monkeypatch.context() as patched:
        patched.setattr("shoegen.directions.fitting.LONGEST", 1.0)
        said = []
        short = fit_direction(draw(), bent, config, say=said.append, **options)
        assert short.step < refined.step
        assert any("too long to carry" in line for line in said)
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
    np.testing.assert_allclose(slopes_over(strengths, values), [3, 3, np.nan])


def test_leaks_are_in_standard_deviations():
    direction = fit(draw(), layers="all")
    ws = draw(50, seed=1).w.unsqueeze(1).expand(-1, LAYERS, -1)
    leaks = measure_leaks(
        direction, measure_ws, ws, {"heel_height": 0.1, "toe_height": 0.05, "upper_l": 30.0}
    )
    assert leaks["toe_height"] == pytest.approx(0.6, abs=0.1)
    assert leaks["upper_l"] == pytest.approx(0.5, abs=0.05)


def test_says_how_stable_it_is():
    direction = fit(draw(), orthogonal_to=["toe_height"])
    assert direction.kept == ("toe_height",)
    assert 0.95 < direction.stability < 1
    assert (
        direction.scores["stability_pairwise"] < direction.stability
    )  # refits stray from one another the more
    few = fit(draw(60), orthogonal_to=["toe_height"])
    assert few.stability < direction.stability
    assert fit(draw(), bootstraps=0).stability is None
    with pytest.raises(ConfigError, match="bootstraps"):
        FitConfig(attribute="heel", bootstraps=1)


def test_stability_is_of_cosines():
    angle = np.radians(30)
    vectors = np.array([[1, 0], [np.cos(angle), np.sin(angle)]])
    assert stability(vectors) == pytest.approx((np.cos(angle / 2), np.cos(angle)))


def test_says_how_far_it_carries(direction):
    assert direction.reach == (-4, 4)
    strengths, means, _, measured = np.array(direction.curve).T
    np.testing.assert_array_equal(strengths, range(-4, 5))
    np.testing.assert_allclose(np.diff(means), direction.sigma, rtol=0.05)
    np.testing.assert_array_equal(measured, 1)
    assert direction.unit == "shoe length"


def test_knows_the_gradients_of_all(direction):
    assert direction.gradients.keys() == {"heel_height", "toe_height", "upper_l"}
    assert direction.sigmas["toe_height"] == pytest.approx(0.05, rel=0.05)
    gradient = direction.gradients["toe_height"].numpy()
    np.testing.assert_allclose(
        gradient, TOE, atol=0.1
    )  # one sigma for each unit of W, which is standard normal here
    kept = direction.keeping(["toe_height"])
    ws = draw(50, seed=1).w.unsqueeze(1).expand(-1, LAYERS, -1)
    leaks = measure_leaks(kept, measure_ws, ws, {"heel_height": 0.1, "toe_height": 0.05})
    assert abs(leaks["toe_height"]) < 0.1


def test_directions_can_share_what_they_learn():
    samples, alone = draw(), fit(draw(), "toe_height", orthogonal_to=["heel_height"])
    config = FitConfig(attribute="toe_height", orthogonal_to=["heel_height"])
    models = shared_models(samples, config)
    options = {"num_ws": LAYERS, "generator_hash": "x", "models": models}
    fit_direction(samples, measure_ws, FitConfig(attribute="heel"), **options)
    shared = fit_direction(samples, measure_ws, config, **options)
    assert torch.equal(shared.vector, alone.vector)
    assert shared.stability == alone.stability


def test_what_is_mostly_zero_is_learned_from_the_rest():
    """Most shoes have no shaft: both quartiles are 0."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(2000, 8))
    values = np.maximum(w[:, 0] - 1, 0)
    assert np.quantile(values, 0.75) == 0
    assert DirectionEstimator().fit(w, values).direction_[0] > 0.9
    with pytest.raises(DataError, match="varies too little"):
        DirectionEstimator().fit(w, np.where(np.arange(2000) < 20, 1.0, 0.0))


def test_what_people_judge():
    """Elegance is nothing that is measured; its direction still leaves the toe alone, if asked to."""
    scored = draw(300, seed=3)
    scored = replace(scored, attributes={"elegance": scored.w.double().numpy() @ TOE + 5})
    config = FitConfig(attribute="elegance", method="scores", orthogonal_to=["heel_height"])
    options = {"num_ws": LAYERS, "generator_hash": "x", "scored": scored}
    direction = fit_direction(draw(), measure_ws, config, **options)
    assert (direction.method, direction.unit, direction.samples) == ("scores", "score", 300)
    assert direction.layers == tuple(range(LAYERS))
    assert abs(direction.leaks["0-5"]["heel_height"]) < 0.1
    foretold = direction.step * direction.vector.numpy() @ TOE
    assert foretold == pytest.approx(1, rel=0.35)  # one sigma of the scores
    assert direction.curve == []
    assert direction.reach == (-4, 4)
    assert direction.gradients.keys() == {"elegance", "heel_height", "toe_height", "upper_l"}
    assert direction.scores["auc"] > 0.9


def test_each_range_of_layers_its_own_way():
    """Coarse layers lift the heel along one direction of W, fine ones along another: no w for all knows that."""
    ranges, coarse, fine = ((0, 1, 2, 3), (4, 5)), *np.eye(FEATURES)[:2]

    def measure_both(ws):
        first, second = ws[:, :4].mean(1).double().numpy(), ws[:, 4:].mean(1).double().numpy()
        return {
            "heel_height": 0.3 + 0.1 * (first @ coarse + second @ fine),
            "upper_l": 50 + 15 * second @ coarse,
        }

    w = torch.randn(1500, 2 * FEATURES, generator=torch.Generator().manual_seed(0))
    samples = Samples(w=w, attributes={}, psi=0.7, seed=0, ranges=ranges)
    samples = replace(samples, attributes=measure_both(samples.ws(LAYERS)))
    config = FitConfig(attribute="heel", orthogonal_to=["upper_l"])
    direction = fit_direction(samples, measure_both, config, num_ws=LAYERS, generator_hash="x")
    assert direction.vector.shape == (LAYERS, FEATURES)
    assert direction.layers == tuple(range(LAYERS))
    assert direction.vector[0].numpy() @ coarse > 0.9
    assert direction.vector[5].numpy() @ fine > 0.9
    assert abs(direction.leaks_here["upper_l"]) < 0.05
    ws = samples.ws(LAYERS)[:100]
    grown = measure_both(direction.move(ws, 1))["heel_height"] - measure_both(ws)["heel_height"]
    assert grown.mean() == pytest.approx(direction.sigma, rel=0.03)
    foretold = (direction.gradients["heel_height"] * direction.offset(LAYERS)).sum()
    assert foretold == pytest.approx(1, abs=0.1)
    assert direction.stability > 0.95
    assert direction.keeping(["upper_l"]).vector.shape == (LAYERS, FEATURES)
