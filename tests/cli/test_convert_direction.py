import numpy as np
import pytest
import torch
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.directions.direction import Direction

from ..tiny import BrightnessSegmenter, tiny_generator


class Segmenter(BrightnessSegmenter):
    net = torch.nn.Identity()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("shoegen.segmentation.parts.PartSegmenter.load", lambda *_, **__: Segmenter())
    monkeypatch.setattr("shoegen.directions.sampling.FINE", 64)
    monkeypatch.setattr("shoegen.directions.boundaries.CALIBRATION", 12)


@pytest.fixture
def paths(tmp_path):
    """A run folder, and a boundary along which its pictures get brighter, of length 5."""
    generator = tiny_generator()
    generator.save(tmp_path / "run" / "generator.safetensors")
    ws = generator.broadcast(generator.mapping(torch.randn(64, 16)))
    ws.requires_grad_(True)
    brighter = torch.autograd.grad(generator.synthesis(ws).mean(), ws)[0].sum((0, 1))
    np.save(tmp_path / "boundary.npy", (5 * brighter / brighter.norm()).numpy()[None])
    return tmp_path / "run", tmp_path / "boundary.npy"


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, ["convert-direction", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    assert "Traceback" not in result.output
    return result.output


def test_in_and_out(paths, tmp_path):
    model, boundary = paths
    out = tmp_path / "heel.safetensors"
    text = run(boundary, "--attribute", "heel", "--model", model, "--samples", 64, "--out", out)
    assert "mm" in text
    direction = Direction.load(out)
    assert (direction.attribute, direction.method) == ("heel_height", "imported")
    assert "layers 0-5" in run(out, "--out", tmp_path / "again.npy")
    given, again = np.load(boundary), np.load(tmp_path / "again.npy")
    np.testing.assert_allclose(again, given / np.linalg.norm(given), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--attribute: got none"),
        (("--attribute", "x"), "no attribute 'x'"),
        (("--attribute", "heel", "--out", "heel.png"), "the other way around"),
        (("--attribute", "heel", "--layers", "9"), "0 to 5"),
        (("--attribute", "heel", "--model", "nothing"), "no model"),
    ],
)
def test_one_line_for_what_is_wrong(paths, tmp_path, options, message):
    model, boundary = paths
    text = run(boundary, "--model", model, "--out", tmp_path / "heel.safetensors", *options, expect=1)
    assert message in text
    assert text.count("\n") == 1
    assert not (tmp_path / "heel.safetensors").exists()


def test_refuses_what_is_no_boundary(paths, tmp_path):
    model, boundary = paths
    np.save(boundary, np.ones(7))
    out = tmp_path / "heel.safetensors"
    assert "another generator" in run(
        boundary, "--attribute", "heel", "--model", model, "--out", out, expect=1
    )
    assert "would overwrite" in run(boundary, "--attribute", "heel", "--out", boundary, expect=1)
    assert "no effect" in run(out, "--out", tmp_path / "x.npy", "--attribute", "heel", expect=1)
    assert "no such file" in run(out, "--out", tmp_path / "x.npy", expect=1)
