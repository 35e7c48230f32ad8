"""`shoegen prepare`, as a user calls it."""

import json
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.datasets import ImageDataset
from shoegen.data.images import encode_png

from ..data.packs import as_folder, as_zip, labelled, picture, pictures, shoes


def run(*arguments, expect=0) -> str:
    result = CliRunner().invoke(main, ["prepare", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    return result.output


def test_whole(tmp_path):
    files = pictures(4) | {"grey.png": encode_png(picture(0)[..., 0]), "bad.png": b"x", "list.txt": b""}
    source, out, report = as_folder(tmp_path, files), tmp_path / "out.zip", tmp_path / "report.json"
    text = run(
        source, "--out", out, "--resolution", "8x12", "--fit", "crop", "--skip-bad", "--report", report
    )
    assert "greyscale, expanded to RGB: 1" in text
    assert "cut to the shape of 8x12: 5" in text
    assert "left out: bad.png: not a picture" in text
    assert "note: other files, left behind: 1, such as list.txt" in text
    assert text.endswith(f"{out}: 5 of 6 pictures at 8x12\n")
    ds = ImageDataset(out)
    assert ds.image_shape == (3, 12, 8)
    assert ds.notes == []
    assert json.loads(report.read_text())["written"] == 5


def test_every_option_has_its_effect(tmp_path):
    labels = [[f"{index:02d}.png", index % 2] for index in range(6)]
    files = pictures(6) | {"dataset.json": labelled(labels), "twin.png": encode_png(picture(1))}
    files["dataset.json"] = labelled([*labels, ["twin.png", 1]], ["boot", "sandal"])
    source, plain = as_zip(tmp_path, files), tmp_path / "plain.zip"
    text = run(source, "--out", plain)
    assert "2 classes: boot 3, sandal 4" in text
    contents = {plain.read_bytes()}
    for number, options in enumerate(
        [
            ["--resolution", "8"],
            ["--resolution", "10"],
            ["--resolution", "10", "--filter", "box"],
            ["--resolution", "10x12", "--fit", "pad"],
            ["--resolution", "10x12", "--fit", "crop"],
            ["--channels", "1"],
            ["--channels", "4"],
            ["--classes", "none"],
            ["--format", "jpeg"],
            ["--format", "webp"],
            ["--duplicates", "drop"],
            ["--subset", "3"],
            ["--subset", "3", "--seed", "1"],
        ],
        start=1,
    ):
        out = tmp_path / f"{number}.zip"
        run(source, "--out", out, *options)
        contents.add(out.read_bytes())
        assert len(contents) == number + 1, options


def test_part_maps(tmp_path):
    out = tmp_path / "out.zip"
    assert "3 part maps" in run(as_zip(tmp_path, shoes(3)), "--out", out, "--resolution", 8)
    assert ImageDataset(out, part_maps=True).part_map(2).shape == (8, 8)


def test_bad_pictures(tmp_path):
    source, out, report = (
        as_zip(tmp_path, pictures(2) | {"bad.png": b""}),
        tmp_path / "o.zip",
        tmp_path / "r.csv",
    )
    text = run(source, "--out", out, "--report", report, expect=1)
    assert text.startswith(
        f"error: 1 of 3 pictures in {source} cannot be used: bad.png: the file is empty; nothing"
    )
    assert text.count("\n") == 1
    assert not out.exists()
    assert report.read_text() == "file,problems,action,width,height,mode\nbad.png,the file is empty,bad,,,\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resolution", "big"], "error: --resolution: got 'big', expected one side such as 256"),
        (["--resolution", "0x8"], "error: --resolution: got '0x8'"),
        (["--subset", "9"], "error: subset: got 9 (seed 0), expected 1 to 2 pictures"),
        (
            ["--classes", "nonesuch"],
            "error: classes: got 'nonesuch', expected auto, none, folders, or a JSON file",
        ),
        (["--classes", "folders"], "error: {source}: 2 of 2 pictures are in no folder"),
        (["--channels", "4", "--format", "jpeg"], "error: format: JPEG has no transparency"),
        (["--report", "r.txt"], "error: cannot write a report to r.txt"),
        (["--resolution", "32x16"], "error: 2 of 2 pictures"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    source, out = as_zip(tmp_path, pictures(2)), tmp_path / "out.zip"
    text = run(source, "--out", out, *options, expect=1)
    assert text.startswith(message.format(source=source))
    assert text.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["shoes.zip"]


@pytest.mark.parametrize("options", [["--fit", "stretch"], ["--channels", "2"], ["--subset", "0"], []])
def test_usage(tmp_path, options):
    given = ["--out", tmp_path / "out.zip", *options] if options else []
    assert "Usage:" in run(as_zip(tmp_path, pictures(1)), *given, expect=2)


def test_bombs_and_missing(tmp_path):
    bomb = as_zip(tmp_path, {"bomb.png": bytes(40 * 2**20)})
    assert "this may be a bomb" in run(bomb, "--out", tmp_path / "out.zip", expect=1)
    assert "does not exist" in run(tmp_path / "none", "--out", tmp_path / "out.zip", expect=1)
    bomb.write_bytes(b"PK")
    assert "is not a zip file" in run(bomb, "--out", tmp_path / "out.zip", expect=1)


def test_the_result_is_prepared_to_itself(tmp_path):
    first, second = tmp_path / "1.zip", tmp_path / "2.zip"
    run(as_zip(tmp_path, shoes(3)), "--out", first, "--resolution", 8)
    run(first, "--out", second)
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as two:
        assert one.namelist() == two.namelist()
        np.testing.assert_array_equal(ImageDataset(first)[2], ImageDataset(second)[2])
