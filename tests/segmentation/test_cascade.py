import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.datasets import ImageDataset
from shoegen.data.squares import Square
from shoegen.data.synthetic import make_dataset
from shoegen.segmentation.cascade import GREY, SecondStage, focus
from shoegen.segmentation.parts import PartSegmenter


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(0, 100, (40, 60, 3), np.uint8)


def box_mask(top, bottom, left, right):
    mask = np.zeros((40, 60), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_square_shows_the_dilated_mask_and_grey(picture):
    mask = box_mask(14, 26, 20, 40)
    seen = focus(picture, mask, dilation=0.1, margin=0.2)  # 2 and 4 pixels
    assert seen.image.shape == (28, 28, 3)
    assert seen.square == Square(6, 16, 28)
    assert np.array_equal(seen.image[8:20, 4:24], picture[14:26, 20:40])
    assert np.array_equal(seen.image[6:8, 4:24], picture[12:14, 20:40])
    assert (seen.image[:5] == GREY).all()
    assert (seen.image[:, :2] == GREY).all()
    assert seen.kept[12, 30]
    assert not seen.kept[11, 30]


def test_values_go_to_the_square_and_back(picture):
    for mask in (box_mask(14, 26, 20, 40), box_mask(0, 9, 0, 58), box_mask(30, 40, 50, 60)):
        seen = focus(picture, mask)
        values = np.random.default_rng(2).random((40, 60)).astype(np.float32)
        back = seen.put_back(seen.square.cut(values))
        assert np.array_equal(back[mask], values[mask])
        assert not back[~seen.kept].any()


def test_no_mask_keeps_everything(picture):
    seen = focus(picture, np.zeros((40, 60), bool))
    assert seen.kept.all()
    assert np.array_equal(seen.image, seen.square.cut(picture, fill=GREY))


def test_the_second_network_learns_from_what_the_first_leaves(tmp_path):
    make_dataset(tmp_path / "shoes.zip", count=3, resolution=96)
    data = ImageDataset(tmp_path / "shoes.zip", part_maps=True)
    stage = SecondStage(data, PartSegmenter.load(), (48, 48), seed=5)
    image, part_map = stage.read(1)
    assert image.shape == (3, 48, 48)
    assert part_map.shape == (48, 48)
    assert image.dtype == part_map.dtype == np.uint8
    again = SecondStage(data, PartSegmenter.load(), (48, 48), seed=5).read(1)
    assert np.array_equal(image, again[0])
    other = SecondStage(data, PartSegmenter.load(), (48, 48), seed=6).read(1)
    assert not np.array_equal(image, other[0])
    # The shoe fills more of the square than of the picture, and what is grey is no shoe.
    assert (part_map > 0).mean() > (data.part_map(1) > 0).mean()
    assert (image[:, 0, 0] == GREY).all()
    assert not part_map[(image == GREY).all(0)].any()


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, ["train-segmenter", *(str(argument) for argument in arguments)])
    assert result.exit_code == expect, result.output
    return result.output


def test_training_a_second_network(shoes, tiny_run, tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    (first / "segmenter.safetensors").write_bytes((tiny_run / "segmenter.safetensors").read_bytes())
    out = tmp_path / "second"
    options = ("--data", shoes, "--resolution", 32, "--images", 8, "--batch", 4, "--val-share", 0.2)
    run(*options, "--after", first, "--init-from", "default", "--augment", "street", "--out", out)
    second = PartSegmenter.load(out)
    assert second.config.focused
    assert not PartSegmenter.load(first).config.focused
    kept = json.loads((out / "config.json").read_text())
    assert kept["after"] == str(first)
    assert kept["augment"]["scale"] < 0.1
    assert "training 12/12" in run("--resume", "--images", 12, "--out", out)
    # The first network belongs to the data: another one is another data set.
    (first / "segmenter.safetensors").unlink()
    PartSegmenter.load().save(first / "segmenter.safetensors")
    assert "is not the data set that the run began with" in run(
        "--resume", "--images", 16, "--out", out, expect=1
    )


def test_a_second_network_does_not_follow_a_second_one(shoes, tiny_run, tmp_path):
    first = PartSegmenter.load(tiny_run)
    focused = dataclasses.replace(first.config, focused=True)
    PartSegmenter(first.net, focused, first.labels).save(tmp_path / "second.safetensors")
    text = run(
        "--data", shoes, "--after", tmp_path / "second.safetensors", "--out", tmp_path / "run", expect=1
    )
    assert "--after is the second network of a cascade" in text
    assert not (tmp_path / "run").exists()
    assert "no segmenter at" in run("--data", shoes, "--after", "none", "--out", tmp_path / "run", expect=1)
