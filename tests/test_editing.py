import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import shoegen
from shoegen.cli import main
from shoegen.data.images import read_image
from shoegen.directions.direction import Direction
from shoegen.errors import ConfigError, FileFormatError

from .tiny import BrightnessSegmenter, tiny_generator


@pytest.fixture
def run_folder(tmp_path):
    """A generator with a heel direction that makes its pictures brighter."""
    generator = tiny_generator()
    folder = tmp_path / "run"
    generator.save(folder / "generator.safetensors")
    ws = generator.broadcast(generator.mapping(torch.randn(64, 16)))
    ws.requires_grad_(True)
    brighter = torch.autograd.grad(generator.synthesis(ws).mean(), ws)[0].sum((0, 1))
    heel = Direction(
        attribute="heel_height",
        vector=brighter / brighter.norm(),
        layers=tuple(range(generator.num_ws)),
        step=0.5,
        mean=0.15,
        sigma=0.1,
        generator_hash=generator.hash(),
        psi=0.7,
        samples=64,
        seed=0,
        quantile=0.25,
    )
    heel.save(folder / "directions" / "heel.safetensors")
    return folder


@pytest.fixture(autouse=True)
def fake_segmenter(monkeypatch):
    monkeypatch.setattr("shoegen.editing.PartSegmenter.load", lambda **_: BrightnessSegmenter())


@pytest.fixture
def model(run_folder):
    return shoegen.load(run_folder, device="cpu")


def test_load_takes_a_folder_or_a_file(run_folder):
    for path in (run_folder, str(run_folder), run_folder / "generator.safetensors"):
        assert shoegen.load(path).directions == ["heel"]
    with pytest.raises(FileFormatError, match="no model 'nothing'"):
        shoegen.load("nothing")
    with pytest.raises(FileFormatError, match="expected 'generator'"):
        shoegen.load(run_folder / "directions" / "heel.safetensors")


def test_model_is_a_module(model):
    z = torch.randn(2, 16)
    images = model(z, truncation_psi=0.5)
    assert images.shape == (2, 3, 16, 16)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert torch.equal(images, model.generator(z, truncation_psi=0.5))
    assert list(model.state_dict()) == [f"generator.{name}" for name in model.generator.state_dict()]


def test_sample_repeats(model):
    shoe = model.sample(seed=3)
    assert shoe.ws.shape == (model.generator.num_ws, 16)
    assert shoe.image.shape == (16, 16, 3)
    assert shoe.image.dtype == np.uint8
    assert np.array_equal(shoe.image, model.sample(seed=3).image)
    assert not np.array_equal(shoe.image, model.sample(seed=4).image)


def test_edit_grows_the_heel_and_leaves_the_original(model):
    shoe = model.sample(seed=3)
    before = shoe.ws.clone()
    heels = [shoe.edit(heel=strength).measures["heel_height"] for strength in (-2, 0, 2)]
    assert heels[0] < heels[1] < heels[2]
    assert heels[1] == shoe.measures["heel_height"]
    assert torch.equal(shoe.ws, before)
    torch.testing.assert_close(shoe.edit(heel=2).edit(heel=-2).ws, shoe.ws)
    assert torch.equal(shoe.edit(heel_height=1).ws, shoe.edit(heel=1).ws)
    with pytest.raises(dataclasses.FrozenInstanceError):
        shoe.ws = before


def test_several_directions_at_once(model, run_folder):
    heel = model.direction("heel")
    sideways = dataclasses.replace(heel, attribute="toe_height", vector=heel.vector.roll(1))
    sideways.save(run_folder / "directions" / "toe_height.safetensors")
    assert model.directions == ["heel", "toe_height"]
    shoe = model.sample(seed=3)
    edited = shoe.edit(heel=1, toe_height=-0.5)
    torch.testing.assert_close(edited.ws, sideways.move(heel.move(shoe.ws, 1), -0.5))
    assert edited.title == "seed 3, heel +1, toe_height -0.5"


def test_shoe_shows_itself(model):
    shoe = model.sample(seed=3)
    assert read_image(shoe._repr_png_()).shape == (256, 256, 3)
    assert repr(shoe).startswith("Shoe(seed 3)\n  heel_height: 0.")
    assert "shaft_height: 0" in repr(shoe)
    assert shoe.part_map.shape == (256, 256)


def test_strip(model, tmp_path):
    strip = model.sample(seed=3).strip(heel=[-2, 0, 2])
    assert [shoe.title for shoe in strip.shoes] == ["seed 3, heel -2", "seed 3", "seed 3, heel +2"]
    height, width, _ = strip.image.shape
    assert height > 256
    assert width >= 3 * 256
    assert read_image(strip._repr_png_()).shape == strip.image.shape
    assert all("mm" in caption for caption in strip.captions)
    assert repr(strip).count("mm") == 3
    strip.save(tmp_path / "strip.png")
    assert np.array_equal(read_image(tmp_path / "strip.png"), strip.image)


def test_what_cannot_be_edited(model, run_folder):
    shoe = model.sample(seed=3)
    with pytest.raises(ConfigError, match=r"no direction 'toe'; known: heel;"):
        shoe.edit(toe=1)
    for strength in (float("nan"), float("inf"), "high", None, 1e9):
        with pytest.raises(ConfigError, match="expected -10 to 10"):
            shoe.edit(heel=strength)
    for strengths in ({}, {"heel": []}, {"heel": [1], "toe": [1]}):
        with pytest.raises(ConfigError, match="strengths of one direction"):
            shoe.strip(**strengths)
    for seed in (-1, "7", 7.5, None):
        with pytest.raises(ConfigError, match="seed: got"):
            model.sample(seed)
    with pytest.raises(ConfigError, match="psi: got"):
        model.sample(psi=-5)
    other = dataclasses.replace(model.direction("heel"), generator_hash="b" * 64)
    with pytest.raises(FileFormatError, match="another generator"):
        shoe.move(other, 1)
    other.save(run_folder / "directions" / "other.safetensors")
    with pytest.raises(FileFormatError, match="another generator"):
        shoe.edit(other=1)


# ---- commands ----


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result.output


def test_edit_command(run_folder, model, tmp_path):
    out = tmp_path / "edit.png"
    options = ("--model", run_folder, "--seed", 3, "--device", "cpu", "--out", out)
    text = run("edit", "--direction", "heel", "--strength", 2, *options)
    assert np.array_equal(read_image(out), model.sample(seed=3).edit(heel=2).image)
    shoe = model.sample(seed=3)
    for heel in (shoe.measures["heel_height"], shoe.edit(heel=2).measures["heel_height"]):
        assert f"{heel:.3f} ({265 * heel:.0f} mm)" in text
    path = run_folder / "directions" / "heel.safetensors"
    assert text == run("edit", "--direction", path, "--strength", 2, *options)


def test_edit_command_writes_a_strip(run_folder, tmp_path):
    out = tmp_path / "strip.png"
    options = ("--model", run_folder, "--out", out, "--shoe-length", 100)
    text = run("edit", "--direction", "heel", "--strengths", "-2,-1,0,1,2", *options)
    assert text.count("heel_height 0.") == 5
    assert text.count(" mm)") == 5
    height, width, _ = read_image(out).shape
    assert width > 4 * height


def test_edit_command_says_what_is_wrong(run_folder, tmp_path):
    def error(*options, direction="heel", out="x.png"):
        text = run(
            "edit",
            "--direction",
            direction,
            "--model",
            run_folder,
            "--out",
            tmp_path / out,
            *options,
            expect=1,
        )
        assert text.startswith("error: ")
        assert text.count("\n") == 1
        assert not list(tmp_path.glob("*.png"))
        return text

    assert "known: heel" in error("--strength", 1, direction="toe")
    assert "no such file" in error("--strength", 1, direction=tmp_path / "no.safetensors")
    assert "expected 'direction'" in error("--strength", 1, direction=run_folder / "generator.safetensors")
    assert "finite numbers" in error("--strength", "high")
    assert "finite numbers" in error("--strengths", "-1,nan")
    assert "one number" in error("--strength", "1,2")
    assert "either" in error()
    assert "either" in error("--strength", 1, "--strengths", "1,2")
    assert "--shoe-length" in error("--strength", 1, "--shoe-length", -3)
    assert "no model" in error("--strength", 1, "--model", tmp_path / "nothing")
    assert "suffix" in error("--strength", 1, out="x.xyz")
    assert "cannot" in error("--strength", 1, out="run/generator.safetensors/x.png")
    assert "seed" in error("--strength", 1, "--seed", -1)


def test_fit_direction_command(run_folder, tmp_path):
    options = ("--model", run_folder, "--samples", 160, "--layers", "0-5", "--device", "cpu")
    text = run("fit-direction", "heel", *options, "--out", tmp_path / "a.safetensors")
    assert "accuracy 0." in text
    assert "AUC 0." in text
    run("fit-direction", "heel_height", *options)
    a = Direction.load(tmp_path / "a.safetensors")
    b = Direction.load(run_folder / "directions" / "heel_height.safetensors")
    assert torch.equal(a.vector, b.vector)
    assert a.generator_hash == shoegen.load(run_folder).hash
    assert a.vector @ Direction.load(run_folder / "directions" / "heel.safetensors").vector > 0.5


def test_fit_direction_command_says_what_is_wrong(run_folder, tmp_path):
    options = ("--model", run_folder, "--samples", 16)
    assert "no attribute 'elegance'" in run("fit-direction", "elegance", *options, expect=1)
    assert "--layers" in run("fit-direction", "heel", *options, "--layers", "x", expect=1)
    assert "from 0 to 5" in run("fit-direction", "heel", *options, "--layers", "2-9", expect=1)
    assert "quantile" in run("fit-direction", "heel", *options, "--quantile", 0.7, expect=1)
    assert "no attribute 'x'" in run("fit-direction", "heel", *options, "--orthogonal-to", "x", expect=1)
    out = run_folder / "generator.safetensors" / "x.safetensors"
    assert "cannot" in run("fit-direction", "heel", *options, "--out", out, expect=1)


def test_a_process_ends_with_one_line_and_a_status(tmp_path):
    command = [sys.executable, "-m", "shoegen", "edit", "--direction", "heel", "--strength", "1"]
    command += ["--model", str(tmp_path / "nothing"), "--out", str(tmp_path / "x.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: no model")
    assert done.stderr.count("\n") == 1
