"""The engine detectron2, where it is installed, beyond what test_engines.py asks of every engine."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torchvision.models import resnet50
from torchvision.ops import box_iou

from shoegen.cli import main
from shoegen.data.images import read_part_map
from shoegen.data.labels import LabelMap
from shoegen.segmentation.instances.config import MaskRCNNConfig
from shoegen.segmentation.instances.contract import LOSSES, Targets
from shoegen.segmentation.instances.engines import build_instance_net
from shoegen.segmentation.models.contract import DEVIATION, MEAN
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint

detectron2 = pytest.importorskip("detectron2", reason="detectron2 is not installed", exc_type=ImportError)

TINY = MaskRCNNConfig(
    engine="detectron2", classes=3, resolution=(64, 96), norm="group", width=1 / 8, rois=32, detections=20
)
RECTANGLES = ((12, 16, 44, 40), (48, 20, 88, 56))  # left, top, right, bottom in 96 × 64 pixels


def scene(scale=1):
    """A grey picture with a red and a blue rectangle, of labels 1 and 2."""
    image = torch.full((3, 64 * scale, 96 * scale), -0.2)
    boxes = torch.tensor(RECTANGLES, dtype=torch.float32) * scale
    masks = torch.zeros(2, 64 * scale, 96 * scale, dtype=torch.uint8)
    for number, (left, top, right, bottom) in enumerate(boxes.int().tolist()):
        masks[number, top:bottom, left:right] = 1
        image[2 * number, top:bottom, left:right] = 0.9
    return image, Targets(boxes, torch.tensor([1, 2]), masks)


def nothing(height, width):
    return Targets(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, height, width, dtype=torch.uint8)
    )


@pytest.fixture(scope="module")
def taught():
    """A tiny network after a few steps on one picture, and its losses on the way."""
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
    return net.eval(), totals


def test_pictures_without_objects_reach_every_parameter():
    net = build_instance_net(TINY).train()
    losses = net.losses([torch.zeros(3, 64, 96)] * 2, [nothing(64, 96)] * 2)
    sum(losses.values()).backward()
    assert all(each.grad is not None for each in net.parameters())
    assert all(losses[name] == 0 for name in ("loss_mask", "loss_box_reg", "loss_rpn_loc"))


def test_training_finds_the_objects(taught):
    net, totals = taught
    assert max(totals[-5:]) < 0.5 * totals[0]
    image, target = scene()
    (found,) = net.detect([image])
    for label in (1, 2):
        best = found.labels.tolist().index(label)
        true, predicted = target.masks[label - 1].numpy() > 0, found.masks[best]
        assert (true & predicted).sum() > 0.5 * (true | predicted).sum()


def test_detections_are_in_the_pictures_own_pixels(taught):
    net, _ = taught
    small, large = net.detect([scene()[0], scene(3)[0]])
    for found, (height, width) in ((small, (64, 96)), (large, (192, 288))):
        assert found.masks.shape == (len(found), height, width)
        assert found.scores.min() > TINY.score
        assert (found.boxes[:, 2:] <= (width, height)).all()
    again = box_iou(torch.from_numpy(3 * small.boxes[:3]), torch.from_numpy(large.boxes))
    assert again.max(1).values.min() > 0.8
    left, top, right, bottom = (round(float(side)) for side in large.boxes[0])
    outside = large.masks[0].copy()
    outside[max(0, top - 3) : bottom + 3, max(0, left - 3) : right + 3] = False
    assert large.masks[0].any()
    assert not outside.any()


def test_the_size_of_a_picture_matters_little_to_the_losses(taught):
    net, _ = taught
    each = []
    for scale in (1, 3):
        image, target = scene(scale)
        each.append({name: loss.item() for name, loss in net.train().losses([image], [target]).items()})
    net.eval()
    assert each[0]["loss_mask"] < 0.5
    for name in ("loss_mask", "loss_rpn_cls", "loss_rpn_loc"):
        assert each[0][name] == pytest.approx(each[1][name], rel=0.3, abs=0.03)


def test_plain_tensors_survive_a_round_trip(taught, tmp_path):
    net, _ = taught
    torch.save(net.state_dict(), tmp_path / "net.pt")
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    assert all(type(each) is torch.Tensor for each in state.values())
    again = build_instance_net(TINY).eval()
    again.load_state_dict(state)
    (one,), (other,) = net.detect([scene()[0]]), again.detect([scene()[0]])
    assert (one.boxes == other.boxes).all()
    assert (one.masks == other.masks).all()


def test_what_became_infinite_is_for_the_training_to_judge():
    net = build_instance_net(TINY).train()
    image, target = scene()
    torch.nn.init.constant_(net.net.proposal_generator.rpn_head.anchor_deltas.bias, float("inf"))
    losses = net.losses([image], [target])
    assert losses.keys() == set(LOSSES)
    sum(losses.values()).backward()
    assert not any(each.grad.isfinite().any() for each in net.parameters())


def test_nothing_is_said(capfd, caplog):
    net = build_instance_net(TINY)
    image, target = scene()
    net.train().losses([image], [target])
    net.eval().detect([image])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


# ---- the commands ----


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_commands_train_resume_and_segment(street, tmp_path):
    options = [
        "--data", street, "--arch", "maskrcnn", "--engine", "detectron2", "--norm", "group", "--width", 1 / 16,
        "--rois", 16, "--resolution", "96x64", "--schedule", "constant", "--val-share", 0.3, "--evaluate-every", 4,
        "--save-every", 2, "--device", "cpu", "--no-pretrained",
    ]  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    text = run("train-segmenter", *options, "--images", 6, "--out", whole)
    assert "detectron2" in text
    logged = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert {"total_loss", *LOSSES} <= {name for line in logged for name in line}
    run("train-segmenter", *options, "--images", 4, "--out", parts)
    run("train-segmenter", "--out", parts, "--resume", "--images", 6, "--device", "cpu")
    one, other = (load_checkpoint(latest_checkpoint(out)) for out in (whole, parts))
    assert one["images"] == other["images"] == 6
    assert all(torch.equal(each, other["net"][name]) for name, each in one["net"].items())
    run("segment", street / "images" / "0.png", "--model", whole, "--out", tmp_path / "maps")
    labels = LabelMap.read(tmp_path / "maps" / "labels.json")
    assert labels.names == ("background", "shoe", "bag")
    assert read_part_map(tmp_path / "maps" / "0.png", labels).shape == (48, 64)


# ---- the published network ----


def published(config):
    """As detectron2's own configuration file says, with the sizes of `config`."""
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    files = Path(detectron2.__file__).parent / "model_zoo" / "configs" / "COCO-InstanceSegmentation"
    cfg = get_cfg()
    cfg.merge_from_file(str(files / "mask_rcnn_R_50_FPN_3x.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = config.classes - 1
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = config.rois
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[side] for side in config.anchor_sizes]
    cfg.MODEL.PIXEL_MEAN = [255 * each for each in MEAN]
    cfg.MODEL.PIXEL_STD = [255 * each for each in DEVIATION]
    cfg.TEST.DETECTIONS_PER_IMAGE = config.detections
    cfg.INPUT.MASK_FORMAT = "bitmask"
    return build_model(cfg)


def test_it_is_the_published_network():
    config = replace(TINY, norm="frozen", width=1.0)
    net, theirs = build_instance_net(config), published(config)
    from detectron2.structures import BitMasks, Boxes, Instances
    from detectron2.utils.events import EventStorage

    theirs.load_state_dict(net.net.state_dict())
    image, target = scene()
    pixels = (image + 1) * 127.5
    instances = Instances((64, 96), gt_boxes=Boxes(target.boxes), gt_masks=BitMasks(target.masks))
    instances.gt_classes = target.labels - 1
    torch.manual_seed(0)
    losses = net.train().losses([image], [target])
    torch.manual_seed(0)
    with EventStorage():
        expected = theirs.train()([{"image": pixels, "instances": instances}])
    assert {name: each.item() for name, each in losses.items()} == pytest.approx(
        {name: each.item() for name, each in expected.items()}, rel=1e-4
    )
    (found,) = net.eval().detect([image])
    with torch.inference_mode():
        (result,) = theirs.eval()([{"image": pixels, "height": 64, "width": 96}])
    assert len(found) == len(result["instances"])
    assert found.scores == pytest.approx(result["instances"].scores.numpy(), rel=1e-3)
    learning = {name for name, each in net.net.named_parameters() if each.requires_grad}
    assert learning == {name for name, each in theirs.named_parameters() if each.requires_grad}


def test_its_encoder_takes_torchvisions_weights():
    net = build_instance_net(replace(TINY, norm="frozen", width=1.0)).eval()
    torch.manual_seed(0)
    weights = resnet50()
    for name, each in weights.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            each.uniform_(0.5, 1)
    weights.eval()
    wanted = net.encoder.state_dict()
    state = weights.state_dict()
    assert wanted.keys() == {
        name for name in state if not name.endswith("num_batches_tracked") and not name.startswith("fc.")
    }
    net.encoder.load_state_dict({name: state[name] for name in wanted})
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        features = net.net.backbone.bottom_up(images)["res5"]
        expected = torch.nn.Sequential(*list(weights.children())[:-2])(images)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)
