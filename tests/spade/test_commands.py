"""The commands as users call them: pictures → part maps → training → painted shoes."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from shoegen.cli import main
from shoegen.data.images import encode_png, read_image, read_part_map, write_image, write_part_map
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.data.synthetic import render
from shoegen.spade.painting import MODEL_FILE, Painter

from .small_runs import options


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result.output


def fails(*arguments):
    """The one line that says why."""
    text = run(*arguments, expect=1)
    assert text.splitlines()[-1].startswith("error: ")
    assert sum(line.startswith("error: ") for line in text.splitlines()) == 1
    return text.splitlines()[-1]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(6):
        write_image(folder / f"shoe{i}.jpg", render(0, i, 64).image)
    return folder


@pytest.fixture
def drawn(tmp_path):
    """A map of indices, and one of colours."""
    part_map = render(0, 3, 64).part_map
    write_part_map(tmp_path / "maps" / "index.png", part_map, SHOE_PARTS)
    (tmp_path / "maps" / "colour.png").write_bytes(encode_png(SHOE_PARTS.colorize(part_map)))
    return tmp_path / "maps"


def test_from_photographs_to_painted_shoes(photos, tmp_path):
    maps, out = tmp_path / "maps", tmp_path / "run"
    run("segment", photos, "--out", maps, "--overlay")
    text = run(*options(photos, out, **{"--maps": maps, "--val-share": 0.4}))
    assert f"painter: {out / MODEL_FILE}" in text
    assert "validation at 16 images" in text
    text = run("paint", maps, "--style", photos / "shoe1.jpg", "--model", out, "--out", tmp_path / "painted")
    assert f"{tmp_path / 'painted'}: 6 pictures" in text  # and no overlays
    names = {path.name for path in (tmp_path / "painted").iterdir()}
    assert names == {f"shoe{i}.png" for i in range(6)}
    run(
        "paint",
        maps / "shoe2.png",
        "--style",
        photos / "shoe1.jpg",
        "--model",
        out,
        "--out",
        tmp_path / "one.png",
    )
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "painted" / "shoe2.png").read_bytes()


def test_train_and_resume(shoes, tmp_path):
    out = tmp_path / "run"
    run(
        *options(
            shoes, out, **{"--lr-g": 1e-3, "--kl": 0.5, "--flip": None, "--seed": 3, "--preset": "paper256"}
        )
    )
    kept = json.loads((out / "config.json").read_text())
    assert (kept["learning_rate_g"], kept["learning_rate_d"], kept["kl"]) == (1e-3, 4e-4, 0.5)
    assert (kept["flip"], kept["seed"], kept["model"]["hidden"], kept["model"]["classes"]) == (True, 3, 8, 7)
    assert "painter" in run("train-spade", "--out", out, "--resume")
    assert "training 24/24 images" in run("train-spade", "--out", out, "--resume", "--images", 24)
    assert "--lr-g" in fails("train-spade", "--out", out, "--resume", "--lr-g", 1)


def test_without_styles(shoes, tmp_path, drawn):
    out = tmp_path / "run"
    run(*options(shoes, out, **{"--no-style": None, "--z-dim": False, "--encoder-channels": False}))
    assert Painter.load(out).config.z_dim is None
    run("paint", drawn / "index.png", "--model", out, "--out", tmp_path / "out.png")
    text = fails(
        "paint", drawn / "index.png", "--model", out, "--style-seed", 1, "--out", tmp_path / "no.png"
    )
    assert "trained without styles; leave out --style-seed" in text
    assert not (tmp_path / "no.png").exists()


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(shoes, tmp_path):
    text = run(*options(shoes, tmp_path / "run", **{"--resolution": "96x64"}), "--fit", "pad", "--dry-run")
    assert '"resolution": [\n      64,\n      96\n    ]' in text
    assert "12 pictures to learn from and 4 to validate on at 96x64 px" in text
    assert "16 images would be 4 steps; nothing was written" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--data": False}, "got no --data"),
        ({"--data": "nothing.zip"}, "nothing.zip does not exist"),
        ({"--maps": "nothing"}, "nothing does not exist"),
        ({"--labels": "nothing.json"}, "nothing.json: No such file"),
        ({"--resolution": 30}, "--resolution: got 30x30"),
        ({"--resolution": "64x32"}, "--fit"),
        ({"--lr-d": 0}, "--lr-d: got 0"),
        ({"--batch": 1}, "--batch: got 1"),
        ({"--val-share": 2}, "change --val-share"),
        ({"--init-from": "x.safetensors"}, "have no effect with --init-from; leave them out"),
        ({"--no-style": None}, "--z-dim and --encoder-channels have no effect with --no-style"),
        (
            {"--perceptual-net": "none", "--perceptual": 2},
            "--perceptual has no effect with --perceptual-net none",
        ),
        ({"--val": "x.zip"}, "--val-share has no effect with --val"),
        ({"--allow-shared": None}, "--allow-shared is about --val"),
        ({"--device": "tpu"}, "--device"),
        ({"--out": "/proc/shoegen/run"}, "cannot make the folder"),
    ],
)
def test_train_spade_says_what_is_wrong(shoes, tmp_path, changes, message):
    assert message in fails(*options(shoes, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_bad_part_maps_are_one_line_before_training(tmp_path):
    data = tmp_path / "data"
    for i in range(3):
        write_image(data / "images" / f"{i}.png", np.zeros((32, 32, 3), np.uint8))
        write_part_map(data / "masks" / f"{i}.png", np.zeros((32, 32), np.uint8), SHOE_PARTS)
    (data / "labels.json").write_text(json.dumps(["nothing", "something"]))

    def spoilt(part_map):
        Image.fromarray(part_map).save(data / "masks" / "1.png")
        return fails(*options(data, tmp_path / "run"))

    assert "masks/1.png: value 7 at 1024 pixels is no class" in spoilt(np.full((32, 32), 7, np.uint8))
    assert "masks/1.png is 31x32, its picture 32x32" in spoilt(np.zeros((32, 31), np.uint8))
    assert "colour (9, 9, 9) at 1024 pixels" in spoilt(np.full((32, 32, 3), 9, np.uint8))
    (data / "masks" / "1.png").unlink()
    line = fails(*options(data, tmp_path / "run"))
    assert "1 of 3 pictures" in line
    assert "images/1.png: it has no part map; expected masks/1.png" in line
    assert not (tmp_path / "run").exists()


def test_maps_of_colours_and_of_other_sizes_are_painted(tiny_run, drawn, tmp_path):
    for name in ("index", "colour"):
        run(
            "paint",
            drawn / f"{name}.png",
            "--model",
            tiny_run,
            "--style-seed",
            3,
            "--out",
            tmp_path / f"{name}.png",
        )
    painted = read_image(tmp_path / "index.png")
    assert painted.shape == (32, 32, 3)
    np.testing.assert_array_equal(painted, read_image(tmp_path / "colour.png"))
    expected = Painter.load(tiny_run).paint(read_part_map(drawn / "index.png", SHOE_PARTS), style_seed=3)
    np.testing.assert_array_equal(painted, expected)
    run(
        "paint", drawn / "index.png", "--model", tiny_run, "--out", tmp_path / "default.png"
    )  # a random style
    assert (read_image(tmp_path / "default.png") != painted).any()


def test_maps_with_labels_of_their_own(tiny_run, drawn, tmp_path):
    labels = LabelMap.from_names(["background", "upper"])
    write_part_map(drawn / "index.png", np.eye(32, dtype=np.uint8), labels)
    (drawn / "labels.json").write_text(json.dumps(labels.to_json()))
    run("paint", drawn / "index.png", "--model", tiny_run, "--out", tmp_path / "a.png")
    expected = Painter.load(tiny_run).paint(3 * np.eye(32, dtype=np.uint8), style_seed=0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)
    (drawn / "labels.json").rename(tmp_path / "named.json")
    run(
        "paint",
        drawn / "index.png",
        "--labels",
        tmp_path / "named.json",
        "--model",
        tiny_run,
        "--out",
        tmp_path / "b.png",
    )
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), expected)


def test_instances_from_training_to_painting(shoes, drawn, tmp_path):
    """Their boundaries, here of the two halves of every picture."""
    out, halves = tmp_path / "run", np.zeros((64, 64), np.uint8)
    halves[:, 32:] = 1
    (drawn / "colour.png").unlink()
    for i in range(16):
        write_image(tmp_path / "instances" / f"{i:08d}.png", halves[::2, ::2])
    Image.fromarray(halves).save(tmp_path / "halves.png")
    run(*options(shoes, out, **{"--instances": tmp_path / "instances", "--flip": None}))
    command = ("paint", drawn / "index.png", "--model", out, "--out")
    assert "give those of the part maps with --instances" in fails(*command, tmp_path / "a.png")
    run(*command, tmp_path / "a.png", "--instances", tmp_path / "halves.png")
    run("paint", drawn, "--model", out, "--out", tmp_path / "b", "--instances", drawn)
    assert (read_image(tmp_path / "a.png") != read_image(tmp_path / "b" / "index.png")).any()
    line = fails(*command, tmp_path / "c.png", "--instances", tmp_path)
    assert "cannot read" in line
    assert "index.png: No such file" in line


def test_paint_says_what_is_wrong(tiny_run, photos, drawn, tmp_path):
    one, out = drawn / "index.png", tmp_path / "out.png"

    def refuses(*arguments, to=out):
        line = fails("paint", *arguments, "--model", tiny_run, "--out", to)
        assert not to.exists() or to.is_dir() or to == one
        return line

    seed_and_style = ("--style", photos / "shoe1.jpg", "--style-seed", 1)
    assert "give one of them" in refuses(one, *seed_and_style)
    assert "nothing at" in refuses(tmp_path / "nothing.png")
    assert "cannot read" in refuses(one, "--style", tmp_path / "nothing.jpg")
    write_image(tmp_path / "sky.png", np.full((40, 40, 3), 230, np.uint8))
    assert "sky.png: no shoe is found in it" in refuses(one, "--style", tmp_path / "sky.png")
    assert "--style-seed: got -1" in refuses(one, "--style-seed", -1)
    assert "several part maps need a folder" in refuses(drawn)
    assert "would overwrite" in refuses(one, to=one)
    assert "would overwrite" in refuses(drawn, to=drawn)
    (tmp_path / "numbers").mkdir()
    assert "would overwrite" in refuses(
        one, "--instances", tmp_path / "numbers", to=tmp_path / "numbers" / one.name
    )
    assert "got the suffix '.xyz'" in refuses(one, to=tmp_path / "out.xyz")
    assert "no painter at" in fails("paint", one, "--model", tmp_path / "x", "--out", out)
    assert "a mask of colours is an 8-bit RGB PNG, got JPEG RGB" in refuses(photos / "shoe1.jpg")

    Image.fromarray(np.full((32, 32), 8, np.uint8)).save(drawn / "value.png")
    assert "value.png: value 8 at 1024 pixels is no class" in refuses(drawn / "value.png")
    write_image(drawn / "strange.png", np.full((32, 32, 3), 8, np.uint8))
    assert "strange.png: colour (8, 8, 8) at 1024 pixels is no class" in refuses(drawn / "strange.png")
    write_part_map(drawn / "wide.png", np.zeros((32, 64), np.uint8), SHOE_PARTS)
    assert "wide.png: the part map is 64x32 (width x height), the model paints 32x32" in refuses(
        drawn / "wide.png"
    )


def test_a_folder_is_painted_whole_or_not_at_all(tiny_run, drawn, tmp_path):
    Image.fromarray(np.full((32, 32), 8, np.uint8)).save(drawn / "value.png")
    (drawn / "empty.png").write_bytes(b"")
    command = ("paint", drawn, "--model", tiny_run, "--out", tmp_path / "out")
    line = fails(*command)
    assert "2 of 4 part maps cannot be painted" in line
    assert "value.png: value 8" in line
    assert not (tmp_path / "out").exists()
    text = run(*command, "--skip-bad")
    assert "2 of 4 part maps left out" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index.png", "colour.png"}


def test_the_maps_of_a_data_set_are_painted_not_its_pictures(tiny_run, drawn, tmp_path):
    data = tmp_path / "data"
    write_image(data / "images" / "1.png", np.full((32, 32, 3), 8, np.uint8))
    shutil.copytree(drawn, data / "masks")
    run("paint", data, "--model", tiny_run, "--out", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index.png", "colour.png"}


def test_a_run_goes_on_after_it_was_moved(tiny_run, shoes, tmp_path):
    out, data = shutil.copytree(tiny_run, tmp_path / "moved"), shutil.copy(shoes, tmp_path / "data.zip")
    run("train-spade", "--resume", "--data", data, "--out", out)
    assert json.loads((out / "config.json").read_text())["data"] == str(data)
