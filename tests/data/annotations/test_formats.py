"""Every format, there and back."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoegen.data.annotations import (
    FORMATS,
    AnnotatedImage,
    Annotations,
    Instance,
    Polygons,
    WriteOptions,
    read_annotations,
    write_annotations,
)
from shoegen.data.datasets import ImageDataset
from shoegen.data.images import encode_png, read_image
from shoegen.data.labels import LabelMap

from ..packs import as_folder, as_zip, picture
from .making import CLASSES, SIZE, blob, coco, labelbox, of_masks, outline, photos, polygon, save, via

INSTANCE_FORMATS = ["coco", "via", "via1", "labelbox", "imaterialist"]


def round_trip(annotations, tmp_path, format, options=None):
    out = tmp_path / f"there{FORMATS[format].suffix or '.zip'}"
    write_annotations(annotations, out, format=format, options=options)
    return read_annotations(out, images=annotations.pictures.path if annotations.pictures else None)


def masks_of(annotations):
    return {
        image.name: [(each.class_name, each.mask(image.size).tolist()) for each in image.instances]
        for image in annotations.images
    }


@pytest.mark.parametrize("format", INSTANCE_FORMATS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seeds=st.lists(st.integers(0, 10**6), min_size=2, max_size=3))
def test_masks_are_exact(tmp_path, format, seeds):
    pictures = photos(tmp_path, len(seeds))
    given = of_masks([[blob(seed), blob(seed + 1)] for seed in seeds], pictures)
    for options in (WriteOptions(), WriteOptions(rle=True)) if format == "coco" else (None,):
        back = round_trip(given, tmp_path, format, options)
        assert back.format == format
        assert back.class_names == CLASSES
        assert masks_of(back) == masks_of(given)


@pytest.mark.parametrize("format", ["coco", "via", "via1", "labelbox"])
@pytest.mark.parametrize("rule", ["plane", "pixels"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    points=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 23)), min_size=3, max_size=8, unique=True),
)
def test_polygons_keep_their_pixels(tmp_path, format, rule, points):
    shape = polygon(*points, rule=rule)
    if not shape.rle(SIZE).area:
        return
    image = AnnotatedImage(
        name="a.png", size=SIZE, instances=(Instance(class_name="shoe", shape=shape),), picture="a.png"
    )
    given = of_masks([], photos(tmp_path)).with_images((image,))
    back = round_trip(given, tmp_path, format)
    assert masks_of(back) == masks_of(given)
    shape_back = back.images[0].instances[0].shape
    if rule == "plane" or format != "coco":  # COCO has no place for outlines of pixels
        assert shape_back.points == rule
        np.testing.assert_array_equal(shape_back.parts[0], shape.parts[0])


@pytest.mark.parametrize("format", ["index-png", "color-png", "dataset"])
def test_part_maps_are_exact(tmp_path, format):
    pictures = photos(tmp_path, 2)
    given = of_masks([[blob(1), blob(2)], [blob(3)]], pictures)
    back = round_trip(given, tmp_path, format)
    assert back.labels == given.labels
    assert back.class_names == CLASSES
    for image, other in zip(given.images, back.images, strict=True):
        assert image.name == other.name
        np.testing.assert_array_equal(image.part_map(given.labels), other.part_map(back.labels))
    again = tmp_path / "again"
    again.mkdir()
    twice = round_trip(back, again, "index-png")
    np.testing.assert_array_equal(twice.images[0].part_map(twice.labels), image_of(given, 0))


def image_of(annotations, index):
    return annotations.images[index].part_map(annotations.labels)


def test_cut_outs(tmp_path):
    pictures = photos(tmp_path, 2)
    given = of_masks([[blob(1), blob(2)], [blob(3)]], pictures)
    write_annotations(given, tmp_path / "cut", format="alpha")
    back = read_annotations(tmp_path / "cut")
    assert (back.format, back.class_names) == ("alpha", ("shoe",))
    np.testing.assert_array_equal(image_of(back, 0), image_of(given, 0) > 0)
    cut = read_image(tmp_path / "cut" / "b.png")
    np.testing.assert_array_equal(cut[blob(3)], picture(1, *SIZE)[blob(3)])
    assert (cut[~blob(3)] == 255).all()


def test_part_maps_become_instances(tmp_path):
    mask = np.zeros(SIZE, np.uint8)
    mask[2:5, 2:5] = mask[5:7, 5:7] = 1  # touch at a corner
    mask[10:12, 10:12] = 1
    mask[20, 19] = 2
    labels = json.dumps(["null", "shoe", "boot"]).encode()
    path = as_zip(tmp_path, {"masks/a.png": encode_png(mask), "labels.json": labels})
    read = read_annotations(path)
    image, labels = read.images[0], read.labels
    assert (image.name, read.format, image.instances) == ("a.png", "index-png", ())
    areas = [(each.class_name, each.rle(SIZE).area) for each in image.split_instances(labels)]
    assert areas == [("shoe", 13), ("shoe", 4), ("boot", 1)]
    assert len(image.split_instances(labels, by="classes")) == 2
    assert len(image.split_instances(labels, min_area=4)) == 2
    write_annotations(
        read, tmp_path / "c.csv", format="imaterialist", options=WriteOptions(instances="classes")
    )
    rows = (tmp_path / "c.csv").read_text().splitlines()
    assert [row.split(",")[0::4] for row in rows[1:]] == [["a.png", "1"], ["a.png", "2"]]
    back = read_annotations(tmp_path / "c.csv")
    np.testing.assert_array_equal(image_of(back, 0), mask)


def test_order_of_instances():
    lower, upper = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    upper[:2] = True
    images = of_masks([[upper, lower]]).images[0].instances
    first = Instance(class_name="boot", shape=images[0].shape, score=0.9)
    second = Instance(class_name="shoe", shape=images[1].shape, score=0.5)
    image = AnnotatedImage(name="a", size=(4, 4), instances=(first, second))
    labels = LabelMap.from_names(("background", *CLASSES))
    assert (image.part_map(labels) == 2).all()
    assert image.part_map(labels, order="score")[:, 0].tolist() == [1, 1, 2, 2]


class TestCoco:
    def read(self, tmp_path, value, **more):
        return read_annotations(save(tmp_path / "c.json", value), **more)

    def test_area_is_pycocotools(self, tmp_path):
        read = self.read(tmp_path, coco())
        assert read.images[0].instances[0].rle(SIZE).area == 60

    def test_boxes_say_what_points_are(self, tmp_path):
        read = self.read(tmp_path, coco(items=[{"bbox": [2, 3, 11, 7]}]))
        assert read.images[0].instances[0].rle(SIZE).area == 77
        assert "1 of 1 boxes" in read.notes[0]
        read = self.read(tmp_path, coco(items=[{"bbox": [2, 3, 10, 6]}]))
        assert read.images[0].instances[0].rle(SIZE).area == 60
        read = self.read(tmp_path, coco(items=[{"bbox": [2, 3, 11, 7]}]), points="plane")
        assert read.images[0].instances[0].rle(SIZE).area == 60

    def test_run_lengths_and_crowds(self, tmp_path):
        counts = [10, 5, SIZE[0] * SIZE[1] - 15]
        item = {"segmentation": {"size": list(SIZE), "counts": counts}, "iscrowd": 1, "score": 0.5}
        value = coco(items=[item], categories=[{"id": 1, "name": "shoe", "supercategory": "footwear"}])
        read = self.read(tmp_path, value)
        instance = read.images[0].instances[0]
        assert (instance.is_crowd, instance.score, instance.rle(SIZE).area) == (True, 0.5, 5)
        assert read.supercategories == {"shoe": "footwear"}
        write_annotations(read, tmp_path / "again.json", format="coco")
        again = json.loads((tmp_path / "again.json").read_text())
        assert again["annotations"][0]["segmentation"]["counts"] == counts
        assert again["annotations"][0]["iscrowd"] == 1
        assert again["categories"][0]["supercategory"] == "footwear"

    @pytest.mark.parametrize("format", ["via", "via1", "labelbox"])
    def test_crowds_and_scores_travel(self, tmp_path, format):
        read = self.read(
            tmp_path, coco(items=[{"iscrowd": 1, "score": 0.25, "attributes": {"color": "red"}}])
        )
        write_annotations(read, tmp_path / f"x{FORMATS[format].suffix}", format=format)
        back = read_annotations(tmp_path / f"x{FORMATS[format].suffix}").images[0].instances[0]
        assert (back.is_crowd, back.score, back.attributes) == (True, 0.25, {"color": "red"})


class TestVia:
    def read(self, tmp_path, value, **more):
        return read_annotations(save(tmp_path / "v.json", value), images=photos(tmp_path), **more)

    def test_shapes(self, tmp_path):
        shapes = [
            outline((2, 3), (12, 3), (12, 9), (2, 9)),
            outline((2, 3), (12, 3), (12, 9), (2, 9)) | {"name": "polyline"},
            {"name": "rect", "x": 2, "y": 3, "width": 10, "height": 6},
            {"name": "circle", "cx": 10, "cy": 12, "r": 5},
            {"name": "ellipse", "cx": 10, "cy": 12, "rx": 6, "ry": 3, "theta": 1.57},
        ]
        instances = self.read(tmp_path, via(*shapes)).images[0].instances
        areas = [each.rle(SIZE).area for each in instances]
        assert areas[:3] == [77, 77, 60]
        assert areas[3:] == pytest.approx([np.pi * 25, np.pi * 18], rel=0.06)

    def test_points_between_pixels(self, tmp_path):
        read = self.read(tmp_path, via(outline((2.25, 3), (12, 3), (12, 9), (2.25, 9))))
        assert read.images[0].instances[0].rle(SIZE).box == (2, 3, 10, 6)
        assert "between pixels" in read.notes[0]

    @pytest.mark.parametrize("as_first", [True, False])
    def test_projects(self, tmp_path, as_first):
        entries = via(outline((1, 1), (5, 1), (5, 5)), as_first=as_first)
        options = {"boot": "", "shoe": ""}
        project = {
            "_via_img_metadata": entries,
            "_via_settings": {},
            "_via_attributes": {"region": {"class_name": {"type": "dropdown", "options": options}}},
        }
        read = self.read(tmp_path, project)
        assert read.class_names == ("boot", "shoe")
        assert read.format == ("via1" if as_first else "via")

    @pytest.mark.parametrize(
        ("attributes", "name"),
        [
            ({"label": "boot", "color": "red"}, "boot"),
            ({"kind": "boot"}, "boot"),
            ({"class": {"boot": True, "shoe": False}}, "boot"),
            ({}, "object"),
        ],
    )
    def test_classes(self, tmp_path, attributes, name):
        triangle = outline((1, 1), (5, 1), (5, 5))
        assert self.read(tmp_path, via(triangle, attributes=attributes)).class_names == (name,)

    def test_sizes_of_files(self, tmp_path):
        read = self.read(tmp_path, via(outline((1, 1), (5, 1), (5, 5))))
        write_annotations(read, tmp_path / "w.json", format="via")
        entry = json.loads((tmp_path / "w.json").read_text())
        size = len(encode_png(picture(0, *SIZE)))
        assert list(entry) == [f"a.png{size}"]
        assert entry[f"a.png{size}"]["size"] == size


class TestLabelbox:
    def test_kinds(self, tmp_path):
        points = [{"x": 2.0, "y": 3.0}, {"x": 12, "y": 3.5}, {"x": 12, "y": 9}]
        rle = {"size": list(SIZE), "counts": [10, 5, SIZE[0] * SIZE[1] - 15]}
        row = labelbox(
            {"name": "shoe", "polygon": points},
            {"value": "boot", "bounding_box": {"left": 2, "top": 3, "width": 10, "height": 6}},
            {"name": "shoe", "mask": rle},
        )
        empty = labelbox(name="b.png")
        path = save(tmp_path / "l.ndjson", f"{json.dumps(row)}\n\n{json.dumps(empty)}\n")
        read = read_annotations(path)
        assert [each.rle(SIZE).area for each in read.images[0].instances[1:]] == [60, 5]
        assert [image.name for image in read.images] == ["a.png", "b.png"]
        assert read.class_names == ("boot", "shoe")


class TestImaterialist:
    def test_names_and_attributes(self, tmp_path):
        head = "ImageId,EncodedPixels,Height,Width,ClassId\n"
        path = save(tmp_path / "i.csv", f"{head}a.png,1 5,24,20,1_3_8\nb.png,1 5,24,20,0\n")
        read = read_annotations(path)
        assert read.class_names == ("class 0", "class 1")
        assert read.images[0].instances[0].attributes == {"AttributesIds": "3,8"}
        assert "--labels" in read.notes[0]
        labels = save(tmp_path / "labels.json", ["boot", "shoe"])
        assert read_annotations(path, labels=labels).class_names == ("boot", "shoe")

    def test_long_rows(self, tmp_path):
        mask = np.indices((400, 400)).sum(axis=0) % 2 == 0
        given = of_masks([[mask]])
        write_annotations(given, tmp_path / "i.csv", format="imaterialist")
        assert (tmp_path / "i.csv").stat().st_size > 300_000
        assert masks_of(read_annotations(tmp_path / "i.csv")) == masks_of(given)


class TestClasses:
    def test_joined_and_dropped(self, tmp_path):
        path = tmp_path / "c.json"
        write_annotations(of_masks([[blob(1), blob(2)], [blob(3)]]), path, format="coco")
        read = read_annotations(path, classes={"shoe": "footwear", "boot": "footwear"})
        assert (read.class_names, read.count_instances()) == (("footwear",), {"footwear": 3})
        assert read_annotations(path, classes={"shoe": "shoe"}).count_instances() == {"shoe": 1}

    def test_of_part_maps(self, tmp_path):
        write_annotations(of_masks([[blob(1), blob(2)]]), tmp_path / "m.zip", format="index-png")
        read, only = (
            read_annotations(tmp_path / "m.zip", classes=classes) for classes in (None, {"shoe": "footwear"})
        )
        assert only.labels.names == ("background", "footwear")
        np.testing.assert_array_equal(image_of(only, 0) == 1, image_of(read, 0) == 2)

    def test_order_of_a_labels_file(self, tmp_path):
        path = tmp_path / "c.json"
        write_annotations(of_masks([[blob(1)]]), path, format="coco")
        labels = save(tmp_path / "labels.json", ["null", "sandal", "shoe", "boot"])
        read = read_annotations(path, labels=labels)
        np.testing.assert_array_equal(image_of(read, 0) == 3, blob(1))


def test_a_data_set_can_be_trained_on(tmp_path):
    pictures = as_folder(
        tmp_path, {f"2024/{name}.jpg": encode_png(picture(index, *SIZE)) for index, name in enumerate("ab")}
    )
    value = via(outline((2, 3), (12, 3), (12, 9)), name="2024/a.jpg")
    read = read_annotations(save(tmp_path / "v.json", value), images=pictures)
    write_annotations(read, tmp_path / "set.zip", format="dataset")
    ds = ImageDataset(tmp_path / "set.zip", part_maps=True)
    assert ds.names == ["images/2024/a.jpg"]
    assert ds.labels.names == ("background", "shoe")
    instances = read_annotations(tmp_path / "set.zip")
    np.testing.assert_array_equal(image_of(instances, 0), ds.part_map(0))


def test_empty_annotations_are_written_empty(tmp_path):
    nothing = Annotations(images=(), class_names=("shoe",))
    write_annotations(nothing, tmp_path / "c.json", format="coco")
    assert json.loads((tmp_path / "c.json").read_text())["images"] == []


def test_polygons_have_no_hidden_parts():
    assert Polygons((np.zeros((3, 2)),)).rle((4, 4)).area == 0
