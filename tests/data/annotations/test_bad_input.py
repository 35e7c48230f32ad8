"""Files that cannot be used: one clear line each."""

import base64
import json
import zipfile

import numpy as np
import pytest

from shoegen.data.annotations import read_annotations, reading
from shoegen.data.images import encode_png
from shoegen.errors import ConfigError, DataError

from ..packs import as_folder, as_zip, picture
from .making import SIZE, coco, labelbox, outline, photos, save, via

TRIANGLE = outline((1, 1), (5, 1), (5, 5))


def refused(path, **more) -> str:
    with pytest.raises(DataError) as caught:
        read_annotations(path, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("hello", "is of no known format; expected VIA, COCO"),
        ("<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol 'lol'>]>", "is XML or HTML, which is not read"),
        ("{", "is not JSON"),
        ('{"images": [], "annotations": [', "is not JSON"),
        ("[" * 100_000, "nested too deep"),
        (
            f'{{"images": {"[" * 60 + "]" * 60}, "annotations": []}}',
            "nested too deep; expected at most 50 levels",
        ),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ('{"images": [NaN], "annotations": []}', "has the number NaN"),
        (f'{{"a": {"9" * 5000}}}', "is not JSON"),
        ("[1, 2]", "is JSON of no known format (a list)"),
        ('{"shapes": []}', "is JSON of no known format (shapes)"),
        ('{"images": {}, "annotations": []}', "images is {}, expected a list"),
        ('{"images": [], "annotations": []}', "categories is missing, expected a list"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            "the category 1, 'b', is listed twice",
        ),
        (json.dumps(coco() | via(TRIANGLE)), "mixes COCO and VIA"),
        (json.dumps(via(TRIANGLE) | via(TRIANGLE, name="b.png", as_first=True)), "mixes VIA 1"),
        (
            json.dumps(via(TRIANGLE, attributes={"b": "1", "a": "2"})),
            "which region attribute is the class? got a, b",
        ),
    ],
)
def test_files(tmp_path, content, message):
    assert message in refused(save(tmp_path / "x.json", content))


def test_not_there(tmp_path):
    assert "does not exist" in refused(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="format: got 'voc'"):
        read_annotations(tmp_path, format="voc")
    with pytest.raises(ConfigError, match="points: got 'x'"):
        read_annotations(tmp_path, points="x")
    path = save(tmp_path / "c.json", coco())
    assert "is of the format coco, got via" in refused(path, format="via")


def test_limits(tmp_path, monkeypatch):
    path = save(tmp_path / "c.json", coco())
    monkeypatch.setattr(reading, "MAX_VALUES", 10)
    assert "has more than 10 values" in refused(path)
    monkeypatch.setattr("shoegen.data.annotations.formats.MAX_BYTES", 10)
    assert "expected at most 10, split it" in refused(path)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"segmentation": [[1, 1, 5, 5]]}, "annotation 1: a polygon has 2 points, expected at least 3"),
        ({"segmentation": [[1, 1, 5, 5, 25, 3]]}, "points of a polygon are outside the picture of 20x24"),
        ({"segmentation": [[1, 1, 1, 1, 1, 1]]}, "it covers no pixel"),
        ({"segmentation": []}, "its segmentation is empty"),
        ({"segmentation": None}, "it has no segmentation"),
        (
            {"segmentation": {"size": [24, 20], "counts": [481]}},
            "run-lengths cover 481 pixels, its 20x24 have 480",
        ),
        ({"segmentation": {"size": [24, 20], "counts": [500, -20]}}, "run-lengths cover negative numbers"),
        ({"segmentation": {"size": [24, 20], "counts": [10**30]}}, "no list of whole numbers"),
        ({"segmentation": {"size": [24, 20], "counts": "zzzzzzzzzz"}}, "no COCO counts"),
        ({"segmentation": {"size": [24, 20], "counts": "P"}}, "end in the middle"),
        ({"segmentation": {"size": [20, 24], "counts": [480]}}, "its mask is 24x20, the picture 20x24"),
        ({"segmentation": {"size": "big", "counts": [480]}}, "expected [height, width]"),
        ({"category_id": 7}, "category_id is 7, which categories lacks; expected one of 1"),
        ({"image_id": 9}, "annotation 1 is of image 9, which is not listed"),
    ],
)
def test_coco_items(tmp_path, item, message):
    assert message in refused(save(tmp_path / "c.json", coco(items=[item])))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            [{"id": 1, "file_name": "a.png", "height": 240, "width": 20}],
            "annotated at 20x240, the picture is 20x24",
        ),
        ([{"id": 1, "file_name": "z.png"}], "there is no such picture in"),
        ([{"id": 1, "file_name": "../a.png"}], "leads out of its folder"),
        ([{"id": 1, "file_name": "/etc/a.png"}], "leads out of its folder"),
        ([{"id": 1, "file_name": 5}], "the image's name is 5"),
        (
            [{"id": 1, "file_name": "a.png", "height": 10**6, "width": 10**6}],
            "expected at most 100000000 pixels",
        ),
        ([{"id": 1, "file_name": "a.png", "height": "24", "width": 20}], "its size is given as 20x'24'"),
        ([{"file_name": "a.png"}], "is no image with an id"),
        ([{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}], "the image id 1 is used twice"),
        ([{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}], "the image is listed twice"),
    ],
)
def test_coco_images(tmp_path, images, message):
    path = save(tmp_path / "c.json", coco(images=images))
    assert message in refused(path, images=photos(tmp_path))


def test_annotation_ids(tmp_path):
    assert "the annotation id 1 is used twice" in refused(save(tmp_path / "c.json", coco(items=[{}, {}])))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"name": "point", "cx": 1, "cy": 2}, "region 0: it is a point, which has no area"),
        ({"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]}, "a polygon has 3 x and 2 y"),
        (
            {"name": "polygon", "all_points_x": 3, "all_points_y": [1, 2]},
            "all_points_x is 3, expected a list",
        ),
        ({"name": "rect", "x": 1, "y": 1, "width": None, "height": 2}, "expected numbers"),
        ({"name": "rect", "x": 15, "y": 1, "width": 15, "height": 2}, "outside the picture"),
        ({"name": "circle", "cx": 1, "cy": 1, "r": 1e300}, "expected numbers"),
        ({"name": "ellipse", "cx": 1, "cy": 1, "rx": 0, "ry": 0}, "it covers no pixel"),
        (None, "shape_attributes is missing"),
    ],
)
def test_via_shapes(tmp_path, shape, message):
    path = save(tmp_path / "v.json", via(shape))
    assert message in refused(path, images=photos(tmp_path))


def test_via_without_class(tmp_path):
    value = via(TRIANGLE, TRIANGLE)
    value["a.png1"]["regions"][1]["region_attributes"] = {"class_name": " "}
    assert "a.png: region 1: it has no class_name; give it a class" in refused(
        save(tmp_path / "v.json", value)
    )


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"mask": {"url": "https://example.com/m.png"}},
            "at https://example.com/m.png, and nothing is downloaded",
        ),
        ({"mask": {"png": "!!!"}}, "its mask cannot be read"),
        ({"mask": {"png": base64.b64encode(b"no").decode()}}, "not a picture"),
        (
            {"mask": {"png": base64.b64encode(encode_png(np.full((5, 5), 255, np.uint8))).decode()}},
            "its mask is 5x5, the picture 20x24",
        ),
        ({"polygon": [{"x": 1}, {"x": 2, "y": 2}, {"x": 2, "y": 5}]}, "not finite, or far from any picture"),
        ({"line": []}, "it is of the kind unknown"),
        ({"name": None, "polygon": []}, "neither name nor value"),
        ({"bounding_box": {"left": 1}}, "its bounding box is"),
    ],
)
def test_labelbox_objects(tmp_path, item, message):
    row = labelbox({"name": "shoe"} | item)
    assert message in refused(save(tmp_path / "l.ndjson", json.dumps(row)))


def test_labelbox_lines(tmp_path):
    good = json.dumps(labelbox())
    path = save(tmp_path / "l.ndjson", f"{good}\n{{broken\n[1]\n")
    assert "2 errors: line 2 is not JSON" in refused(path).replace(f"{path}: ", "")
    assert len(read_annotations(path, skip_bad=True).images) == 1
    path = save(tmp_path / "p.ndjson", json.dumps(labelbox() | {"points": [1]}))
    assert len(read_annotations(path).images) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "a.png,1 481,24,20,0",
            "row 2: the run of 481 from 1 leaves the picture, whose 20x24 pixels are 1 to 480",
        ),
        ("a.png,1 2,24,20,7", "ClassId 7 is not in the labels file, which has 0 to 1"),
        ("a.png,1 2,24,20,shoe", "ClassId is 'shoe', expected a whole number"),
        ("a.png,1 2,24,20", "row 2 has not as many cells as the head"),
        ("a.png,1 2,24,20,0\na.png,1 2,20,24,0", "its rows give 2 sizes"),
        ("a.png,1 2,1e9,20,0", "its size is given as 20x1e9"),
        ("a.png,1 2,,,0", "neither the row nor a picture gives its size"),
    ],
)
def test_imaterialist_rows(tmp_path, row, message):
    path = save(tmp_path / "i.csv", f"ImageId,EncodedPixels,Height,Width,ClassId\n{row}\n")
    assert message in refused(path, labels=save(tmp_path / "labels.json", ["boot", "shoe"]))


class TestMasks:
    labels = json.dumps(
        [{"name": "none", "color": [0, 0, 0]}, {"name": "shoe", "color": [255, 0, 0]}]
    ).encode()

    def test_value_that_is_no_class(self, tmp_path):
        mask = np.zeros(SIZE, np.uint8)
        mask[:2, :2] = 9
        path = as_zip(tmp_path, {"masks/a.png": encode_png(mask), "labels.json": self.labels})
        assert "masks/a.png: value 9 at 4 pixels is no class" in refused(path)

    def test_color_that_is_no_class(self, tmp_path):
        mask = np.zeros((*SIZE, 3), np.uint8)
        mask[0, 0], mask[1, :3] = (255, 0, 0), (1, 2, 3)
        path = as_folder(tmp_path, {"a.png": encode_png(mask), "labels.json": self.labels})
        assert "colour (1, 2, 3) at 3 pixels is no class" in refused(path)
        labels = save(tmp_path / "l.json", [{"name": name, "color": [0, 0, 0]} for name in "ab"])
        assert "two classes of the labels file have one colour" in refused(path, labels=labels)

    def test_mixed(self, tmp_path):
        flat = np.zeros(SIZE, np.uint8)
        files = {"a.png": encode_png(flat), "b.png": encode_png(picture(0)), "labels.json": self.labels}
        assert "b.png: b.png: a part map is an 8-bit PNG of class indices" in refused(as_zip(tmp_path, files))

    def test_another_size_than_the_picture(self, tmp_path):
        files = {"a.png": encode_png(np.zeros((5, 5), np.uint8)), "labels.json": self.labels}
        assert "a.png: annotated at 5x5, the picture is 20x24" in refused(
            as_folder(tmp_path, files), images=photos(tmp_path)
        )

    def test_no_masks(self, tmp_path):
        assert "holds no annotations that are known" in refused(photos(tmp_path))
        path = as_folder(tmp_path, {"a.png": encode_png(np.zeros(SIZE, np.uint8))})
        assert "has no labels.json" in refused(path)

    def test_opaque_cut_out(self, tmp_path):
        rgba = np.zeros((*SIZE, 4), np.uint8)
        files = {"a.png": encode_png(rgba), "b.png": encode_png(picture(0))}
        assert "b.png: a cut-out has transparency, got PNG RGB" in refused(as_zip(tmp_path, files))

    def test_zip_that_climbs(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
            archive.writestr("../../a.png", encode_png(np.zeros(SIZE, np.uint8)))
            archive.writestr("labels.json", self.labels)
        assert "leads out of its folder" in refused(tmp_path / "m.zip")


def test_label_that_the_labels_file_lacks(tmp_path):
    path = save(tmp_path / "c.json", coco(items=[{}, {"id": 2}]))
    labels = save(tmp_path / "labels.json", ["background", "boot"])
    assert f"{path}: 2 instances are 'shoe', which the labels file lacks; it has background, boot" in refused(
        path, labels=labels
    )


def test_skip_bad_leaves_out_the_whole_picture(tmp_path):
    images = [
        {"id": index, "file_name": f"{name}.png", "height": 24, "width": 20}
        for index, name in enumerate("abc")
    ]
    items = [
        {"id": 1, "image_id": 0},
        {"id": 2, "image_id": 1},
        {"id": 3, "image_id": 1, "segmentation": [[1, 2]]},
    ]
    path = save(tmp_path / "c.json", coco(images, items))
    assert "(--skip-bad leaves out such pictures)" in refused(path)
    read = read_annotations(path, skip_bad=True)
    assert [image.name for image in read.images] == ["a.png", "c.png"]
    assert "left out: 1 images with errors" in read.notes
    alone = save(tmp_path / "one.json", coco(images[1:2], items[1:]))
    assert "a polygon has 1 points" in refused(alone, skip_bad=True)


def test_many_errors_are_one_line(tmp_path):
    items = [{"id": index, "segmentation": [[1, 2]]} for index in range(5)]
    message = refused(save(tmp_path / "c.json", coco(items=items)))
    assert "5 errors: a.png: annotation 0:" in message
    assert "and 2 more, which shoegen inspect lists" in message


def test_damaged_picture(tmp_path):
    path = as_zip(tmp_path, {"a.png": b"no picture"})
    assert "the picture cannot be read: not a picture" in refused(
        save(tmp_path / "c.json", coco()), images=path
    )


JUNK = [
    None,
    True,
    -1,
    0.5,
    1e308,
    10**40,
    "",
    "x",
    "data:,",
    [],
    [[]],
    {},
    {"a": {}},
    [None],
    [[1, "a"]],
    [{}],
]


def places(value, path=()):
    """The path to every value inside."""
    yield path
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*path, key))


def replaced(value, path, junk):
    if not path:
        return junk
    copy = value.copy()
    copy[path[0]] = replaced(copy[path[0]], path[1:], junk)
    return copy


VALID = {
    "coco": coco(
        items=[{"bbox": [2, 3, 10, 6], "score": 1, "attributes": {}, "iscrowd": 0}], info={"points": "plane"}
    ),
    "rle": coco(items=[{"segmentation": {"size": list(SIZE), "counts": [480]}}]),
    "via": via(TRIANGLE, {"name": "ellipse", "cx": 9, "cy": 9, "rx": 3, "ry": 2, "theta": 1}),
    "project": {
        "_via_img_metadata": via(TRIANGLE),
        "_via_attributes": {"region": {"class_name": {"options": {}}}},
    },
    "labelbox": labelbox(
        {"name": "shoe", "polygon": [{"x": 1, "y": 2}]}, {"name": "x", "mask": {"png": "aGk="}}
    ),
}


@pytest.mark.parametrize("kind", VALID)
def test_junk_anywhere_is_one_line(tmp_path, kind):
    """Every value in turn replaced by each kind of junk: read, or refused in one line; never another error."""
    pictures = photos(tmp_path)
    refusals = []
    for path in places(VALID[kind]):
        for junk in JUNK:
            file = save(tmp_path / "x.json", json.dumps(replaced(VALID[kind], path, junk)))
            try:
                read_annotations(file, images=pictures)
            except DataError as error:
                refusals.append(str(error))
    assert refusals
    assert not any("\n" in refusal for refusal in refusals)
