import numpy as np
import pytest
import torch

from shoegen.cagan.config import CaganConfig
from shoegen.cagan.networks import Generator, Swap
from shoegen.cagan.swapping import MODEL_FILE, Swapper, swap
from shoegen.data.images import write_image
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.torch_utils.pixels import from_pixels
from shoegen.torch_utils.tensors import load_tensors, save_tensors

from .tiny import CHANNELS, article, worn


def swapper(size=(32, 32), **model):
    torch.manual_seed(0)
    return Swapper(Generator(CaganConfig(resolution=size, channels=CHANNELS, **model)))


class Half(torch.nn.Module):
    """Stands for a generator: draws red where the right half is, and leaves a little mask elsewhere."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, photo, worn, other):
        alpha = torch.full_like(photo[:, :1], 0.01)
        alpha[..., photo.shape[3] // 2 :] = 1
        drawn = torch.tensor([1.0, -1, -1])[:, None, None].expand_as(photo)
        return Swap(photo, alpha, drawn)


def scene(*size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize("size", [(32, 32), (100, 100), (20, 20)])
def test_outside_of_the_mask_the_photo_is_itself_at_its_own_size(size):
    photo = scene(*size)
    made = Swapper(Half(CaganConfig(resolution=32))).swap(photo, article(0), article(1))
    assert made.image.shape == photo.shape
    assert made.alpha.shape == size
    outside = made.alpha == 0
    assert outside[:, : size[1] // 2 - 4].all()
    assert np.array_equal(made.image[outside], photo[outside])
    inside = made.alpha == 1
    assert inside[:, size[1] // 2 + 4 :].all()
    assert (made.image[inside] == [255, 0, 0]).all()
    assert made.mask.max() == 255
    assert not made.mask[outside].any()


def test_many_are_as_one_and_of_any_size():
    model = swapper((32, 48), features=True, attention=(3,))
    photos = [scene(64, 96, seed=1), scene(32, 48, seed=2), scene(100, 150, seed=3)]
    wearing, others = [scene(32, 48, seed=4)] * 3, [scene(64, 96, seed=5)] * 3
    together = model.swap_all(photos, wearing, others, batch=2)
    for photo, each in zip(photos, together):
        alone = model.swap(photo, wearing[0], others[0])
        assert each.image.shape == photo.shape
        assert np.abs(each.image.astype(int) - alone.image).max() <= 1
        assert not np.array_equal(each.image, photo)
    assert model.swap_all([], [], []) == []


@pytest.mark.parametrize("model", [{}, {"attention": (4, 3)}])
def test_at_the_network_s_own_size_its_result_is_taken(model):
    model = swapper(**model)
    photo, wearing, other = worn(0, 0), article(0), scene(32, 32)
    tensors = [
        from_pixels(torch.from_numpy(each.transpose(2, 0, 1).copy()))[None]
        for each in (photo, wearing, other)
    ]
    made = model.net(*tensors)
    alpha = ((made.alpha - 0.05) / 0.95).clamp(0, 1)
    expected = ((alpha * made.drawn + (1 - alpha) * tensors[0]) * 127.5 + 127.5)[0].permute(1, 2, 0).numpy()
    assert np.abs(model.swap(photo, wearing, other).image - expected).max() < 0.6


class Copying(Half):
    """Takes all of the article, from where it is."""

    def forward(self, photo, worn, other):
        everywhere = torch.ones_like(photo[:, :1])
        places = torch.tensor([[-0.5, 0.5], [-0.5, 0.5]])
        places = torch.stack([places, places.T])[None]
        return Swap(photo, everywhere, other, torch.zeros_like(photo), everywhere, places)


def test_what_comes_from_the_article_is_as_sharp_as_it_is():
    other = scene(128, 128)
    made = Swapper(Copying(CaganConfig(resolution=32))).swap(scene(128, 128, seed=1), article(0), other)
    assert np.array_equal(made.image[40:88, 40:88], other[40:88, 40:88])


def test_a_read_only_picture_is_taken():
    photo = scene(32, 32)
    photo.flags.writeable = False
    swapper().swap(photo, photo, photo)


def test_files(tmp_path):
    model = swapper(attention=(4, 3), head=4)
    model.save(tmp_path / MODEL_FILE, dtype=torch.float32)
    pictures = worn(0, 0), article(0), article(1)
    for path in (tmp_path, tmp_path / MODEL_FILE):
        again = Swapper.load(path)
        assert again.config == model.config
        assert np.array_equal(again.swap(*pictures).image, model.swap(*pictures).image)
    model.save(tmp_path / "half.safetensors")
    half = Swapper.load(tmp_path / "half.safetensors").swap(*pictures)
    assert np.abs(half.image.astype(int) - model.swap(*pictures).image).max() <= 2
    assert half._repr_png_().startswith(b"\x89PNG")
    assert repr(half).startswith("Swapped(32x32, ")
    half.save(tmp_path / "out.png")
    for name, picture in zip("abc", pictures):
        write_image(tmp_path / f"{name}.png", picture)
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    shown = swap(*paths, model=tmp_path / "half.safetensors", device="cpu")
    assert np.array_equal(shown.image, half.image)


def test_models_that_are_none(tmp_path):
    with pytest.raises(FileFormatError, match="shoegen train-cagan"):
        Swapper.load(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(FileFormatError, match="not a readable safetensors"):
        Swapper.load(tmp_path / "x.safetensors")
    swapper().save(tmp_path / "a.safetensors")
    tensors, metadata = load_tensors(tmp_path / "a.safetensors", kind="cagan")
    metadata["config"]["channels"] = [8, 8, 8, 8]
    save_tensors(tmp_path / "b.safetensors", tensors, metadata)
    with pytest.raises(FileFormatError, match="does not hold the network that it names"):
        Swapper.load(tmp_path / "b.safetensors")
    save_tensors(tmp_path / "c.safetensors", tensors, {"kind": "segmenter"})
    with pytest.raises(FileFormatError, match="expected 'cagan'"):
        Swapper.load(tmp_path / "c.safetensors")
    save_tensors(tmp_path / "d.safetensors", tensors, {"kind": "cagan", "config": [1]})
    with pytest.raises(FileFormatError, match="does not hold"):
        Swapper.load(tmp_path / "d.safetensors")


@pytest.mark.parametrize(
    ("photo", "wearing", "other", "message"),
    [
        (
            scene(32, 48),
            scene(32, 32),
            scene(32, 48),
            "the photo is 48x32, the article worn 32x32; expected one aspect",
        ),
        (
            scene(32, 32),
            scene(32, 32),
            scene(64, 32),
            "the other article 32x64; expected one aspect: cut them alike",
        ),
        (scene(32, 48), scene(32, 48), scene(32, 48), "the model takes pictures of the aspect of 32 px"),
        (scene(32, 32)[..., 0], scene(32, 32), scene(32, 32), r"the photo: got an array \(32, 32\) of uint8"),
        (scene(32, 32), scene(32, 32) / 255, scene(32, 32), "the article worn: got an array .* of float64"),
        (scene(32, 32)[:0], scene(32, 32), scene(32, 32), r"the photo: got an array \(0, 32, 3\)"),
        (scene(32, 32), scene(32, 32), None, "the other article: got NoneType, expected a picture"),
    ],
)
def test_pictures_that_do_not_fit(photo, wearing, other, message):
    with pytest.raises(DataError, match=message):
        swapper().swap(photo, wearing, other)


def test_as_many_of_each():
    with pytest.raises(DataError, match="got 1 photos, 2 articles worn and 1 others"):
        swapper().swap_all([scene(32, 32)], [scene(32, 32)] * 2, [scene(32, 32)])
    with pytest.raises(ConfigError, match="batch is -1"):
        swapper().swap_all(*[[scene(32, 32)]] * 3, batch=-1)
    with pytest.raises(ConfigError, match="--device"):
        swap(scene(32, 32), scene(32, 32), scene(32, 32), device="tpu")
