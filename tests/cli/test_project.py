import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from shoegen.cli import main
from shoegen.data.images import read_image, write_image
from shoegen.data.synthetic.dataset import render
from shoegen.editing.store import load_shoe
from shoegen.inversion import projecting
from shoegen.inversion.data import DEFAULT_GENERATOR
from shoegen.inversion.encoder import Encoder
from shoegen.stylegan.networks import Generator


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "pump.png"
    write_image(path, render(5, 3, 192).image)
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Searches of a few steps, from few samples."""
    for name, effort in projecting.EFFORTS.items():
        quicker = replace(effort, w=1, plus=1 if effort.plus else 0, tune=2 if effort.tune else 0)
        monkeypatch.setitem(projecting.EFFORTS, name, quicker)
    monkeypatch.setattr("shoegen.inversion.align.SAMPLES", 4)
    monkeypatch.setattr(projecting, "PROBES", 1)
    monkeypatch.setattr(projecting, "WITHOUT_ENCODER", 0)


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result.output


def fails(*arguments):
    """The error's line."""
    lines = run(*arguments, expect=1).splitlines()
    assert lines[-1].startswith("error: ")
    return lines[-1]


def test_latent_sheet_and_report(photo, tmp_path):
    out = tmp_path / "found"
    text = run("project", photo, "--out", out)
    assert "pump.safetensors: parts IoU " in text
    assert {path.name for path in out.iterdir()} == {"pump.safetensors", "pump.png", "pump.json"}
    report = json.loads((out / "pump.json").read_bytes())
    assert report["quality"] == "balanced"
    assert report["tuned"]
    assert not report["flipped"]
    assert 0 < report["figures"]["part_iou"] <= 1
    assert report["figures"]["seconds"] > 0
    assert read_image(out / "pump.png").shape[1] == 4 * 256 + 3 * 2
    shoe = load_shoe(out / "pump.safetensors")
    assert shoe.image.shape == (64, 64, 3)
    edited = shoe.edit(heel=0.5)  # the shipped direction holds for the tuned generator too
    assert edited.image.shape == (64, 64, 3)

    assert "done before" in run("project", photo, "--out", out)
    assert "done before" not in run("project", photo, "--out", out, "--quality", "fast")
    assert not json.loads((out / "pump.json").read_bytes())["tuned"]


def test_an_interrupted_search_goes_on(photo, tmp_path, monkeypatch):
    out = tmp_path / "found"
    monkeypatch.setattr(projecting, "SAVE_EVERY", 1)
    monkeypatch.setattr("shoegen.cli.project._write", interrupt)
    result = CliRunner().invoke(main, ["project", str(photo), "--out", str(out)])
    assert result.exit_code != 0
    assert (out / ".pump" / projecting.STATE_FILE).is_file()
    monkeypatch.undo()
    monkeypatch.setattr("shoegen.inversion.align.SAMPLES", 4)
    monkeypatch.setattr(projecting, "WITHOUT_ENCODER", 0)
    monkeypatch.setattr(
        projecting, "EFFORTS", {"balanced": replace(projecting.EFFORTS["balanced"], w=1, plus=1, tune=2)}
    )
    run("project", photo, "--out", out)
    assert not (out / ".pump").exists()


def interrupt(*_):
    raise KeyboardInterrupt


def test_many_photographs_good_and_bad(photo, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = read_image(photo)
    Image.fromarray(pixels[:, ::-1]).convert("CMYK").save(folder / "a.jpg")
    turned = Image.fromarray(np.rot90(pixels).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    turned.save(folder / "b.jpg", exif=exif)
    write_image(folder / "c.png", np.full((90, 90, 3), 230, np.uint8))
    (folder / "d.png").write_bytes(b"no picture")
    out = tmp_path / "found"
    options = ["--out", out, "--quality", "fast"]
    assert "d.png" in fails("project", folder, *options)
    (folder / "d.png").unlink()
    assert "c.png: no shoe was found" in fails("project", folder, *options)
    text = run("project", folder, *options, "--skip-bad")
    assert "c.png left out: no shoe was found" in text
    assert {path.stem for path in out.glob("*.safetensors")} == {"a", "b"}
    assert json.loads((out / "a.json").read_bytes())["flipped"]
    assert not json.loads((out / "b.json").read_bytes())["flipped"]
    assert "none of 1 photographs" in fails("project", folder / "c.png", *options, "--skip-bad")


def test_two_shoes_and_masks(photo, tmp_path):
    pixels = read_image(photo)
    pair = tmp_path / "pair.png"
    write_image(pair, np.concatenate([pixels, pixels], axis=1))
    options = ["--out", tmp_path / "found", "--quality", "fast"]
    assert "pair.png: found 2 shoes; choose one with --instance 1 to 2" in fails("project", pair, *options)
    run("project", pair, *options, "--instance", 2)
    mask = np.zeros((192, 384), np.uint8)
    mask[render(5, 3, 192).part_map.nonzero()] = 255
    write_image(tmp_path / "mask.png", mask)
    run("project", pair, *options, "--mask", tmp_path / "mask.png")
    line = fails("project", photo, *options, "--mask", tmp_path / "mask.png")
    assert "--mask is 384x192, the picture 192x192" in line
    assert "for one photograph, got 2" in fails(
        "project", pair, photo, *options, "--mask", tmp_path / "mask.png"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quality", "good"], "--quality: got 'good', expected fast, balanced, best"),
        (["--flip", "left"], "--flip: got 'left', expected auto, yes, no"),
        (["--model", "nothing"], "no model 'nothing'"),
        (["--encoder", "nothing"], "no encoder at nothing"),
        (["--seed", "-1"], "seed: got -1"),
    ],
)
def test_bad_options(photo, tmp_path, options, message):
    assert message in fails("project", photo, "--out", tmp_path / "found", *options)
    assert not (tmp_path / "found").exists()


def test_bad_files(photo, tmp_path):
    heic = tmp_path / "photo.heic"
    heic.write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    assert "HEIC, AVIF or a film, which is not read here: save it as JPEG or PNG" in fails(
        "project", heic, "--out", tmp_path / "found"
    )
    assert "nothing at" in fails("project", tmp_path / "none.jpg", "--out", tmp_path / "found")
    assert "would overwrite the picture" in fails("project", photo, "--out", photo.parent)


def test_encoder_of_another_generator(photo, tmp_path):
    generator = Generator.load(DEFAULT_GENERATOR)
    small = tmp_path / "small"
    text = run(
        "train-encoder",
        "--images",
        16,
        "--batch",
        8,
        "--channels",
        "8,8,8",
        "--out",
        small,
        "--evaluate-every",
        16,
    )
    assert "model: " in text
    encoder = Encoder.load(small)
    encoder.check_generator(generator.hash())
    run("project", photo, "--out", tmp_path / "found", "--quality", "fast", "--encoder", small)
    Encoder(encoder.net, "0" * 64).save(tmp_path / "other.safetensors")
    line = fails("project", photo, "--out", tmp_path / "found", "--encoder", tmp_path / "other.safetensors")
    assert "the encoder is for the generator 000000000000" in line


def test_train_encoder_says_what_is_wrong(tmp_path):
    assert "no generator at" in fails(
        "train-encoder", "--model", tmp_path / "none", "--out", tmp_path / "run"
    )
    assert "channels is (8,)" in fails("train-encoder", "--channels", "8", "--out", tmp_path / "run")
    assert "--resume keeps the options of the run, got --lr too" in fails(
        "train-encoder", "--resume", "--lr", "0.1", "--out", tmp_path / "run"
    ).replace("learning-rate", "lr")
    text = run("train-encoder", "--out", tmp_path / "run", "--dry-run")
    assert "120000 images would be 7500 steps; nothing was written" in text
    assert not (tmp_path / "run").exists()
