"""The contract that every segmenter keeps: a new architecture is one more entry in CONFIGS."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.models import resnet50, vgg16_bn

from shoegen.errors import ConfigError
from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models import ARCHITECTURES, build_segmenter
from shoegen.segmentation.models.contract import DEVIATION, MEAN, Segmenter
from shoegen.segmentation.models.pretrained import URLS, find_weights
from shoegen.segmentation.models.segnet import _unpool

from .tiny import CONFIGS


def test_every_architecture_is_tested():
    assert CONFIGS.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", [(32, 32), (50, 33), (7, 64)])
def test_any_size_gives_logits_of_that_size(name, size):
    net = build_segmenter(CONFIGS[name]).eval()
    with torch.inference_mode():
        logits = net(torch.zeros(2, 3, *size))
    assert logits.shape == (2, 5, *size)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("classes", [2, 59])
def test_any_number_of_classes(name, classes):
    net = build_segmenter(replace(CONFIGS[name], classes=classes)).eval()
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, 32, 32)).shape == (1, classes, 32, 32)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_learns(name):
    torch.manual_seed(0)
    net = build_segmenter(CONFIGS[name])
    for each in net.parameters():
        if each.ndim == 1:
            nn.init.ones_(each)  # timm's residual branches begin at 0
    net(torch.randn(2, 3, 64, 64)).square().mean().backward()
    unreached = [name for name, each in net.named_parameters() if each.grad is None or not each.grad.any()]
    assert not [each for each in unreached if not each.endswith(".bias")]  # before a normalisation it is lost
    assert all(each.grad is not None for each in net.parameters())


@pytest.mark.parametrize("name", CONFIGS)
def test_prediction_repeats_itself_and_survives_a_round_trip(name):
    images = torch.randn(2, 3, 33, 40)
    one, other = (build_segmenter(CONFIGS[name]) for _ in range(2))
    one(torch.randn(4, 3, 32, 32))  # moves the running statistics
    other.load_state_dict(one.state_dict())
    with torch.inference_mode():
        logits = one.eval()(images)
        assert torch.equal(one(images), logits)
        assert torch.equal(other.eval()(images), logits)
        # What a picture gets does not depend on its company.
        torch.testing.assert_close(one(images[1:]), logits[1:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_trains_on_a_single_picture(name):
    net, images = build_segmenter(CONFIGS[name]), torch.randn(1, 3, 64, 64)
    if name == "deeplab":  # its pyramid normalises one value per picture
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            net(images)
    else:
        assert net(images).isfinite().all()


# ---- of single architectures ----


def parameters(net):
    return sum(each.numel() for each in net.parameters())


def test_shipped_network_is_small():
    assert parameters(build_segmenter(SegmenterConfig())) * 2 < 8e6


def test_segnet_is_the_papers():
    net = build_segmenter(SegmenterConfig(architecture="segnet", classes=11)).net
    for half in (net.encoder, net.decoder):
        assert sum(isinstance(each, nn.Conv2d) for each in half.modules()) == 13 - (half is net.decoder)
    assert net.classifier.out_channels == 11
    assert parameters(net) == pytest.approx(29.5e6, rel=0.01)


def test_what_was_a_maximum_goes_back_to_its_place():
    x = torch.tensor([[[[1.0, 5.0, 0.0, 2.0], [3.0, 2.0, 4.0, 1.0]]]])
    pooled, where = nn.functional.max_pool2d(x, 2, return_indices=True)
    expected = nn.functional.max_unpool2d(pooled, where, 2)
    assert torch.equal(_unpool(pooled, where), expected)
    assert expected.flatten().tolist() == [0, 5, 0, 0, 0, 0, 4, 0]


def test_tiramisu_is_the_papers():
    """Table 2 of arXiv 1611.09326: feature maps after each block."""
    net = build_segmenter(SegmenterConfig(architecture="densenet", classes=11)).net
    seen = []
    for module in [*net.transitions_down, *net.up, net.bottom, net.classifier]:
        module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    with torch.inference_mode():
        net.eval()(torch.zeros(1, 3, 32, 32))
    assert seen == [112, 192, 304, 464, 656, 656, 896, 656, 464, 304, 192, 256]
    assert parameters(net) == pytest.approx(9.4e6, rel=0.01)


def test_unknown_names():
    with pytest.raises(ConfigError, match=r"no architecture 'vnet'; expected one of unet"):
        build_segmenter(SegmenterConfig(architecture="vnet"))
    with pytest.raises(ConfigError, match="no encoder 'nothing'"):
        build_segmenter(SegmenterConfig(encoder="nothing"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 1}, "classes is 1, expected 2 to 255"),
        ({"classes": 256}, "classes is 256"),
        ({"resolution": 16}, "--resolution"),
        ({"width": 2.0}, "a U-Net has no --width"),
        ({"architecture": "fcn", "width": 0.0}, "--width"),
        ({"architecture": "fcn", "blocks": (1, 1)}, "expected 4 numbers of at least 1, such as"),
    ],
)
def test_networks_that_cannot_be(changes, message):
    with pytest.raises(ConfigError, match=message):
        build_segmenter(SegmenterConfig(**changes))


def test_config_survives_json():
    for config in (SegmenterConfig(classes=3, decoder_channels=(32, 16, 8)), CONFIGS["segnet"]):
        assert SegmenterConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="another version"):
        SegmenterConfig.from_dict({"colour": 1})


# ---- published weights ----


@pytest.fixture
def assets(tmp_path, monkeypatch):
    """A folder where published files are looked for, and no network."""
    monkeypatch.setenv("SHOEGEN_ASSETS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))

    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("socket.create_connection", no_network)
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    return tmp_path


def save(assets, name, state):
    torch.save(state, assets / URLS[name].rsplit("/")[-1])


def test_a_resnet_on_disk_becomes_the_encoder(assets):
    source = resnet50(weights=None)
    save(assets, "fcn", source.state_dict())
    config = SegmenterConfig(architecture="fcn", classes=3)
    weights, origin = find_weights(config)
    assert origin == "resnet50-11ad3fa6.pth"
    net = build_segmenter(config)
    net.encoder.load_state_dict(weights, strict=False)
    images = torch.randn(1, 3, 16, 16)
    with torch.inference_mode():
        features = net.eval().encoder.conv1(images)
        assert torch.equal(features, source.conv1(images))
    assert torch.equal(net.encoder.layer4[2].conv3.weight, source.layer4[2].conv3.weight)


def test_vgg_on_disk_becomes_segnets_encoder(assets):
    source = vgg16_bn(weights=None).features.eval()
    save(assets, "segnet", {f"features.{name}": each for name, each in source.state_dict().items()})
    config = SegmenterConfig(architecture="segnet", classes=3)
    weights, _ = find_weights(config)
    net = build_segmenter(config).eval()
    net.encoder.load_state_dict(weights, strict=False)
    x = images = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        for stage in net.encoder:
            x = nn.functional.max_pool2d(stage(x), 2)
        assert torch.equal(x, source(images))


def test_without_weights_it_is_said_why(assets):
    for name in ("unet", "deeplab"):
        reason = find_weights(SegmenterConfig(architecture=name))
        assert "not on disk and cannot be fetched" in reason
        assert "\n" not in reason
    assert "there are none" in find_weights(SegmenterConfig(architecture="densenet"))
    assert "there are none" in find_weights(CONFIGS["segnet"])
    save(assets, "fcn", {"conv1.weight": torch.zeros(1)})
    reason = find_weights(SegmenterConfig(architecture="fcn"))
    assert reason == "resnet50-11ad3fa6.pth has no conv1.weight of the right shape"


def test_pretrained_networks_see_pictures_as_imagenets_do():
    class Same(nn.Module):
        def forward(self, x):
            return x

    pixels = torch.rand(2, 3, 5, 6)
    seen = Segmenter(Same(), stride=4, normalise=True)(pixels * 2 - 1)
    expected = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
    torch.testing.assert_close(seen, expected)
