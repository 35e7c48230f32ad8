import dataclasses

import pytest
import torch

from shoegen.directions.direction import Direction, attribute_name
from shoegen.errors import ConfigError, FileFormatError
from shoegen.measure import ATTRIBUTES
from shoegen.torch_utils.tensors import save_tensors


@pytest.fixture
def direction():
    return Direction(
        attribute="heel_height",
        vector=torch.nn.functional.normalize(torch.arange(8.0), dim=0),
        layers=(0, 1, 3),
        step=2.5,
        mean=0.15,
        sigma=0.1,
        generator_hash="a" * 64,
        psi=0.7,
        samples=4000,
        seed=0,
        quantile=0.25,
        scores={"accuracy": 0.9},
        leaks={"0-3": {"hue": 0.1}},
    )


def test_moves_its_layers_by_its_step(direction):
    ws = torch.randn(4, 8)
    moved = direction.move(ws, -2)
    change = moved - ws
    assert not change[2].any()
    for layer in direction.layers:
        torch.testing.assert_close(change[layer], -2 * 2.5 * direction.vector)


def test_moves_many_by_many_strengths(direction):
    ws, strengths = torch.randn(3, 4, 8), torch.tensor([[-1.0], [0.0]])
    moved = direction.move(ws, strengths)
    assert moved.shape == (2, 3, 4, 8)
    assert torch.equal(moved[1], ws)
    torch.testing.assert_close(moved[0], direction.move(ws, -1))


def test_a_vector_for_each_layer(direction):
    vectors = torch.nn.functional.normalize(torch.randn(4, 8), dim=1)
    offset = dataclasses.replace(direction, vector=vectors).offset(4)
    torch.testing.assert_close(offset[3], 2.5 * vectors[3])
    assert not offset[2].any()


def test_file_keeps_everything(direction, tmp_path):
    direction.save(tmp_path / "heel.safetensors")
    loaded = Direction.load(tmp_path / "heel.safetensors")
    for field in dataclasses.fields(Direction):
        before, after = getattr(direction, field.name), getattr(loaded, field.name)
        assert torch.equal(before, after) if field.name == "vector" else before == after


def test_files_that_are_no_direction(direction, tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(FileFormatError, match="no such file"):
        Direction.load(path)
    save_tensors(path, {"vector": torch.ones(8)}, {"kind": "generator"})
    with pytest.raises(FileFormatError, match="expected 'direction'"):
        Direction.load(path)
    save_tensors(path, {"vector": torch.ones(8)}, {"kind": "direction", "layers": [0], "step": 1.0})
    with pytest.raises(FileFormatError, match="not a whole direction"):
        Direction.load(path)
    dataclasses.replace(direction, step=float("nan")).save(path)
    with pytest.raises(FileFormatError, match="not finite"):
        Direction.load(path)


def test_another_generator_is_refused_in_one_line(direction):
    direction.check_generator("a" * 64)
    with pytest.raises(FileFormatError, match="fitted for another generator") as caught:
        direction.check_generator("b" * 64)
    assert "\n" not in str(caught.value)


def test_attribute_names():
    assert attribute_name("heel") == attribute_name("heel_height") == "heel_height"
    assert all(attribute_name(name) == name for name in ATTRIBUTES)
    with pytest.raises(ConfigError, match="heel_height"):
        attribute_name("height of heel")
