"""What is said of annotations, and the sheet that shows them."""

import json

import numpy as np
import pytest

from shoegen.data.annotations import (
    lint,
    overlay,
    overlay_sheet,
    read_annotations,
    shared_pictures,
    write_annotations,
)
from shoegen.data.images import encode_png
from shoegen.errors import DataError

from ..packs import as_zip, picture
from .making import blob, coco, labelbox, of_masks, outline, photos, save, via


def said(found) -> list[tuple]:
    return [(each.severity, each.image, each.what) for each in found.findings]


def test_in_order(tmp_path):
    path = save(tmp_path / "c.json", coco())
    found = lint(path, images=photos(tmp_path, 1))
    assert (found.images, found.instances, found.findings, found.errors) == (1, {"shoe": 1}, [], 0)
    json.dumps(found.to_json(), allow_nan=False)


def test_everything_at_once(tmp_path):
    pictures = as_zip(
        tmp_path,
        {f"{name}.png": encode_png(picture(index, 24, 20)) for name, index in zip("abcd", [0, 1, 1, 3])},
    )
    images = [{"id": index, "file_name": f"{name}.png"} for index, name in enumerate("abcx")]
    items = [
        {"id": 1, "image_id": 0},
        {"id": 2, "image_id": 0},
        {"id": 3, "image_id": 0, "segmentation": [[1, 1, 2, 1, 2, 3, 1, 3]]},
        {"id": 4, "image_id": 1, "bbox": [15, 15, 3, 3]},
        {"id": 5, "image_id": 1, "segmentation": [[1, 1]]},
    ]
    value = coco(images, items, categories=[{"id": 1, "name": "shoe"}, {"id": 2, "name": "boot"}])
    found = lint(save(tmp_path / "c.json", value), images=pictures)
    assert said(found) == [
        ("error", "b.png", "annotation 5: a polygon has 1 points, expected at least 3"),
        ("error", "x.png", f"there is no such picture in {pictures}"),
        ("warning", "b.png", "annotation 4: its bbox is not its polygon's, [2, 3, 10, 6]"),
        ("warning", "a.png", "instance 2 is the same as instance 1"),
        ("warning", "a.png", "instance 3 covers 2 pixels"),
        ("warning", "c.png", "nothing is annotated in it"),
        ("warning", None, "1 of 2 classes are not used: boot"),
        ("warning", "d.png", "the picture is not annotated"),
        ("warning", "c.png", "the same picture as b.png"),
    ]
    assert all(finding.mend for finding in found.findings)
    assert str(found.findings[0]) == (
        "c.json: b.png: annotation 5: a polygon has 1 points, expected at least 3; draw it again or delete it"
    )


def test_without_pictures(tmp_path):
    found = lint(save(tmp_path / "v.json", via(outline((1, 1), (50, 1), (50, 50)))))
    assert "the pictures' sizes are unknown" in found.findings[0].what


def test_several_labels_for_a_picture(tmp_path):
    row = labelbox()
    row["projects"]["p"]["labels"] *= 2
    found = lint(save(tmp_path / "l.ndjson", json.dumps(row)))
    assert ("warning", "a.png", "it has 2 labels, the first is taken") in said(found)


def test_part_maps(tmp_path):
    path = tmp_path / "m.zip"
    write_annotations(of_masks([[blob(1)], [np.zeros((24, 20), bool)]]), path, format="index-png")
    found = lint(path)
    assert found.part_maps == 2
    assert found.pixels["boot"] == pytest.approx(blob(1).sum() / (2 * 24 * 20))
    assert ("warning", "b.png", "its part map is background alone") in said(found)
    assert ("warning", None, "1 of 2 classes are not used: shoe") in said(found)


def test_label_that_the_labels_file_lacks(tmp_path):
    labels = save(tmp_path / "labels.json", ["background", "boot"])
    found = lint(save(tmp_path / "c.json", coco()), labels=labels)
    assert found.errors == 1
    assert "1 instances are 'shoe', which the labels file lacks" in found.findings[0].what


class TestSplits:
    def test_by_name(self, tmp_path):
        train, test = (save(tmp_path / f"{name}.json", coco()) for name in ("train", "test"))
        found = lint(train, against=[str(test)])
        assert said(found) == [("error", "a.png", f"it is in {test} too")]

    def test_by_content(self, tmp_path):
        same = encode_png(picture(0, 24, 20))
        pictures = as_zip(tmp_path, {"a.png": same, "b.png": same, "c.png": encode_png(picture(1, 24, 20))})
        sets = [
            read_annotations(
                save(tmp_path / f"{name}.json", coco([{"id": 1, "file_name": f"{name}.png"}])),
                images=pictures,
            )
            for name in "abc"
        ]
        assert shared_pictures(sets[0], sets[1]) == ["a.png"]
        assert shared_pictures(sets[0], sets[2]) == []


class TestSheet:
    def test_drawn(self, tmp_path):
        pictures = photos(tmp_path, 3)
        read = of_masks([[blob(1), blob(2)], [blob(3)]], pictures)
        sheet = overlay_sheet(read, count=2, side=48)
        assert sheet.shape[1] == 2 * 48 + 6
        plain = overlay_sheet(read.with_classes({"boot": "boot"}), count=2, side=48)
        assert (sheet[:48, :48] != plain[:48, :48]).any()
        assert (sheet[:48, 54:] == plain[:48, 54:]).all()

    def test_without_pictures(self):
        with pytest.raises(DataError, match="give them with --images"):
            overlay_sheet(of_masks([[blob(1)]]))

    def test_tint_and_line(self):
        image = np.full((9, 9, 3), 100, np.uint8)
        part_map = np.zeros((9, 9), np.uint8)
        part_map[2:7, 2:7] = 1
        drawn = overlay(image, part_map, part_map)
        assert (drawn[0, 0] == 100).all()
        assert drawn[2, 2].tolist() == [230, 60, 60]
        assert drawn[4, 4].tolist() == [round(0.55 * 100 + 0.45 * value) for value in (230, 60, 60)]
