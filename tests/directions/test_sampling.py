from functools import partial

import numpy as np
import pytest
import torch

from shoegen.directions.fitting import FitConfig, fit_direction
from shoegen.directions.sampling import (
    Samples,
    draw_samples,
    draw_w,
    layer_ranges,
    measure_images,
    measure_ws,
    spread,
)
from shoegen.errors import ConfigError
from shoegen.measure import ATTRIBUTES
from shoegen.torch_utils.pixels import to_pixels

from ..tiny import BrightnessSegmenter, tiny_generator


def test_draws_are_truncated_and_repeat():
    generator = tiny_generator()
    w = draw_w(generator, 20, psi=1.0, seed=3)
    assert w.shape == (20, 16)
    torch.testing.assert_close(draw_w(generator, 20, psi=0.5, seed=3), generator.mapping.w_avg.lerp(w, 0.5))
    assert not torch.equal(w, draw_w(generator, 20, psi=1.0, seed=4))


@pytest.mark.parametrize("wrong", [{"count": 0}, {"seed": -1}, {"seed": 2**70}, {"psi": float("nan")}])
def test_draws_refuse(wrong):
    with pytest.raises(ConfigError, match="got"):
        draw_w(tiny_generator(), **{"count": 1, "psi": 0.7, "seed": 0, **wrong})


def test_samples_hold_every_attribute():
    generator, done = tiny_generator(), []
    measure = partial(measure_ws, generator, BrightnessSegmenter())
    samples = draw_samples(generator, measure, 40, progress=done.append)
    assert done == [16, 32, 40]
    assert samples.attributes.keys() == ATTRIBUTES.keys()
    assert samples.sigmas()["heel_height"] == pytest.approx(np.nanstd(samples.attributes["heel_height"]))
    assert all(values.shape == (40,) for values in samples.attributes.values())
    again = measure_ws(generator, BrightnessSegmenter(), generator.broadcast(samples.w))
    for name, values in samples.attributes.items():
        np.testing.assert_allclose(values, again[name], atol=1e-6, err_msg=name)


def test_maps_are_finer_than_small_pictures():
    images = torch.zeros(2, 3, 16, 16)
    (part_map, attributes), _ = measure_images(images, BrightnessSegmenter())
    assert part_map.shape == (256, 256)
    assert attributes["heel_height"] == pytest.approx(32 / 206, abs=0.01)
    assert attributes["upper_l"] == pytest.approx(53.6, abs=0.5)
    assert measure_images(torch.zeros(1, 3, 300, 300), BrightnessSegmenter())[0][0].shape == (300, 300)


def test_pixels():
    images = torch.tensor([-1.5, -1, 0, 1, 1.5]).reshape(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert to_pixels(images)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_from_pictures_to_a_direction(monkeypatch):
    monkeypatch.setattr("shoegen.directions.sampling.FINE", 96)
    monkeypatch.setattr("shoegen.directions.fitting.CALIBRATION", 16)
    generator = tiny_generator()
    measure = partial(measure_ws, generator, BrightnessSegmenter())
    samples = draw_samples(generator, measure, 200)
    config = FitConfig(attribute="heel", layers="all", bootstraps=2)
    direction = fit_direction(
        samples, measure, config, num_ws=generator.num_ws, generator_hash=generator.hash()
    )
    assert direction.scores["auc"] > 0.8
    ws = generator.broadcast(draw_w(generator, 16, psi=0.7, seed=9))
    heels = [measure(direction.move(ws, strength))["heel_height"].mean() for strength in (-1, 0, 1)]
    assert heels == sorted(heels)
    assert heels[2] - heels[0] == pytest.approx(2 * direction.sigma, rel=0.4)


def test_ranges_of_layers_with_a_w_of_their_own(tmp_path):
    assert layer_ranges(10) == ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9))
    assert layer_ranges(6) == ((0, 1, 2, 3), (4, 5))
    generator, seen = tiny_generator(), []

    def measure(ws):
        seen.append(ws)
        return {"heel_height": np.zeros(len(ws))}

    ranges = layer_ranges(generator.num_ws)
    samples = draw_samples(generator, measure, 20, ranges=ranges)
    ws = samples.ws(generator.num_ws)
    torch.testing.assert_close(torch.cat(seen), ws)
    assert torch.equal(ws[:, 0], ws[:, 3])
    assert torch.equal(ws[:, 4], samples.w[:, 16:])
    assert not torch.equal(ws[:, 3], ws[:, 4])
    assert spread(torch.ones(3, 8), 5).shape == (3, 5, 8)
    samples.save(tmp_path / "samples.safetensors")
    assert Samples.load(tmp_path / "samples.safetensors").ranges == ranges
