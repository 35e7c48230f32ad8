import dataclasses
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from shoegen.cli import main
from shoegen.data.images import read_part_map, write_image, write_part_map
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.data.synthetic import render
from shoegen.measure import ATTRIBUTES
from shoegen.segmentation.parts import MODEL_FILE, PartSegmenter


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result.output


@pytest.fixture
def folder(tmp_path):
    """Two pictures of one stem."""
    folder = tmp_path / "pictures"
    for i, name in enumerate(["a/shoe.png", "b/shoe.jpg"]):
        (folder / name).parent.mkdir(parents=True)
        write_image(folder / name, render(0, i, 64).image)
    return folder


def test_segment_writes_part_maps_overlays_and_measures(tiny_run, folder, tmp_path):
    model = tiny_run / "segmenter.safetensors"
    out, measures = tmp_path / "out", tmp_path / "measures.json"
    text = run(
        "segment", folder, "--out", out, "--overlay", "--model", model, "--measure", "--json", measures
    )
    assert "2 part maps" in text
    assert "heel_height" in text
    names = {path.name for path in out.iterdir()}
    assert names == {"shoe.png", "shoe.overlay.png", "shoe-2.png", "shoe-2.overlay.png", "labels.json"}
    assert LabelMap.read(out / "labels.json") == SHOE_PARTS
    assert read_part_map(out / "shoe.png", SHOE_PARTS).shape == (64, 64)
    found = json.loads(measures.read_text())
    assert list(found) == [str(folder / "a/shoe.png"), str(folder / "b/shoe.jpg")]
    assert all(values.keys() == ATTRIBUTES.keys() for values in found.values())


def test_segment_says_what_is_wrong(tiny_run, folder, tmp_path):
    model = ("--model", tiny_run / "segmenter.safetensors")
    assert "nothing to do" in run("segment", folder, *model, expect=1)
    assert "nothing at" in run("segment", tmp_path / "nothing", "--measure", *model, expect=1)
    assert "--out" in run("segment", folder, "--overlay", "--measure", *model, expect=1)
    assert "would overwrite" in run("segment", folder, "--out", folder / "a", *model, expect=1)
    (tmp_path / "labels.json").write_text('["a", "b"]')
    assert "labels.json of other classes" in run("segment", folder, "--out", tmp_path, *model, expect=1)
    assert (tmp_path / "labels.json").read_text() == '["a", "b"]'
    (tmp_path / "empty").mkdir()
    assert "no pictures" in run("segment", tmp_path / "empty", "--measure", *model, expect=1)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    assert "bad.png" in run("segment", tmp_path / "bad.png", "--measure", *model, expect=1)
    assert "no segmenter" in run("segment", folder, "--measure", "--model", tmp_path / "x", expect=1)


def start_options(data, out, **changes):
    options = {
        "--data": data, "--out": out, "--resolution": 32, "--images": 16, "--batch": 4, "--val-share": 0.2, **changes
    }  # fmt: skip
    return [
        "train-segmenter",
        "--no-pretrained",
        *(part for option in options.items() for part in option if part is not None),
    ]


def test_train_segmenter_and_resume(shoes, tmp_path):
    text = run(*start_options(shoes, tmp_path / "run", **{"--seed": 3, "--class-weights": "1,2,3,4,5,6,7"}))
    assert f"best segmenter: {tmp_path / 'run' / MODEL_FILE}" in text
    kept = json.loads((tmp_path / "run/config.json").read_text())
    assert kept["seed"] == 3
    assert kept["class_weights"] == [1, 2, 3, 4, 5, 6, 7]
    assert "best segmenter" in run("train-segmenter", "--out", tmp_path / "run", "--resume")
    text = run("train-segmenter", "--out", tmp_path / "run", "--resume", "--images", 24)
    assert "training 24/24 images" in text
    assert "--lr" in run("train-segmenter", "--out", tmp_path / "run", "--resume", "--lr", 1, expect=1)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(shoes, tmp_path):
    text = run(
        *start_options(shoes, tmp_path / "run", **{"--arch": "densenet", "--width": 0.25}), "--dry-run"
    )
    assert '"architecture": "densenet"' in text
    assert "19 pictures to learn from and 5 to validate on at 32 px" in text
    assert "16 images would be 4 steps; nothing was written" in text
    assert not (tmp_path / "run").exists()


def test_many_classes_train_and_segment(tmp_path):
    """More classes than colours that the eye can tell, pictures of several shapes, and a value that is not used."""
    data = tmp_path / "data"
    names = [f"thing {i}" for i in range(59)]
    rng = np.random.default_rng(0)
    for i in range(8):
        part_map = rng.integers(0, 58, (6, 4 + i % 3), np.uint8).repeat(8, 0).repeat(8, 1)
        write_image(data / "images" / f"{i}.png", np.stack([part_map * 4] * 3, 2))
        write_part_map(data / "masks" / f"{i}.png", part_map, LabelMap.from_names(names))
    (data / "labels.json").write_text(json.dumps(names))
    text = run(
        *start_options(data, tmp_path / "run", **{"--augment": "street", "--class-weights": "balanced"})
    )
    assert "59 classes" in text
    out = tmp_path / "out"
    run("segment", data / "images", "--model", tmp_path / "run", "--out", out, "--overlay")
    assert read_part_map(out / "3.png", LabelMap.from_names(names)).shape == (48, 32)
    text = run("segment", data / "images", "--model", tmp_path / "run", "--measure", expect=1)
    assert "does not know a shoe's parts" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--arch": "x"}, "--arch"),
        ({"--arch": "fcn", "--encoder": "resnet18"}, "--encoder is of the U-Net"),
        ({"--encoder": "nothing"}, "no encoder 'nothing'"),
        ({"--width": 0.5}, "a U-Net has no --width"),
        ({"--loss": "mse"}, "--loss: got 'mse', expected ce, focal, dice or a sum"),
        (
            {"--class-weights": "fair"},
            "--class-weights: got 'fair', expected none, damped, balanced, or a number",
        ),
        ({"--class-weights": "1,2"}, "--class-weights: got 2 weights, the data has 7 classes"),
        ({"--class-weights": "1,x"}, "--class-weights: got '1,x'"),
        ({"--schedule": "steps"}, "--schedule: got 'steps'"),
        ({"--patience": 0}, "--patience: got 0"),
        ({"--init-from": "nothing.safetensors"}, "nothing.safetensors; train one with"),
        (
            {"--init-from": "default", "--encoder": "tu-regnetx_004"},
            "of another network: its encoder is tu-regnetx_002, got tu-regnetx_004",
        ),
        ({"--allow-shared": None}, "--allow-shared is about --val, which was not given"),
        ({"--val": "x.zip", "--val-share": 0.2}, "--val-share has no effect with --val; leave it out"),
        ({"--lr-find": None, "--patience": 3}, "--patience has no effect with --lr-find; leave it out"),
        ({"--device": "tpu"}, "--device"),
        ({"--out": "/proc/shoegen/run"}, "cannot make the folder"),
    ],
)
def test_train_segmenter_says_what_is_wrong(shoes, tmp_path, changes, message):
    text = run(*start_options(shoes, tmp_path / "run", **changes), expect=1)
    assert text.splitlines()[-1].startswith("error: ")
    assert message in text.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def labelled(folder, *sizes, value=1):
    """Pictures with part maps of their own sizes."""
    for i, (picture, part_map) in enumerate(sizes):
        write_image(folder / "images" / f"{i}.png", np.zeros((*picture, 3), np.uint8))
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.full(part_map, value, np.uint8)).save(folder / "masks" / f"{i}.png")
    (folder / "labels.json").write_text('["nothing", "something"]')
    return folder


def test_bad_part_maps_are_one_line(tmp_path):
    same, other = ((8, 8), (8, 8)), ((8, 8), (8, 9))

    def fails(data):
        text = run(*start_options(data, tmp_path / "run"), expect=1)
        assert not (tmp_path / "run").exists()
        return text.splitlines()[-1]

    assert "--data" in run("train-segmenter", "--out", tmp_path / "run", expect=1)
    line = fails(labelled(tmp_path / "value", same, same, value=7))
    assert "masks/0.png: value 7 at 64 pixels is no class" in line
    assert "masks/1.png is 9x8, its picture 8x8" in fails(labelled(tmp_path / "size", same, other))
    assert "1 picture: the training and the validation split need one each" in fails(
        labelled(tmp_path / "one", same)
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "lonely.png")
    assert "labels.json" in fails(tmp_path)


def test_segment_leaves_out_what_cannot_be_read_only_if_told(tiny_run, folder, tmp_path):
    (folder / "bad.png").write_bytes(b"\x89PNG")
    (folder / "empty.jpg").write_bytes(b"")
    options = ("--out", tmp_path / "out", "--model", tiny_run / "segmenter.safetensors")
    text = run("segment", folder, *options, expect=1)
    assert "2 of 4 pictures cannot be read" in text
    assert "bad.png" in text
    assert "empty.jpg" in text
    assert not list((tmp_path / "out").glob("*"))
    assert "2 part maps" in run("segment", folder, *options, "--skip-bad")


def test_pictures_are_not_overwritten_by_measures(tiny_run, folder):
    picture = folder / "a" / "shoe.png"
    before = picture.read_bytes()
    model = ("--model", tiny_run)
    assert "--json" in run("segment", picture, "--measure", "--json", picture, *model, expect=1)
    assert picture.read_bytes() == before


def test_the_second_network_of_a_cascade_does_not_segment(tiny_run, folder, tmp_path):
    first = PartSegmenter.load(tiny_run)
    second = PartSegmenter(first.net, dataclasses.replace(first.config, focused=True), first.labels)
    second.save(tmp_path / "second.safetensors")
    text = run(
        "segment", folder, "--out", tmp_path / "out", "--model", tmp_path / "second.safetensors", expect=1
    )
    assert "second network of a cascade" in text
    assert not (tmp_path / "out").exists()


def test_a_run_remembers_that_it_was_extended(tiny_run, tmp_path):
    out = shutil.copytree(tiny_run, tmp_path / "run")
    run("train-segmenter", "--resume", "--images", 72, "--out", out)
    assert json.loads((out / "config.json").read_text())["images"] == 72
    run("train-segmenter", "--resume", "--out", out)  # has nothing left to do, and does not complain
