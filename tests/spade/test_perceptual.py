import pytest
import torch

from shoegen.errors import ConfigError, FileFormatError
from shoegen.spade import perceptual


@pytest.fixture
def no_files(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("SHOEGEN_ASSETS", raising=False)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(3, 3, 8, 8, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(small, (64, 64), mode="bilinear")


@pytest.fixture(scope="module", params=["vgg", "segmenter"])
def measure(request):
    if request.param == "vgg":
        torch.manual_seed(0)
        return perceptual.VggLoss()
    return perceptual.find_perceptual("segmenter")[0]


def test_distance(measure, images):
    assert measure(images, images) == 0
    near = measure(0.9 * images, images)
    assert 0 < near < measure(-images, images)


def test_only_the_painted_pictures_learn(measure, images):
    painted, real = (0.5 * images).requires_grad_(), images.clone().requires_grad_()
    measure(painted, real).backward()
    assert painted.grad.abs().sum() > 0
    assert real.grad is None
    assert not any(each.requires_grad for each in measure.parameters())


def test_mean_over_the_pictures(measure, images):
    each = torch.stack([measure(0.5 * images[i : i + 1], images[i : i + 1]) for i in range(3)])
    assert measure(0.5 * images, images).item() == pytest.approx(each.mean().item(), rel=1e-4)


def test_published_layers():
    convolutions = [
        [layer.out_channels for layer in stage if isinstance(layer, torch.nn.Conv2d)]
        for stage in perceptual.VggLoss().stages
    ]
    assert convolutions == [[64], [64, 128], [128, 256], [256] * 3 + [512], [512] * 4]


def test_segmenter_takes_the_place_of_absent_weights(no_files):
    measure, note = perceptual.find_perceptual("auto")
    assert isinstance(measure, perceptual.SegmenterLoss)
    assert "segmenter" in note
    assert "vgg19-dcbb9e9d.pth" in note


def test_vgg_from_disk(no_files, tmp_path, monkeypatch):
    made = perceptual.VggLoss()
    numbers = (layer for stage in made.stages for layer in stage)
    state = {
        f"features.{i}.{name}": each
        for i, layer in enumerate(numbers)
        for name, each in layer.state_dict().items()
    }
    monkeypatch.setenv("SHOEGEN_ASSETS", str(tmp_path))
    path = tmp_path / perceptual.vgg_file()
    torch.save(state, path)
    with pytest.raises(FileFormatError, match="damaged"):
        perceptual.find_perceptual("auto")
    monkeypatch.setattr(perceptual, "vgg_file", lambda: "vgg19-.pth")
    path.rename(tmp_path / "vgg19-.pth")
    read, note = perceptual.find_perceptual("vgg19")
    assert "VGG-19" in note
    for stage, other in zip(made.stages, read.stages):
        for ours, theirs in zip(stage.parameters(), other.parameters()):
            assert torch.equal(ours, theirs)


def test_errors(no_files):
    with pytest.raises(ConfigError, match=r"no vgg19-dcbb9e9d\.pth"):
        perceptual.find_perceptual("vgg19")
    with pytest.raises(ConfigError, match="--perceptual-net: got 'vgg'"):
        perceptual.find_perceptual("vgg")
    assert perceptual.find_perceptual("none") == (None, "no perceptual loss")
