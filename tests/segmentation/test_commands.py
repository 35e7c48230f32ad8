import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from shoegen.cli import main
from shoegen.cli.segment import _tint
from shoegen.data.images import read_part_map, write_image
from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic import render
from shoegen.measure import ATTRIBUTES
from shoegen.segmentation import training


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
    assert names == {"shoe.png", "shoe.overlay.png", "shoe-2.png", "shoe-2.overlay.png"}
    assert read_part_map(out / "shoe.png", SHOE_PARTS).shape == (64, 64)
    found = json.loads(measures.read_text())
    assert list(found) == [str(folder / "a/shoe.png"), str(folder / "b/shoe.jpg")]
    assert all(values.keys() == ATTRIBUTES.keys() for values in found.values())


def test_overlay_leaves_the_background():
    image = np.full((2, 2, 3), 100, np.uint8)
    tinted = _tint(image, np.array([[0, 1], [2, 3]], np.uint8), SHOE_PARTS)
    assert (tinted[0, 0] == 100).all()
    np.testing.assert_array_equal(tinted[0, 1], (100 + np.array(SHOE_PARTS.colors[1])) // 2)


def test_segment_says_what_is_wrong(tiny_run, folder, tmp_path):
    model = ("--model", tiny_run / "segmenter.safetensors")
    assert "nothing to do" in run("segment", folder, *model, expect=1)
    assert "nothing at" in run("segment", tmp_path / "nothing", "--measure", *model, expect=1)
    assert "--out" in run("segment", folder, "--overlay", "--measure", *model, expect=1)
    assert "would overwrite" in run("segment", folder, "--out", folder / "a", *model, expect=1)
    (tmp_path / "empty").mkdir()
    assert "no pictures" in run("segment", tmp_path / "empty", "--measure", *model, expect=1)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    assert "bad.png" in run("segment", tmp_path / "bad.png", "--measure", *model, expect=1)
    assert "no segmenter" in run("segment", folder, "--measure", "--model", tmp_path / "x", expect=1)


def test_train_segmenter_and_resume(shoes, tmp_path):
    options = ("--resolution", 32, "--images", 16, "--batch", 4, "--val-share", 0.2, "--seed", 3)
    text = run("train-segmenter", "--data", shoes, "--out", tmp_path / "run", *options)
    assert f"best segmenter: {tmp_path / 'run' / training.MODEL_FILE}" in text
    assert json.loads((tmp_path / "run/config.json").read_text())["seed"] == 3
    assert "best segmenter" in run("train-segmenter", "--out", tmp_path / "run", "--resume")
    assert "--images" in run(
        "train-segmenter", "--out", tmp_path / "run", "--resume", "--images", 32, expect=1
    )


def test_train_segmenter_says_what_is_wrong(shoes, tmp_path):
    assert "--data" in run("train-segmenter", "--out", tmp_path / "run", expect=1)
    assert "--arch" in run(
        "train-segmenter", "--data", shoes, "--out", tmp_path / "run", "--arch", "x", expect=1
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "lonely.png")
    assert "error: " in run("train-segmenter", "--data", tmp_path, "--out", tmp_path / "run", expect=1)
    assert not (tmp_path / "run").exists()


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
