import numpy as np
import pytest
import torch
from PIL import Image

from shoegen.editing.films import _there_and_back, film
from shoegen.errors import ConfigError


def test_there_and_back():
    keys = torch.arange(3.0).reshape(3, 1, 1)
    ws = _there_and_back(keys, torch.arange(8) / 8).flatten()
    assert ws[0] == 0
    assert ws[4] == 2
    assert ws[1:4].tolist() == pytest.approx(ws[5:].flip(0).tolist())
    assert ws[1] - ws[0] < ws[2] - ws[1]  # slow at the ends


def test_sweep(model, tmp_path):
    shoe = model.sample(seed=3)
    path = tmp_path / "a.gif"
    shoe.sweep(path, heel=(-2, 2), frames=8, fps=10, scale=1)
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.size) == (8, (16, 16))
        low = np.asarray(gif.convert("RGB")).mean()
        gif.seek(4)
        high = np.asarray(gif.convert("RGB")).mean()
    assert high > low + 5


def test_what_makes_no_film(model, tmp_path):
    shoe = model.sample(seed=3)
    for strengths in ({}, {"heel": 2}, {"heel": [1]}, {"heel": [1, 2], "b": [1, 2]}):
        with pytest.raises(ConfigError, match="sweep: got"):
            shoe.sweep(tmp_path / "a.gif", **strengths)
    for options in ({"frames": 1}, {"fps": 0}, {"scale": 0}):
        with pytest.raises(ConfigError, match=f"{next(iter(options))}: got"):
            shoe.sweep(tmp_path / "a.gif", heel=(-2, 2), **options)
    with pytest.raises(ConfigError, match=r"expected \.mp4"):
        film(tmp_path / "a.xyz", [shoe, shoe])
    assert not list(tmp_path.glob("a.*"))
