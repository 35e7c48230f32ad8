"""generate, style-mix, interpolate and export, as they are typed."""

import dataclasses
import os
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from shoegen.cli import main
from shoegen.data.images import image_grid, read_image
from shoegen.stylegan.networks import Generator
from shoegen.stylegan.sampling import latents, load_ws, one_hot, render, style_mix, truncate

from ..tiny import tiny_generator


def variant(folder, name, **changes):
    torch.manual_seed(0)
    Generator(dataclasses.replace(tiny_generator().config, **changes)).save(folder / name)
    return Generator.load(folder / name)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    variant(folder, "plain.safetensors")
    variant(folder, "cond.safetensors", c_dim=3)
    variant(folder, "rgba.safetensors", img_channels=4, resolution=(16, 24))
    variant(folder, "grey.safetensors", img_channels=1)
    return folder


@pytest.fixture(scope="module")
def plain(models):
    return Generator.load(models / "plain.safetensors")


@pytest.fixture
def run(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, model="plain", expect=0):
        arguments = [*map(str, arguments), "--model", str(models / f"{model}.safetensors")]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == expect, result.output
        if expect == 1:
            assert result.output.startswith("error: ")
            assert result.output.count("\n") == 1
            assert not list(tmp_path.glob("*.*"))
        return result.output

    return run


def close(a, b):
    return a.shape == b.shape and np.abs(a.astype(int) - b.astype(int)).max() <= 1


def sheet(generator, ws, columns):
    return image_grid(list(render(generator, ws)), columns)


# ---- generate ----


def test_a_sheet(run, plain):
    assert "5 pictures at psi 0.7" in run("generate", "--seeds", "0-3,9", "--columns", 3, "--out", "a.png")
    expected = sheet(plain, latents(plain, [0, 1, 2, 3, 9]), 3)
    assert close(read_image("a.png"), expected)
    run("generate", "--seeds", "0-3,9", "--columns", 3, "--batch", 2)
    assert close(read_image("grid.png"), expected)


def test_a_folder(run, plain, tmp_path):
    run("generate", "--seeds", "0-2", "--psi", 1, "--cutoff", 2, "--out", "shoes/")
    assert sorted(path.name for path in (tmp_path / "shoes").iterdir()) == [
        f"seed000{i}.png" for i in range(3)
    ]
    expected = list(render(plain, latents(plain, [2], psi=1)))
    assert close(read_image("shoes/seed0002.png"), expected[0])
    run("generate", "--seeds", "2", "--format", "webp", "--noise", "random", "--out", "shoes")
    assert (tmp_path / "shoes" / "seed0002.webp").is_file()


def test_a_truncation_sweep(run, plain):
    run("generate", "--seeds", "1,2", "--psis=-1,0,1", "--out", "a.png")
    ws = [latents(plain, [seed], psi=psi) for seed in (1, 2) for psi in (-1, 0, 1)]
    assert close(read_image("a.png"), sheet(plain, torch.cat(ws), 3))
    run("generate", "--seeds", "1", "--psis=0,0.5", "--out", "a/")
    assert close(read_image("a/seed0001-psi0.5.png"), next(render(plain, latents(plain, [1], psi=0.5))))


def test_classes(run, models):
    cond = Generator.load(models / "cond.safetensors")
    run("generate", "--seeds", "4,5", "--classes", "all", "--out", "a.png", model="cond")
    ws = [latents(cond, [seed], classes=kind) for seed in (4, 5) for kind in range(3)]
    assert close(read_image("a.png"), sheet(cond, torch.cat(ws), 3))
    run("generate", "--seeds", "4", "--classes", "0,2", "--out", "a", model="cond")
    assert close(read_image("a/seed0004-class2.png"), next(render(cond, ws[2])))
    run("generate", "--seeds", "0-4", "--classes", "random", "--columns", 5, "--out", "r.png", model="cond")
    drawn = latents(cond, range(5), classes="random")
    assert close(read_image("r.png"), sheet(cond, drawn, 5))
    run("generate", "--seeds", "3", "--classes", "random", "--save-w", "w.npy", "--out", "r", model="cond")
    (name,) = os.listdir("r")
    picked = int(one_hot(cond, "random", [3]).argmax())
    assert name == f"seed0003-class{picked}.png"
    run("generate", "--w-file", "w.npy", "--out", "w.png", model="cond")
    assert close(read_image("w.png"), read_image(f"r/{name}"))


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors"])
def test_latents_go_to_a_file_and_back(run, plain, suffix):
    run("generate", "--seeds", "3,4", "--save-w", f"w{suffix}", "--out", "a.png")
    assert torch.equal(load_ws(f"w{suffix}", plain), latents(plain, [3, 4]))
    run("generate", "--w-file", f"w{suffix}", "--out", "b.png")
    assert close(read_image("a.png"), read_image("b.png"))
    run("generate", "--w-file", f"w{suffix}", "--psi", 0.5, "--out", "c/")
    halved = truncate(plain, latents(plain, [4]), 0.5)
    assert close(read_image("c/w0001.png"), next(render(plain, halved)))


def test_transparent_and_grey_pictures(run):
    run("generate", "--seeds", "0,1", "--out", "a.png", model="rgba")
    with Image.open("a.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (50, 16))
    run("generate", "--seeds", "0", "--out", "a", model="grey")
    with Image.open("a/seed0000.png") as picture:
        assert (picture.mode, picture.size) == ("L", (16, 16))


@pytest.mark.parametrize(
    ("options", "message", "model"),
    [
        (["--seeds", "a"], "--seeds", "plain"),
        (["--seeds", "3-1"], "--seeds", "plain"),
        (["--seeds", "4294967296"], "seed: got 4294967296", "plain"),
        (["--psi", 5], "psi: got 5", "plain"),
        (["--psi", "nan"], "psi: got nan", "plain"),
        (["--psis", "0,x"], "--psis: got", "plain"),
        (["--psi", 1, "--psis", "0,1"], "either --psi", "plain"),
        (["--cutoff", 7], "6 layers", "plain"),
        (["--classes", "1"], "has no classes", "plain"),
        ([], "choose with --classes, such as 0, 0-2, all or random", "cond"),
        (["--classes", "3"], "choose from 0 to 2", "cond"),
        (["--classes", "some"], "--classes: got", "cond"),
        (["--out", "a.gif"], "suffix '.gif'", "plain"),
        (["--out", "a.jpg"], "JPEG cannot hold", "rgba"),
        (["--out", "a", "--format", "jpg"], "JPEG cannot hold", "rgba"),
        (["--out", "a", "--columns", 2], "--columns is for a sheet", "plain"),
        (["--out", "a.png", "--format", "png"], "--format is for a folder", "plain"),
        (["--seeds", "0-99999", "--columns", 1000, "--psis", "0,1,2,0,1,2"], "too large", "plain"),
        (["--w-file", "no.npz"], "no such file", "plain"),
        (["--w-file", "no.npz", "--seeds", "1"], "leave out --seeds", "plain"),
        (["--w-file", "no.pkl"], "suffix '.pkl' for latents", "plain"),
        (["--save-w", "w.txt"], "suffix '.txt' for latents", "plain"),
        (["--device", "tpu"], "--device", "plain"),
    ],
)
def test_generate_says_what_is_wrong(run, options, message, model):
    assert message in run("generate", *options, model=model, expect=1)


# ---- style-mix ----


def test_style_mix(run, plain):
    text = run("style-mix", "--rows", "0,1", "--cols", "5-7", "--layers", "0-1,4", "--out", "a.png")
    assert "2 x 3 shoes, layers 0-1, 4 of" in text
    rows, columns = latents(plain, [0, 1]), latents(plain, [5, 6, 7])
    mixed = style_mix(rows, columns, [0, 1, 4])
    tiles = [np.full((16, 16, 3), 255, np.uint8), *render(plain, columns)]
    for row, several in zip(rows, mixed, strict=True):
        tiles += [*render(plain, row[None]), *render(plain, several)]
    assert close(read_image("a.png"), image_grid(tiles, 4))


def test_style_mix_of_a_class(run):
    run("style-mix", "--class", 2, "--layers", "middle", model="cond")
    assert read_image("mix.png").shape == (5 * 18 - 2, 7 * 18 - 2, 3)


@pytest.mark.parametrize(
    ("options", "message", "model"),
    [
        (["--layers", "fine"], "one of coarse, middle", "plain"),
        (["--layers", "3-9"], "from 0 to 5", "plain"),
        (["--layers", "rough"], "--layers", "plain"),
        (["--rows", ""], "--rows", "plain"),
        ([], "draws 3 classes", "cond"),
        (["--out", "a.mp4"], "suffix '.mp4'", "plain"),
        (["--out", "a.jpg"], "JPEG", "rgba"),
    ],
)
def test_style_mix_says_what_is_wrong(run, options, message, model):
    assert message in run("style-mix", *options, model=model, expect=1)


# ---- interpolate ----


def frames_of(path):
    with Image.open(path) as film:
        for index in range(film.n_frames):
            film.seek(index)
            yield np.asarray(film.convert("RGB"))


def test_interpolate_to_frames(run, plain, tmp_path):
    text = run("interpolate", "--seeds", "1,5", "--frames", 3, "--fps", 2, "--out", "frames")
    assert "frames: 4 frames, 2.0 s" in text
    assert len(list((tmp_path / "frames").iterdir())) == 4
    shoes = list(render(plain, latents(plain, [1, 5])))
    assert close(read_image("frames/frame00000.png"), shoes[0])
    assert close(read_image("frames/frame00003.png"), shoes[1])


@pytest.mark.parametrize("model", ["plain", "rgba", "grey"])
def test_interpolate_in_a_grid(run, models, model):
    options = ("--seeds", "0-11", "--grid", "3x2", "--frames", 2, "--loop", "--scale", 2)
    run("interpolate", *options, "--out", "a.webp", model=model)
    _, height, width = Generator.load(models / f"{model}.safetensors").config.image_shape
    frames = list(frames_of("a.webp"))
    assert len(frames) == 4
    assert frames[0].shape == (2 * (2 * height + 2), 2 * (3 * width + 4), 3)
    run("interpolate", *options, "--out", "a.gif", model=model)
    assert len(list(frames_of("a.gif"))) == 4


def test_interpolate_to_mp4(run):
    av = pytest.importorskip("av")
    run("interpolate", "--seeds", "1", "--space", "noise-loop", "--class", 1, "--frames", 9, model="cond")
    with av.open("walk.mp4") as film:
        assert len(list(film.decode(video=0))) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "1"], "at least two"),
        (["--seeds", "1,2", "--space", "noise-loop"], "expected one"),
        (["--seeds", "1-5", "--grid", "2x2"], "5 for 4 places"),
        (["--seeds", "1,2", "--grid", "2"], "--grid: got '2'"),
        (["--seeds", "1,2", "--frames", 0], "frames: got 0"),
        (["--seeds", "1,2", "--out", "a.avi"], "suffix '.avi', expected .mp4, .gif, .webp"),
        (["--seeds", "1,2", "--out", "a.gif", "--fps", 60], "at most 50"),
        (["--seeds", "1,2", "--out", "a.gif", "--frames", 999999999], "do not fit in memory"),
    ],
)
def test_interpolate_says_what_is_wrong(run, options, message):
    assert message in run("interpolate", *options, expect=1)


def test_interpolate_without_pyav(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install 'shoegen[video]'" in run("interpolate", "--seeds", "1,2", expect=1)
    run("interpolate", "--seeds", "1,2", "--frames", 2, "--out", "a.gif")


def test_frames_do_not_mix_with_what_is_there(run, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "frame00000").touch()
    assert "not empty" in run("interpolate", "--seeds", "1,2", "--out", "full", expect=1)


# ---- export ----


def test_export(run):
    pytest.importorskip("onnxscript")
    text = run("export", "--psi", "input", "--out", "a.onnx", model="cond")
    assert "a.onnx: z (N, 16), c (N, 3), psi (N) → images (N, 3, 16, 16)" in text
    assert "e-0" in text.splitlines()[1] or "0.0e+00" in text.splitlines()[1]
    text = run("export", "--from", "w", "--out", "a.pt2")
    assert "a.pt2: ws (N, 6, 16) → images" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--psi", "much"], "--psi: got 'much'"),
        (["--psi", "9"], "psi: got 9"),
        (["--from", "w", "--psi", "0.7"], "leave out --psi"),
        (["--out", "a.pt"], "ends in .onnx"),
        (["--out", "a.onnx", "--format", "torch"], "ends in .pt2"),
        (["--opset", "3"], "opset: got 3"),
    ],
)
def test_export_says_what_is_wrong(run, options, message):
    assert message in run("export", *options, expect=1)


def test_export_without_onnx(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'shoegen[export]'" in run("export", expect=1)
