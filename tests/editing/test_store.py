import copy
import json

import numpy as np
import pytest
import torch

import shoegen
from shoegen.editing.model import ShoeModel
from shoegen.editing.shoe import Shoe
from shoegen.editing.store import list_latents, tuned_model
from shoegen.errors import ConfigError, FileFormatError
from shoegen.stylegan.sampling import load_ws, save_ws
from shoegen.torch_utils.tensors import load_tensors, save_tensors

from ..tiny import tiny_generator


@pytest.fixture
def edited(model):
    return model.sample(seed=3).edit(heel="45mm").edit(heel=0.5)


def retune(generator, amount=1e-3):
    tuned = copy.deepcopy(generator)
    with torch.no_grad():
        for parameter in tuned.synthesis.parameters():
            parameter.add_(amount * torch.randn_like(parameter))
    return tuned


def test_a_shoe_is_taken_up_again(edited, model, tmp_path):
    path = tmp_path / "mine.safetensors"
    edited.save_latent(path, name="mine")
    for shoe in (shoegen.load_shoe(path, model), shoegen.load_shoe(path, device="cpu")):
        assert torch.equal(shoe.ws, edited.ws)
        assert np.array_equal(shoe.image, edited.image)
        assert (shoe.title, shoe.history, shoe.source) == (
            edited.title,
            edited.history,
            {"seed": 3, "psi": 0.7},
        )
        assert shoe.edit(heel=1).title == "seed 3, heel to 45mm, heel +0.5, heel +1"


def test_the_file_is_one_of_latents(edited, model, tmp_path):
    path = tmp_path / "mine.safetensors"
    edited.save_latent(path)
    assert torch.equal(load_ws(path, model.generator)[0], edited.ws)
    _, notes = load_tensors(path, kind="latents")
    assert notes["generator_hash"] == notes["origin"] == model.hash
    assert notes["shoegen"] == shoegen.__version__
    assert notes["history"][0]["direction"] == "heel"
    assert len(notes["history"][0]["direction_hash"]) == 64
    json.dumps(notes)


def test_files_of_other_commands_are_opened_too(model, tmp_path):
    shoe = model.sample(seed=3)
    for suffix in (".npz", ".npy", ".safetensors"):
        save_ws(tmp_path / f"a{suffix}", shoe.ws[None], model.generator)
        opened = shoegen.load_shoe(tmp_path / f"a{suffix}", model)
        assert torch.equal(opened.ws, shoe.ws)
        assert opened.title == "a"
    save_ws(tmp_path / "two.safetensors", shoe.ws[None].repeat(2, 1, 1), model.generator)
    with pytest.raises(FileFormatError, match="2 latents, expected one"):
        shoegen.load_shoe(tmp_path / "two.safetensors", model)


def test_another_model_is_refused(edited, tmp_path):
    path = tmp_path / "mine.safetensors"
    edited.save_latent(path)
    with pytest.raises(FileFormatError, match=r"a shoe of another model, .*open it with that one"):
        shoegen.load_shoe(path, ShoeModel(tiny_generator(seed=1)))
    with pytest.raises(ConfigError, match=r"expected the suffix \.safetensors"):
        edited.save_latent(tmp_path / "mine.npz")
    with pytest.raises(FileFormatError, match="no such file"):
        shoegen.load_shoe(tmp_path / "nothing.safetensors")
    with pytest.raises(FileFormatError, match="expected 'latents'"):
        shoegen.load_shoe(edited.model.directions_folder / "heel.safetensors")


def test_a_model_that_is_gone(edited, model, tmp_path):
    path = tmp_path / "mine.safetensors"
    model.name = str(tmp_path / "gone")
    edited.save_latent(path)
    with pytest.raises(FileFormatError, match=r"mine.safetensors is a shoe of the model .*gone"):
        shoegen.load_shoe(path)


@pytest.mark.parametrize(
    "damage", [{"history": [{"direction": "heel"}]}, {"history": 3}, {"source": [1]}, {"history": [None]}]
)
def test_damaged_notes(edited, tmp_path, damage):
    path = tmp_path / "mine.safetensors"
    edited.save_latent(path)
    tensors, notes = load_tensors(path, kind="latents")
    save_tensors(path, tensors, {**notes, **damage})
    with pytest.raises(FileFormatError, match="damaged"):
        shoegen.load_shoe(path, edited.model)


def test_a_tuned_generator_comes_along(model, tmp_path):
    tuned = tuned_model(model, retune(model.generator))
    assert tuned.hash != model.hash
    assert tuned.origin == model.hash
    assert tuned.directions == ["heel"]
    assert list(tuned.state_dict()) == list(model.state_dict())
    start = model.sample(seed=3)
    shoe = Shoe(tuned, start.ws, "photo.jpg").edit(heel="45mm")  # directions of the origin hold
    assert not np.array_equal(Shoe(tuned, start.ws, "").image, start.image)
    path = tmp_path / "mine.safetensors"
    shoe.save_latent(path)
    for given in (model, None, tuned):
        opened = shoegen.load_shoe(path, given, device="cpu")
        assert opened.model.hash == tuned.hash
        assert np.array_equal(opened.image, shoe.image)
    assert path.stat().st_size < 2.5 * sum(each.numel() for each in model.generator.parameters()) + 20_000


def test_tuned_weights_that_do_not_fit(model, tmp_path):
    path = tmp_path / "mine.safetensors"
    Shoe(tuned_model(model, retune(model.generator)), model.sample(3).ws, "photo.jpg").save_latent(path)
    tensors, notes = load_tensors(path, kind="latents")
    name = next(each for each in tensors if each.startswith("tuned/"))
    save_tensors(path, {**tensors, name: torch.zeros(3)}, notes)
    with pytest.raises(FileFormatError, match="does not fit the generator"):
        shoegen.load_shoe(path, model)
    save_tensors(path, {key: value for key, value in tensors.items() if key != name}, notes)
    with pytest.raises(FileFormatError, match="not what it was"):
        shoegen.load_shoe(path, model)


def test_list_latents(edited, model, tmp_path):
    folder = tmp_path / "shoes"
    edited.save_latent(folder / "b" / "mine.safetensors", name="mine")
    save_ws(folder / "a.safetensors", torch.cat([model.sample(1).ws[None]] * 2), model.generator)
    found = list_latents(folder)
    assert [(each.name, each.count) for each in found] == [("a", 2), ("mine", 1)]
    assert found[1].history == edited.history
    with pytest.raises(FileFormatError, match="has no latents"):
        list_latents(tmp_path / "run")
