import numpy as np
import pytest
import torch

from shoegen.directions.direction import Direction
from shoegen.directions.discovery import affine_weights, axes_sheet, discover_directions, find_axes
from shoegen.directions.sampling import Samples, draw_w
from shoegen.errors import ConfigError, DataError

from ..tiny import tiny_generator


@pytest.fixture(scope="module")
def generator():
    return tiny_generator()


def find(generator, method, count=3, layers=range(6), **options):
    return find_axes(generator, method, count, list(layers), psi=0.7, seed=0, **options)


def test_pca_is_that_of_w(generator):
    axes, spreads = find(generator, "pca", 16, drawn=500)
    w = draw_w(generator, 500, psi=0.7, seed=0)
    torch.testing.assert_close(axes @ axes.T, torch.eye(16), atol=1e-5, rtol=0)
    moved = (w - w.mean(0)) @ axes.T
    torch.testing.assert_close(moved.std(0), spreads, atol=1e-4, rtol=1e-3)
    assert (spreads.diff() <= 1e-6).all()
    variance = torch.linalg.svdvals(w - w.mean(0))[0] ** 2 / 500
    assert spreads[0] ** 2 == pytest.approx(float(variance), rel=0.01)


def test_sefa_finds_what_the_weights_amplify(generator):
    """A generator whose styles all follow one direction of w, and that more than anything else."""
    planted = torch.nn.functional.normalize(
        torch.randn(16, generator=torch.Generator().manual_seed(3)), dim=0
    )
    other = tiny_generator()
    for name, parameter in other.named_parameters():
        if name.endswith("affine.weight"):
            parameter.data.add_(20 * torch.randn(len(parameter), 1) * planted)
    axes, spreads = find(other, "sefa", 2)
    assert abs(axes[0] @ planted) > 0.95
    assert abs(axes[1] @ planted) < 0.1
    torch.testing.assert_close(axes.norm(dim=1), torch.ones(2))
    assert (spreads > 0).all()


def test_weights_are_those_of_the_layers(generator):
    weights = affine_weights(generator, range(6))
    assert [tuple(each.shape) for each in weights] == [(16, 16)] * 5  # the sixth w only colours
    affine = generator.synthesis.b8.conv0.affine
    torch.testing.assert_close(affine_weights(generator, [1])[0], affine.weight * affine.weight_gain)
    with pytest.raises(ConfigError, match="only colours"):
        affine_weights(generator, [5])


@pytest.mark.parametrize(
    "wrong", [{"method": "ica"}, {"count": 0}, {"count": 17}, {"layers": [6]}, {"layers": []}]
)
def test_refuses(generator, wrong):
    with pytest.raises(ConfigError, match="got"):
        find(generator, **{"method": "pca", **wrong})


def test_axes_are_named_by_what_moves_most(generator):
    axes, spreads = find(generator, "pca")

    def measure(ws):
        along = (ws.mean(1) @ axes.T).numpy() / spreads.numpy()
        return {
            "heel_height": -0.3 * along[:, 0],
            "toe_height": 0.1 * along[:, 0] + 0.02 * along[:, 1],
            "upper_l": np.full(len(ws), np.nan),
        }

    w = draw_w(generator, 100, psi=0.7, seed=0)
    values = measure(generator.broadcast(w))
    samples = Samples(w=w, attributes=values, psi=0.7, seed=0)
    said = []
    first, second = discover_directions(generator, samples, measure, method="pca", count=2, say=said.append)
    assert first.attribute == "heel_height"
    assert (first.name, first.method, first.unit) == ("pca1_heel_height", "pca", "shoe length")
    torch.testing.assert_close(first.vector, -axes[0])  # turned so that heels grow
    ws = generator.broadcast(w)
    grown = measure(first.move(ws, 1))["heel_height"] - values["heel_height"]
    assert grown.mean() == pytest.approx(first.sigma, rel=0.02)
    assert first.leaks_here["toe_height"] == pytest.approx(-1, abs=0.1)
    assert first.reach == (-4, 4)
    assert second.attribute == "toe_height"
    assert second.step == pytest.approx(
        2 * float(spreads[1]), rel=0.01
    )  # it would take five to move it by a sigma
    assert len(said) == 2

    sheet = axes_sheet(generator, [first, second], ws[:2], [-1, 0, 1])
    assert sheet.shape[1] == 3 * 128 + 2 * 2
    with pytest.raises(DataError, match="nothing could be measured"):
        discover_directions(generator, samples, lambda ws: {"upper_l": np.full(len(ws), np.nan)}, count=1)


def test_a_discovered_direction_is_a_file(generator, tmp_path):
    w = draw_w(generator, 40, psi=0.7, seed=0)

    def measure(ws):
        return {"heel_height": ws.mean((1, 2)).double().numpy()}

    samples = Samples(w=w, attributes=measure(generator.broadcast(w)), psi=0.7, seed=0)
    (direction,) = discover_directions(generator, samples, measure, count=1, layers=[0, 1])
    direction.save(tmp_path / "a.safetensors")
    loaded = Direction.load(tmp_path / "a.safetensors")
    assert (loaded.name, loaded.layers) == ("sefa1_heel_height", (0, 1))
