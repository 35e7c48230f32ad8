import dataclasses

import pytest
import torch

from shoegen.directions.direction import Direction, layers_name
from shoegen.errors import ConfigError, FileFormatError
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
        leaks={"0,1,3": {"upper_l": 0.1}},
        curve=[[-1.0, 0.05, 0.1, 1.0], [0.0, 0.15, 0.1, 1.0]],
        reach=(-1.0, 3.0),
        stability=0.97,
        kept=("upper_l",),
        gradients={"heel_height": torch.arange(8.0), "upper_l": torch.ones(8), "toe_height": torch.eye(8)[0]},
        sigmas={"heel_height": 0.1, "upper_l": 20.0},
    )


def test_moves_its_layers_by_its_step(direction):
    ws = torch.randn(4, 8)
    moved = direction.move(ws, -2)
    change = moved - ws
    assert not change[2].any()
    for layer in direction.layers:
        torch.testing.assert_close(change[layer], -2 * 2.5 * direction.vector)


def test_latents_of_another_generator_are_not_moved(direction):
    for shape in ((4, 9), (3, 8)):
        with pytest.raises(FileFormatError, match="fit it again"):
            direction.move(torch.zeros(shape), 1)


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
        if field.name == "gradients":
            assert before.keys() == after.keys()
            assert all(torch.equal(before[name], after[name]) for name in before)
        else:
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
    dataclasses.replace(direction, step="1").save(path)
    with pytest.raises(FileFormatError, match="not a whole direction"):
        Direction.load(path)


def test_another_generator_is_refused_in_one_line(direction):
    direction.check_generator("a" * 64)
    with pytest.raises(FileFormatError, match="fitted for another generator") as caught:
        direction.check_generator("b" * 64)
    assert "\n" not in str(caught.value)


def test_files_of_old_still_load(direction, tmp_path):
    """Before 0.4 a direction had no unit, no curve and no gradients."""
    path = tmp_path / "old.safetensors"
    new = ("vector", "name", "unit", "method", "curve", "reach", "stability", "kept", "gradients", "sigmas")
    old = {f.name: getattr(direction, f.name) for f in dataclasses.fields(direction) if f.name not in new}
    save_tensors(path, {"vector": direction.vector}, {"kind": "direction", **old})
    loaded = Direction.load(path)
    assert (loaded.name, loaded.unit, loaded.method) == ("heel_height", "shoe length", "svm")
    assert (loaded.curve, loaded.reach, loaded.stability, loaded.gradients) == ([], (-2.0, 2.0), None, {})
    with pytest.raises(ConfigError, match="only of none"):
        loaded.keeping(["shaft"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": (0, -1)},
        {"layers": ()},
        {"reach": (1.0,)},
        {"curve": [[0.0, 1.0]]},
        {"gradients": {"toe_height": torch.ones(4)}},
        {"vector": torch.ones(2, 2, 8)},
    ],
)
def test_parts_that_do_not_fit_are_refused(direction, tmp_path, wrong):
    dataclasses.replace(direction, **wrong).save(tmp_path / "x.safetensors")
    with pytest.raises(FileFormatError, match="not a whole direction"):
        Direction.load(tmp_path / "x.safetensors")


def test_keeping_takes_out_what_leaks(direction):
    """The gradients say that strength 1 moves the toe; that of the lightness was measured."""
    kept = dataclasses.replace(direction, kept=()).keeping(["toe_height"])
    step, before = kept.step * kept.vector, direction.step * direction.vector
    assert kept.vector.norm() == pytest.approx(1, abs=1e-5)
    heel = direction.gradients["heel_height"]
    assert heel @ step == pytest.approx(float(heel @ before), abs=1e-4)
    assert direction.gradients["toe_height"] @ step == pytest.approx(0, abs=1e-5)
    both = kept.keeping(["upper_l"])
    assert both.kept == ("toe_height", "upper_l")
    assert both.gradients["toe_height"] @ (both.step * both.vector) == pytest.approx(0, abs=0.01)
    change = both.gradients["upper_l"] @ (both.step * both.vector - step)
    assert change == pytest.approx(-0.1, abs=1e-4)  # what was measured, not what the gradient foretells
    assert direction.keeping([]) is direction


def test_keeping_more_than_can_be_told_apart_before(direction):
    """Conditioned on all, many of which say nearly the same: they must not hinder."""
    generator = torch.Generator().manual_seed(0)
    gradients = {f"same{i}": torch.eye(8)[2] + 1e-3 * torch.randn(8, generator=generator) for i in range(12)}
    gradients |= {"heel_height": torch.eye(8)[0], "toe_height": torch.eye(8)[1] + 0.2 * torch.eye(8)[2]}
    vector = torch.nn.functional.normalize(torch.eye(8)[0] + 0.3 * torch.eye(8)[1], dim=0)
    changed = {"vector": vector, "gradients": gradients, "leaks": {}, "kept": tuple(gradients)[:12]}
    before = dataclasses.replace(direction, **changed)
    after = before.keeping(["toe_height"])
    change = after.step * after.vector - before.step * before.vector
    assert gradients["toe_height"] @ (after.step * after.vector) == pytest.approx(0, abs=1e-5)
    assert max(abs(float(gradients[name] @ change)) for name in before.kept) < 0.02
    assert after.vector @ before.vector > 0.9


def test_keeping_with_a_row_for_each_layer(direction):
    rows = torch.nn.functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    gradients = {"heel_height": rows, "toe_height": rows + torch.eye(4, 8)}
    direction = dataclasses.replace(direction, vector=rows, gradients=gradients, leaks={}, kept=())
    kept = direction.keeping(["toe_height"])
    moved = (kept.offset(4) * gradients["toe_height"]).sum()
    assert moved == pytest.approx(0, abs=1e-4)
    assert (kept.offset(4) * rows).sum() == pytest.approx(float((direction.offset(4) * rows).sum()), rel=1e-4)
    assert not kept.offset(4)[2].any()


def test_keeping_refuses(direction):
    for names, message in [
        (["heel_height"], "leave it out"),
        (["shaft"], "nothing of 'shaft_height', only of toe_height, upper_l"),
    ]:
        with pytest.raises(ConfigError, match=message):
            direction.keeping(names)
    same = {"heel_height": torch.arange(8.0), "toe_height": 2 * torch.arange(8.0)}
    with pytest.raises(ConfigError, match="cannot be told from toe_height"):
        dataclasses.replace(direction, gradients=same, kept=()).keeping(["toe_height"])


def test_layers_name():
    assert layers_name((0, 1, 2)) == "0-2"
    assert layers_name((0, 2)) == "0,2"
    assert layers_name((3,)) == "3-3"
