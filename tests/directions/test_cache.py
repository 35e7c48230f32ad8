from pathlib import Path

import numpy as np
import pytest
import torch

from shoegen.directions import cache
from shoegen.directions.cache import cached_samples, definitions_hash, user_cache
from shoegen.directions.sampling import Samples
from shoegen.errors import ConfigError, FileFormatError
from shoegen.measure import ATTRIBUTES, Attribute, register
from shoegen.torch_utils.tensors import save_tensors

from ..tiny import BrightnessSegmenter, tiny_generator


class Segmenter(BrightnessSegmenter):
    """Counts the pictures it has seen, and has a network to know it by."""

    net = torch.nn.Linear(1, 1)
    seen = 0

    def segment(self, images, *, size):
        self.seen += len(images)
        return super().segment(images, size=size)


@pytest.fixture(autouse=True)
def small_maps(monkeypatch):
    monkeypatch.setattr("shoegen.directions.sampling.FINE", 64)


def measure(folder, count=40, segmenter=None, generator=None, **options):
    segmenter = segmenter or Segmenter()
    generator = generator or tiny_generator()
    return cached_samples(generator, segmenter, count, folder=folder, **options), segmenter


def same(one, two):
    assert torch.equal(one.w, two.w)
    assert one.attributes.keys() == two.attributes.keys()
    for name, values in one.attributes.items():
        np.testing.assert_array_equal(values, two.attributes[name], err_msg=name)


def test_measured_once(tmp_path):
    said = []
    first, segmenter = measure(tmp_path)
    assert segmenter.seen == 40
    again, segmenter = measure(tmp_path, say=said.append)
    assert segmenter.seen == 0
    assert "40 of 40 samples are known" in said[0]
    same(first, again)
    unkept, segmenter = measure(None)
    assert segmenter.seen == 40
    same(first, unkept)


def test_what_samples_depend_on_makes_other_files(tmp_path, monkeypatch):
    measure(tmp_path)
    other = Segmenter()
    other.net = torch.nn.Linear(1, 1)
    for options in (
        {"count": 41},
        {"psi": 0.5},
        {"seed": 1},
        {"generator": tiny_generator(1)},
        {"segmenter": other},
    ):
        assert measure(tmp_path, **options)[1].seen > 0
    monkeypatch.setattr("shoegen.__version__", "0.0.0")
    assert measure(tmp_path)[1].seen == 40
    assert len(list(tmp_path.iterdir())) == 7


def test_an_attribute_of_ones_own_is_measured(tmp_path):
    measure(tmp_path)
    before = definitions_hash()
    try:
        register(Attribute("area", "its area", "share", "silhouette", "never", lambda shoe: shoe.area / 4096))
        assert definitions_hash() != before
        samples, segmenter = measure(tmp_path)
    finally:
        ATTRIBUTES.pop("area")
    assert segmenter.seen == 40
    assert np.isfinite(samples.attributes["area"]).all()


def test_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    whole, _ = measure(None)

    def stop(done):
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, progress=stop)
    (path,) = tmp_path.iterdir()
    assert len(Samples.load(path).w) == 16  # the batch before
    samples, segmenter = measure(tmp_path)
    assert segmenter.seen == 24
    same(whole, samples)


def test_keeps_what_is_there_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "PAUSE", 0.0)
    kept = []
    monkeypatch.setattr(Samples, "save", lambda self, path: kept.append(len(self.w)))
    measure(tmp_path)
    assert kept == [16, 32, 40, 40]


def test_a_damaged_file_is_measured_anew(tmp_path):
    first, _ = measure(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:500])
    again, segmenter = measure(tmp_path)
    assert segmenter.seen == 40
    same(first, again)
    save_tensors(path, {"w": torch.ones(3, 2), "attribute/x": torch.ones(2)}, {"kind": "samples"})
    with pytest.raises(FileFormatError, match="not whole samples"):
        Samples.load(path)


def test_refuses(tmp_path):
    for wrong in ({"count": 0}, {"psi": 7.0}, {"seed": -1}):
        with pytest.raises(ConfigError, match="got"):
            measure(tmp_path, **wrong)
    assert not list(tmp_path.iterdir())


def test_user_cache(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert user_cache() == Path("/somewhere/shoegen")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache() == Path.home() / ".cache" / "shoegen"
