import dataclasses

import numpy as np
import pytest
import torch

import shoegen
from shoegen.data.images import read_image
from shoegen.errors import ConfigError, FileFormatError


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


def test_directions_of_ones_own_beside_the_models(model, run_folder, tmp_path):
    mine = tmp_path / "mine"
    model = shoegen.load(run_folder, device="cpu", directions=mine)
    assert model.directions == ["heel"]
    heel = model.direction("heel")
    dataclasses.replace(heel, attribute="toe_height").save(mine / "toe.safetensors")
    dataclasses.replace(heel, step=1.0).save(mine / "heel.safetensors")
    assert model.directions == ["heel", "toe"]
    assert model.direction("toe").attribute == "toe_height"
    assert model.direction("heel").step == 1.0  # one's own comes before
    assert model.directions_folder == run_folder / "directions"
    assert model.sample(3).edit(toe=1).title == "seed 3, toe +1"


def test_shoe_shows_itself(model):
    shoe = model.sample(seed=3)
    assert read_image(shoe._repr_png_()).shape == (256, 256, 3)
    assert repr(shoe).startswith("Shoe(seed 3)\n  heel_height: 0.")
    assert "shaft_height: 0" in repr(shoe)
    assert shoe.part_map.shape == (256, 256)
    overlay = shoe.overlay
    assert overlay.image.shape == (256, 256, 3)
    assert set(overlay.shares()) == {"background", "sole", "heel", "upper"}


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
        with pytest.raises(ConfigError, match=r"heel: got .*, expected"):
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
