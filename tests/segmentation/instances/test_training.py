"""Trainings of Mask R-CNN through the command, and what comes of them."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.annotations import read_annotations
from shoegen.data.images import read_image, read_part_map, write_image
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.segmentation import training
from shoegen.segmentation.instances.contract import LOSSES
from shoegen.segmentation.instances.data import InstanceData
from shoegen.segmentation.instances.parts import InstanceSegmenter, draw
from shoegen.segmentation.instances.trainer import InstanceTrainer
from shoegen.segmentation.loading import load_segmenter
from shoegen.segmentation.parts import PartSegmenter
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint

from .tiny import TINY, coco, rectangles, tiny_training, write_json, write_pictures
from .tiny import draw as picture_of


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result.output


def start(data, out, *more):
    return [
        "train-segmenter", "--arch", "maskrcnn", "--no-pretrained", "--data", data, "--out", out, "--width", 1 / 16,
        "--resolution", 64, "--rois", 16, "--images", 4, "--val-share", 0.25, "--lr", 1e-3, "--device", "cpu", *more,
    ]  # fmt: skip


def state_of(out):
    return load_checkpoint(latest_checkpoint(out))


def test_a_run_leaves_the_same_as_any_other(tiny_run, street):
    lines = [json.loads(line) for line in (tiny_run / "log.jsonl").read_text().splitlines()]
    reported = [line for line in lines if "total_loss" in line]
    assert [line["images"] for line in reported] == [4, 8]
    for line in reported:
        assert line["total_loss"] == pytest.approx(sum(line[name] for name in LOSSES), rel=1e-4)
    assert "val/mask_ap" in lines[-1]
    assert "val/box_ap50" in lines[-1]
    kept = json.loads((tiny_run / "config.json").read_text())
    assert kept.pop("kind") == "instance-segmenter"
    assert kept["model"]["classes"] == 3
    assert state_of(tiny_run)["best"].keys() == {"mask_ap", "images"}
    assert read_image(tiny_run / "samples" / "000000008.png").shape[2] == 3
    assert list((tiny_run / "tensorboard").iterdir())
    assert json.loads((tiny_run / "average_precision.json").read_text())["images"] == 8


def test_n_and_n_are_2n_to_the_bit_through_the_command(street, tmp_path):
    more = ("--schedule", "constant", "--save-every", 2, "--evaluate-every", 2)
    text = run(*start(street, tmp_path / "whole", *more))
    assert f"best segmenter: {tmp_path / 'whole' / 'segmenter.safetensors'}" in text
    assert "Mask R-CNN (torchvision, group norm)" in text
    run(*start(street, tmp_path / "run", *more, "--images", 2))
    assert state_of(tmp_path / "run")["images"] == 2
    torch.rand(3)  # the state of the generator matters to nothing
    run("train-segmenter", "--out", tmp_path / "run", "--resume", "--images", 4, "--device", "cpu")
    whole, resumed = state_of(tmp_path / "whole"), state_of(tmp_path / "run")
    assert whole["images"] == resumed["images"] == 4
    for name, tensor in whole["net"].items():
        assert torch.equal(tensor, resumed["net"][name]), name
    assert whole["best"] == resumed["best"]
    text = run("train-segmenter", "--out", tmp_path / "run", "--resume", "--rois", 8, expect=1)
    assert "--resume keeps the options of the run, got --rois too" in text


def test_it_learns_to_find_the_rectangles(street):
    config = tiny_training(street, images=400, learning_rate=3e-3, val=str(street), allow_shared=True)
    config = replace(config, augment=replace(config.augment, flip=0, rotation=0, scale=0, aspect=0, shift=0, color=0,
                     blur=0, low_resolution=0, noise=0, cutout=0))  # fmt: skip
    data = InstanceData(config)
    trainer = InstanceTrainer(replace(config, model=TINY), data.labels, torch.device("cpu"))
    losses = []
    with data.batches(trainer.rows, 0) as batches:
        while trainer.images < 120:
            losses.append(trainer.learn(next(batches)).item())
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:3])
    found = trainer.validate(data)
    assert found.figures["mask_ap50"] > 0.1
    assert found.score == found.figures["mask_ap"]
    assert "shoe" in found.table


def test_regions_follow_from_seed_and_step(street):
    config = replace(tiny_training(street), model=TINY)
    data = InstanceData(config)

    def losses(seed):
        trainer = InstanceTrainer(replace(config, seed=seed), data.labels, torch.device("cpu"))
        torch.manual_seed(int(torch.randint(99, (1,))))
        return [trainer.learn(data.read(data.train[:2])).item() for _ in range(2)]

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)


def test_two_processes_train_one_network(street, tmp_path, free_port):
    """By torchrun and gloo, two pictures each: both leave the same weights, and one file."""
    arguments = start(street, tmp_path / "run", "--batch", 4, "--images", 8)
    launch = [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        2,
        "--master-port",
        free_port,
        "-m",
        "shoegen",
    ]
    done = subprocess.run(
        [sys.executable, *map(str, [*launch, *arguments])], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert ", 2 processes" in done.stderr
    assert state_of(tmp_path / "run")["images"] == 8
    run("train-segmenter", "--out", tmp_path / "run", "--resume", "--images", 12, "--device", "cpu")


def test_another_network_to_start_from(tiny_run, street, tmp_path, capsys):
    config = tiny_training(street, init_from=str(tiny_run), images=2, learning_rate=1e-30)
    training.train(config, tmp_path / "run")
    before, after = (InstanceSegmenter.load(path).net for path in (tiny_run, tmp_path / "run"))
    torch.testing.assert_close(
        dict(after.named_parameters()), dict(before.named_parameters()), rtol=1e-3, atol=1e-3
    )
    with pytest.raises(ConfigError, match=r"of another network: its width is 0.0625, got 0.125"):
        training.train(replace(config, model=replace(TINY, width=1 / 8)), tmp_path / "other")


def test_weights_of_imagenet(street, tmp_path, monkeypatch, capsys):
    open_ = tiny_training(street, images=2, model=replace(TINY, norm="auto"))
    monkeypatch.setattr(training, "find_backbone", lambda _: "no network")
    with pytest.raises(ConfigError, match="--pretrained: no ImageNet weights for the encoder: no network"):
        training.train(open_, tmp_path / "run", pretrained=True)
    with pytest.raises(ConfigError, match="--norm frozen needs pretrained weights"):
        training.train(replace(open_, model=replace(TINY, norm="frozen")), tmp_path / "run", pretrained=None)
    training.train(open_, tmp_path / "scratch", pretrained=None)
    assert "no network; training starts from scratch" in capsys.readouterr().err
    assert InstanceSegmenter.load(tmp_path / "scratch").config.norm == "group"

    def found(model):
        from shoegen.segmentation.instances.engines import build_instance_net

        return build_instance_net(replace(model, norm="frozen")).encoder.state_dict(), "a file"

    monkeypatch.setattr(training, "find_backbone", found)
    training.train(open_, tmp_path / "pretrained", pretrained=None)
    assert "the encoder starts from a file" in capsys.readouterr().err
    config = InstanceSegmenter.load(tmp_path / "pretrained").config
    assert (config.norm, config.pretrained) == ("frozen", True)
    training.resume(tmp_path / "pretrained", images=4)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--loss", "ce"), "--loss is of semantic segmenters, got it with --arch maskrcnn; leave it out"),
        (("--class-weights", "none"), "--class-weights is of semantic"),
        (("--encoder", "x"), "--encoder is of semantic"),
        (("--arch", "unet", "--rois", 8), "--rois is of --arch maskrcnn, got it with --arch unet"),
        (("--arch", "fcn", "--pictures", "x"), "--anchors"), (("--engine", "x"), "--engine: got 'x'"),
        (("--norm", "frozen"), "--norm frozen needs pretrained"), (("--anchors", "1,2"), "--anchors: got 1,2"),
        (("--anchors", "1.5"), "--anchors: got '1.5', expected whole"),
        (("--batch", 0), "batch is 0, expected at least 1"),
        (("--init-from", "default"), "expected 'instance-segmenter'"), (("--pictures", "x"), "leave out --pictures"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(street, tmp_path, more, message):
    if message == "--anchors":
        more, message = (*more, "--anchors", "1"), "got it with --arch fcn; leave it out"
    options = [each for each in start(street, tmp_path / "run") if each not in ("--rois", 16)]
    text = run(*options, *more, expect=1)
    assert text.splitlines()[-1].startswith("error: ")
    assert message in text.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_data_without_instances_are_one_line(tmp_path):
    pictures = write_pictures(tmp_path / "pictures", 3)
    none = write_json(tmp_path / "none.json", coco(3, lambda i: []))
    text = run(*start(none, tmp_path / "run", "--pictures", pictures), expect=1)
    assert "has an instance; annotate some" in text.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_a_run_is_resumed_as_what_it_is(tiny_run, street):
    assert training.resume(tiny_run) == tiny_run / "segmenter.safetensors"
    with pytest.raises(ConfigError, match="is not the data set that the run began with"):
        training.resume(tiny_run, images=100, val=str(street), allow_shared=True)
    trainer = InstanceTrainer(tiny_training(street), LabelMap.from_names("abc"), torch.device("cpu"))
    with pytest.raises(FileFormatError, match="expected 'instance-segmenter'"):
        trainer.load_state_dict({})


# ---- in use ----


@pytest.fixture
def segmenter(tiny_run):
    return load_segmenter(tiny_run)


def test_either_kind_is_loaded(segmenter, tiny_run, tmp_path):
    assert isinstance(segmenter, InstanceSegmenter)
    assert isinstance(load_segmenter(tiny_run / "segmenter.safetensors"), InstanceSegmenter)
    assert isinstance(load_segmenter(), PartSegmenter)
    with pytest.raises(FileFormatError, match="no segmenter at"):
        load_segmenter(tmp_path / "nothing")
    with pytest.raises(FileFormatError, match="expected 'segmenter'"):
        PartSegmenter.load(tiny_run)


def test_it_is_used_like_any_segmenter(segmenter, tmp_path):
    image = picture_of(1)
    found = segmenter.detect(image)
    assert found.masks.shape[1:] == image.shape[:2]
    one = segmenter.segment(image, score=0.0)
    np.testing.assert_array_equal(one, draw(found, image.shape[:2], 0.0))
    middle = float(np.median(found.scores))
    best = segmenter.detect(image, score=middle)
    assert best.scores.tolist() == [each for each in found.scores.tolist() if each > middle]
    np.testing.assert_array_equal(best.masks, found.masks[: len(best)])
    many = segmenter.segment(np.stack([image] * 2), score=0.0)
    np.testing.assert_array_equal(many[1], one)
    assert segmenter.segment(image, size=(20, 30)).shape == (20, 30)
    assert not segmenter.segment(image, score=1.0).any()
    assert segmenter.overlay(image).part_map.shape == image.shape[:2]
    assert len(segmenter.labels) == segmenter.config.classes == 3
    assert segmenter.device.type == "cpu"
    for use in (segmenter.detect, segmenter.overlay):
        with pytest.raises(DataError, match="one picture"):
            use(image[None])
    segmenter.save(tmp_path / "again.safetensors")
    again = load_segmenter(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(again.segment(image, score=0.0), one)


def test_the_best_is_on_top():
    from shoegen.segmentation.instances.contract import Detections

    masks = np.zeros((3, 4, 6), bool)
    masks[0, :, :3], masks[1, :, 2:], masks[2] = True, True, True
    found = Detections(np.zeros((3, 4), np.float32), np.array([2, 1, 1]), np.array([0.9, 0.8, 0.3]), masks)
    assert draw(found, (4, 6), 0.5)[0].tolist() == [2, 2, 2, 1, 1, 1]
    assert draw(found, (4, 6), 0.85)[0].tolist() == [2, 2, 2, 0, 0, 0]


def test_files_that_are_damaged(segmenter, tmp_path):
    from shoegen.torch_utils.tensors import load_tensors, save_tensors

    path = tmp_path / "file.safetensors"
    segmenter.save(path)
    tensors, metadata = load_tensors(path, kind="instance-segmenter")
    save_tensors(path, dict(list(tensors.items())[1:]), metadata)
    with pytest.raises(FileFormatError, match="1 tensors missing or too many"):
        load_segmenter(path)
    for wrong in ({"config": {"engine": "x"}}, {"labels": ["a"]}, {"config": {"unknown": 1}}):
        save_tensors(path, tensors, {**metadata, **wrong})
        with pytest.raises(FileFormatError, match="does not hold the network"):
            load_segmenter(path)


def test_segment_writes_part_maps_and_instances(tiny_run, tmp_path):
    write_image(tmp_path / "in" / "a" / "x.png", picture_of(0))
    write_image(tmp_path / "in" / "b" / "x.png", picture_of(1))
    out, found = tmp_path / "out", tmp_path / "found.json"
    options = ("--model", tiny_run, "--device", "cpu", "--score", 0)
    text = run("segment", tmp_path / "in", *options, "--out", out, "--overlay", "--instances", found)
    assert "2 part maps" in text
    value = json.loads(found.read_text())
    assert [image["file_name"] for image in value["images"]] == ["a/x.png", "b/x.png"]
    annotations = read_annotations(found, images=tmp_path / "in")
    assert f"{sum(annotations.count_instances().values())} objects in 2 pictures" in text
    segmenter = load_segmenter(tiny_run)
    part_map = read_part_map(out / "x.png", segmenter.labels)
    np.testing.assert_array_equal(part_map, segmenter.segment(picture_of(0), score=0.0))
    best = segmenter.detect(picture_of(0))
    first = annotations.images[0].instances[0]
    assert first.score == pytest.approx(best.scores[0], abs=1e-4)
    np.testing.assert_array_equal(first.mask((48, 64)), best.masks[0])
    assert rectangles(0)


def test_instances_of_semantic_segmenters_are_refused(tiny_run, tmp_path):
    write_image(tmp_path / "x.png", picture_of(0))
    text = run("segment", tmp_path / "x.png", "--instances", tmp_path / "found.json", expect=1)
    assert "default knows no instances, only Mask R-CNN does" in text
    text = run("segment", tmp_path / "x.png", "--out", tmp_path / "out", "--score", 0.3, expect=1)
    assert "leave out --instances and --score" in text
    bad = ("--score", 2, "--model", tiny_run, "--out", tmp_path / "out")
    assert "--score: got 2, expected 0 to 1" in run("segment", tmp_path / "x.png", *bad, expect=1)
    text = run("segment", tmp_path / "x.png", "--measure", "--model", tiny_run, expect=1)
    assert "does not know a shoe's parts" in text


def test_it_is_not_exported(tiny_run, tmp_path):
    for model in (tiny_run, tiny_run / "segmenter.safetensors"):
        text = run("export", "--model", model, "--out", tmp_path / "model.onnx", expect=1)
        assert "is a Mask R-CNN, which is not exported" in text.splitlines()[-1]
    assert not (tmp_path / "model.onnx").exists()
