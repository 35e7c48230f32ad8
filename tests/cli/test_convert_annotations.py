"""`shoegen convert-annotations`, as a user calls it."""

import json

import pytest
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.annotations import FORMATS, read_annotations
from shoegen.data.datasets import ImageDataset

from ..data.annotations.making import blob, coco, of_masks, outline, photos, save, via


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, ["convert-annotations", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    return result


@pytest.mark.parametrize("to", FORMATS)
def test_every_format(tmp_path, to):
    pictures = photos(tmp_path / "photos", 1)
    source = save(tmp_path / "v.json", via(outline((2, 3), (12, 3), (12, 9))))
    out = tmp_path / f"out{FORMATS[to].suffix or '.zip'}"
    text = run(source, "--images", pictures, "--to", to, "--out", out).stdout
    assert text.endswith(f"instances: shoe 1\n{out}: {to}, all 1 images\n")
    assert len(read_annotations(out, images=pictures).images) == 1


def test_every_format_is_offered():
    from shoegen.cli import convert_annotations

    assert list(FORMATS) == convert_annotations.FORMATS


def test_splits_for_training(tmp_path):
    from shoegen.data.annotations import write_annotations

    pictures = photos(tmp_path / "photos", 10)
    source = tmp_path / "c.json"
    write_annotations(
        of_masks([[blob(seed), blob(seed + 1)] for seed in range(10)], pictures), source, format="coco"
    )
    out = tmp_path / "sets"
    options = [
        "--images",
        pictures,
        "--to",
        "dataset",
        "--classes",
        "shoe,boot=shoe",
        "--split",
        "0.5,0.3,0.2",
    ]
    assert "train 5, val 3, test 2 images" in run(source, *options, "--out", out, "--seed", 3).stdout
    sets = [ImageDataset(out / split, part_maps=True) for split in ("train", "val", "test")]
    names = [name for each in sets for name in each.names]
    assert len(set(names)) == len(names) == 10
    assert {each.labels.names for each in sets} == {("background", "shoe")}
    instances = json.loads((out / "train" / "annotations.json").read_text())
    assert len(instances["annotations"]) == 10
    assert [f"images/{image['file_name']}" for image in instances["images"]] == sets[0].names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "coco", "--out", "x.zip"], "expected a name that ends in .json for coco"),
        (
            ["--to", "index-png", "--out", "x", "--split", "0.5,0.6"],
            "2 or 3 positive shares that add up to 1",
        ),
        (
            ["--to", "index-png", "--out", "x", "--split", "0.7,0.2,0.1"],
            "leaves val and test without a picture",
        ),
        (["--to", "index-png", "--out", "x", "--split", "a"], "--split: got 'a'"),
        (
            ["--to", "dataset", "--out", "x.zip", "--split", "0.5,0.5"],
            "expected a folder, which gets a data set",
        ),
        (["--to", "dataset", "--out", "x"], "needs the picture a.png; give the pictures with --images"),
        (["--to", "via", "--out", "x.json", "--classes", "boot"], "no class 'boot' in"),
        (["--to", "via", "--out", "x.json", "--classes", ","], "expected names and renamings"),
        (["--to", "via", "--out", "x.json", "--labels", "nowhere.json"], "cannot read the labels file"),
        (["--to", "via", "--out", "x.json", "--from", "labelbox"], "is of the format coco, got labelbox"),
    ],
)
def test_one_line(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    result = run(save(tmp_path / "c.json", coco()), *options, expect=1)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


def test_bad_is_refused_or_skipped(tmp_path):
    images = [
        {"id": index, "file_name": f"{name}.png", "height": 24, "width": 20}
        for index, name in enumerate("ab")
    ]
    items = [{"id": 1, "image_id": 0}, {"id": 2, "image_id": 1, "segmentation": [[1, 2]]}]
    source, out = save(tmp_path / "c.json", coco(images, items)), tmp_path / "x.json"
    message = run(source, "--to", "via", "--out", out, expect=1).stderr
    assert "c.json: b.png: annotation 2: a polygon has 1 points" in message
    assert not out.exists()
    text = run(source, "--to", "via", "--out", out, "--skip-bad").stdout
    assert "note: left out: 1 images with errors" in text
    assert [entry["filename"] for entry in json.loads(out.read_text()).values()] == ["a.png"]
