"""`shoegen inspect`, as a user calls it."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.images import encode_png, read_image

from ..data.annotations.making import coco, photos, save
from ..data.packs import as_folder, as_zip, labelled, picture, pictures, shoes


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, ["inspect", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    return result


def test_tables(tmp_path):
    content = labelled([[f"{index:02d}.png", index % 2] for index in range(3)] + [["g.png", 1]])
    files = pictures(3) | {"g.png": encode_png(picture(9, 20, 30)[..., 0]), "dataset.json": content}
    path = as_zip(tmp_path, files)
    before = path.stat().st_mtime_ns, path.read_bytes()
    text = run(path).stdout
    assert text.startswith(f"{path}: 4 pictures\nsmallest 16x16, largest 30x20 (width x height)\n")
    assert "width / height: 1.00 to 1.50, median 1.00\n" in text
    assert "sizes:\n        3  16x16\n        1  30x20\n" in text
    assert "stored as:\n        3  PNG RGB\n        1  PNG greyscale\n" in text
    assert "to be converted:\n        1  greyscale, expanded to RGB\n" in text
    assert "classes:\n        2  0\n        2  1\n" in text
    assert "→ pictures of several shapes: --resolution 16 with --fit pad" in text
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert [file.name for file in tmp_path.iterdir()] == ["shoes.zip"]


def test_many_sizes_are_summed_up(tmp_path):
    files = {f"{side}.png": encode_png(picture(side, side, side)) for side in range(8, 20)}
    text = run(as_folder(tmp_path, files)).stdout
    assert "        4  in 4 others\n" in text


def test_unreadable(tmp_path):
    files = pictures(2) | {"twin.png": encode_png(picture(0)), **{f"bad{i}.png": b"" for i in range(10)}}
    report = tmp_path / "report.csv"
    text = run(as_zip(tmp_path, files), "--report", report, expect=1).stdout
    assert "bad: bad0.png: the file is empty\n" in text
    assert "bad: 2 more, see --report\n" in text
    assert "same pixels: 00.png = twin.png\n" in text
    assert len(report.read_text().splitlines()) == 12
    assert "bad9.png,the file is empty,bad,,,\n" in report.read_text()


def test_part_maps(tmp_path):
    text = run(as_zip(tmp_path, shoes(2))).stdout
    assert "part maps: 2 in order, 7 classes\n" in text
    assert len([line for line in text.splitlines() if line.startswith("   ") and "%  " in line]) == 7
    files = shoes(2) | {"masks/01.png": b""}
    assert (
        "bad: images/01.png: masks/01.png: the file is empty" in run(as_zip(tmp_path, files), expect=1).stdout
    )


def test_json(tmp_path):
    path, sheet, report = as_zip(tmp_path, shoes(2)), tmp_path / "sheet.png", tmp_path / "r.json"
    result = run(path, "--json", "--out", sheet, "--report", report)
    printed = json.loads(result.stdout)
    assert printed["pictures"] == printed["part_maps"] == 2
    assert printed["sizes"] == {"16x16": 2}
    assert json.loads(report.read_text()) == {**printed, "offenders": []}


def test_sheet(tmp_path):
    path, sheet = as_zip(tmp_path, pictures(60)), tmp_path / "sheet.png"
    assert f"sheet: {sheet}\n" in run(path, "--out", sheet).stdout
    first = read_image(sheet)
    assert first.shape == (6 * 130 - 2, 8 * 130 - 2, 3)
    run(path, "--out", sheet, "--seed", 1)
    assert (read_image(sheet) != first).any()


def test_no_sheet_of_nothing(tmp_path):
    run(as_zip(tmp_path, {"a.png": b""}), "--out", tmp_path / "sheet.png", expect=1)
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--report", "r.txt"], "expected the suffix .json or .csv"),
        (["--out", "sheet.gif"], "expected .png"),
        (["--classes", "nonesuch"], "expected auto, none, folders, or a JSON file that exists"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    result = run(as_zip(tmp_path, pictures(1)), *options, expect=1)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_nothing_there(tmp_path):
    assert "does not exist" in run(tmp_path / "none", expect=1).stderr
    assert "holds no pictures among 0 files" in run(as_folder(tmp_path, {}), expect=1).stderr


def test_names_that_are_no_text(tmp_path):
    folder = as_folder(tmp_path, {"a.png": b""})
    (folder / b"\xff.png".decode(errors="surrogateescape")).write_bytes(b"")
    report = tmp_path / "r.csv"
    assert "bad: " in run(folder, "--report", report, expect=1).stdout
    assert len(report.read_text().splitlines()) == 3


class TestAnnotations:
    def test_in_order(self, tmp_path):
        sheet = tmp_path / "sheet.png"
        path = save(tmp_path / "c.json", coco(items=[{"bbox": [2, 3, 10, 6]}]))
        text = run(path, "--images", photos(tmp_path, 1), "--out", sheet).stdout
        assert text.startswith(f"{path}: coco, 1 images\ninstances:\n        1  shoe\nnote: polygon points")
        assert f"0 errors, 0 warnings\nsheet: {sheet}\n" in text
        assert read_image(sheet).shape[1] == 256

    def test_findings(self, tmp_path):
        report = tmp_path / "r.csv"
        items = [{"id": index, "segmentation": [[1, 1]]} for index in range(8)]
        path = save(tmp_path / "c.json", coco(items=items))
        text = run(path, "--images", photos(tmp_path, 9), "--report", report, expect=1).stdout
        assert "error: c.json: a.png: annotation 0: a polygon has 1 points, expected at least 3; draw" in text
        assert "warning: c.json: b.png: the picture is not annotated; annotate it" in text
        assert "3 more, see --report: the picture is not annotated" in text
        assert "8 errors, 10 warnings" in text
        with report.open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 18
        assert rows[0] | {"what": ""} == {
            "severity": "error",
            "file": "c.json",
            "image": "a.png",
            "what": "",
            "mend": "draw it again or delete it",
        }

    def test_json(self, tmp_path):
        path, report = save(tmp_path / "c.json", coco()), tmp_path / "r.json"
        printed = json.loads(run(path, "--json", "--report", report).stdout)
        assert printed["instances"] == {"shoe": 1}
        assert json.loads(report.read_text()) == {**printed, "findings": []}

    def test_masks(self, tmp_path):
        mask = np.zeros((24, 20), np.uint8)
        mask[:12] = 1
        files = {"a.png": encode_png(mask), "labels.json": b'["background", "shoe"]'}
        text = run(as_folder(tmp_path, files), "--images", photos(tmp_path, 1)).stdout
        assert "index-png, 1 images\npart maps: 1\n   50.00%  background\n   50.00%  shoe\n" in text

    def test_shared_pictures(self, tmp_path):
        train, test = (save(tmp_path / f"{name}.json", coco()) for name in ("train", "test"))
        assert f"a.png: it is in {test} too" in run(train, "--against", test, expect=1).stdout

    @pytest.mark.parametrize(
        ("content", "options", "message"),
        [
            ("{", [], "is not JSON"),
            (coco(), ["--classes", "folders"], "--classes is for data sets of pictures"),
            (coco(), ["--images", "nowhere"], "nowhere does not exist"),
            (coco(), ["--out", "sheet.png"], "give them with --images"),
        ],
    )
    def test_one_line(self, tmp_path, monkeypatch, content, options, message):
        monkeypatch.chdir(tmp_path)
        result = run(save(tmp_path / "c.json", content), *options, expect=1)
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


def test_what_is_inspected_is_not_overwritten(tmp_path):
    source = tmp_path / "via.json"
    source.write_text("{}")
    for option in ("--report", "--out"):
        result = CliRunner().invoke(main, ["inspect", str(source), option, str(source)])
        assert result.exit_code == 1
        assert f"{option} {source} would overwrite what was given" in result.output
    assert source.read_text() == "{}"
