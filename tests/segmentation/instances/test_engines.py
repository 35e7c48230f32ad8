"""What every engine of Mask R-CNN is to its users."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

from shoegen.errors import ConfigError
from shoegen.segmentation.instances.config import MaskRCNNConfig
from shoegen.segmentation.instances.contract import LOSSES, Targets
from shoegen.segmentation.instances.engines import ENGINES, build_instance_net
from shoegen.segmentation.instances.pretrained import find_backbone

from .tiny import TINY

HAS_DETECTRON2 = importlib.util.find_spec("detectron2") is not None


@pytest.fixture(
    params=[
        "torchvision",
        pytest.param(
            "detectron2", marks=pytest.mark.skipif(not HAS_DETECTRON2, reason="detectron2 is not installed")
        ),
    ]
)
def config(request):
    return replace(TINY, engine=request.param)


def scene():
    """A picture with a red and a blue rectangle, of labels 1 and 2."""
    image = torch.full((3, 64, 64), -0.2)
    boxes = torch.tensor([[6.0, 8, 30, 30], [34, 20, 60, 56]])
    masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
    for number, (left, top, right, bottom) in enumerate(boxes.int().tolist()):
        masks[number, top:bottom, left:right] = 1
        image[2 * number, top:bottom, left:right] = 0.9
    return image, Targets(boxes, torch.tensor([1, 2]), masks)


def nothing(height=64, width=64):
    return Targets(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, height, width, dtype=torch.uint8)
    )


@pytest.mark.parametrize("norm", ["group", "batch", "frozen"])
def test_losses_are_named_finite_and_reach_what_learns(config, norm):
    net = build_instance_net(replace(config, norm=norm)).train()
    image, target = scene()
    losses = net.losses([image, torch.zeros(3, 50, 40)], [target, nothing(50, 40)])
    assert losses.keys() == set(LOSSES)
    assert all(each.shape == () and each.isfinite() for each in losses.values())
    sum(losses.values()).backward()
    learning = [each for each in net.parameters() if each.requires_grad]
    assert all(each.grad is not None for each in learning)
    assert (len(learning) < len(list(net.parameters()))) == (norm == "frozen")


def test_pictures_without_objects_teach_the_background(config):
    net = build_instance_net(config).train()
    losses = net.losses([torch.zeros(3, 64, 48)] * 2, [nothing(64, 48)] * 2)
    sum(losses.values()).backward()
    assert losses["loss_cls"] > 0
    assert losses["loss_mask"] == 0


def test_objects_of_one_pixel_and_of_the_whole_picture_are_learned_from(config):
    masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
    masks[0, 63, 63] = masks[1] = 1
    target = Targets(torch.tensor([[63.0, 63, 64, 64], [0, 0, 64, 64]]), torch.tensor([1, 2]), masks)
    losses = build_instance_net(config).train().losses([scene()[0]], [target])
    assert all(each.isfinite() for each in losses.values())


def test_detections_are_in_the_pictures_own_pixels(config):
    net = build_instance_net(replace(config, score=0.0)).eval()
    sizes = [(64, 64), (150, 90), (20, 30)]
    for found, size in zip(net.detect([torch.rand(3, *size) for size in sizes]), sizes):
        assert 0 < len(found) <= config.detections
        assert found.boxes.shape == (len(found), 4)
        assert found.masks.shape == (len(found), *size)
        dtypes = [str(each.dtype) for each in (found.boxes, found.labels, found.scores, found.masks)]
        assert dtypes == ["float32", "int64", "float32", "bool"]
        assert (np.diff(found.scores) <= 0).all()
        assert found.boxes.min() >= 0
        assert (found.boxes[:, 2:] <= size[::-1]).all()
        assert set(found.labels.tolist()) <= {1, 2}


def test_features_of_one_pixel_are_normalised_too(config):
    net = build_instance_net(replace(config, resolution=32, score=0.0)).eval()
    assert len(net.detect([torch.rand(3, 32, 32)])[0])


def test_what_may_be_found_is_bounded(config):
    net = build_instance_net(replace(config, score=0.99)).eval()
    (found,) = net.detect([scene()[0]])
    assert len(found) == 0
    assert found.masks.shape == (0, 64, 64)


def test_torchvision_overfits_a_picture_at_last():
    torch.manual_seed(0)
    net = build_instance_net(TINY).train()
    image, target = scene()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    totals = []
    for _ in range(60):
        loss = sum(net.losses([image], [target]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(loss.item())
    assert max(totals[-5:]) < 0.5 * totals[0]
    (found,) = net.eval().detect([image])
    for label in (1, 2):
        best = found.masks[found.labels.tolist().index(label)]
        true = target.masks[label - 1].numpy() > 0
        assert (true & best).sum() > 0.5 * (true | best).sum()


def test_the_paper_network_is_built():
    """44 million parameters, as torchvision and detectron2 count them; ResNet-50's names in the encoder."""
    from torchvision.models import resnet50

    with torch.device("meta"):
        net = build_instance_net(MaskRCNNConfig(norm="batch"))
        resnet = resnet50().state_dict()
    assert sum(each.numel() for each in net.parameters()) == pytest.approx(44e6, rel=0.01)
    encoder = net.encoder.state_dict()
    assert {name: each.shape for name, each in encoder.items()} == {
        name: each.shape for name, each in resnet.items() if not name.startswith("fc.")
    }


def test_pretrained_weights_are_found_on_disk(tmp_path, monkeypatch):
    import hashlib
    from pathlib import Path

    from shoegen.segmentation.instances import pretrained

    assert find_backbone(TINY) == "there are none with group normalisation"
    state = build_instance_net(replace(TINY, norm="batch")).encoder.state_dict()
    torch.save(state, tmp_path / "file.pth")
    digest = hashlib.sha256((tmp_path / "file.pth").read_bytes()).hexdigest()[:8]
    name = f"resnet50-{digest}.pth"
    Path(tmp_path / "file.pth").rename(tmp_path / name)
    monkeypatch.setattr(pretrained, "URL", f"https://127.0.0.1/{name}")
    monkeypatch.setenv("SHOEGEN_ASSETS", str(tmp_path))
    found, origin = find_backbone(replace(TINY, norm="auto"))
    assert origin == name
    assert "running_mean" in " ".join(found)
    assert find_backbone(replace(TINY, norm="auto", width=1 / 8)).endswith("of the right shape")


def test_engines_that_are_not_there(monkeypatch):
    with pytest.raises(ConfigError, match="--engine: got 'x', expected one of torchvision, detectron2"):
        MaskRCNNConfig(engine="x")
    monkeypatch.setitem(ENGINES, "detectron2", "detectron2_is_not_here")
    with pytest.raises(ConfigError, match="is not installed; pip install --no-build-isolation 'git"):
        build_instance_net(MaskRCNNConfig(engine="detectron2"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "layer"}, "--norm: got 'layer'"), ({"rois": 0}, "--rois"), ({"score": 1.0}, "score 1.0"),
        ({"anchors": (16, 32)}, "--anchors: got 16,32, expected 5 sides"), ({"classes": 1}, "classes is 1"),
        ({"resolution": 16}, "--resolution"), ({"blocks": (1, 1)}, "blocks"),
    ],
)  # fmt: skip
def test_configurations_that_cannot_be(changes, message):
    with pytest.raises(ConfigError, match=message):
        build_instance_net(replace(TINY, **changes))


def test_the_norm_is_settled_with_the_weights():
    open_ = replace(TINY, norm="auto")
    assert open_.settled().norm == "group"
    assert replace(open_, pretrained=True).settled().norm == "frozen"
    with pytest.raises(ConfigError, match="--norm frozen needs pretrained weights"):
        replace(TINY, norm="frozen").settled()


def test_a_config_survives_json():
    config = replace(TINY, anchors=[8, 16, 32, 64, 128], resolution=[96, 64])
    assert MaskRCNNConfig.from_dict(config.to_dict()) == config
    assert config.anchor_sizes == (8, 16, 32, 64, 128)
    assert config.fitted((960, 640)) == (96, 64)
    assert config.fitted((640, 960)) == (43, 64)
    assert replace(config, anchors=None, resolution=1024).anchor_sizes[0] == 32
