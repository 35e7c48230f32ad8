"""Files written whole or not at all, and splits."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoegen.data.annotations import convert, read_annotations, split_names, write_annotations
from shoegen.data.annotations.convert import parse_classes
from shoegen.data.images import encode_image, encode_png, write_part_map
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError, OutputError

from ..packs import as_zip, picture
from .making import blob, coco, of_masks, photos, save

SHARES = (0.7, 0.2, 0.1)


@given(st.sets(st.text(min_size=1, max_size=5), min_size=10, max_size=40), st.integers(0, 5))
def test_splits_share_nothing_and_lose_nothing(names, seed):
    parts = split_names({name: name for name in names}, SHARES, seed)
    assert sorted(name for part in parts.values() for name in part) == sorted(names)
    assert abs(len(parts["train"]) - 0.7 * len(names)) <= 1
    assert parts == split_names({name: name for name in sorted(names, reverse=True)}, SHARES, seed)


def test_splits_depend_on_the_seed():
    names = {str(index): str(index) for index in range(50)}
    assert split_names(names, SHARES) != split_names(names, SHARES, 1)


def test_twins_stay_together():
    groups = {str(index): str(index // 4) for index in range(40)}
    parts = split_names(groups, SHARES)
    seen = [{groups[name] for name in part} for part in parts.values()]
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.6), (0.5, 0.5, 0.0), (0.2,) * 5, (1.5, -0.5)])
def test_wrong_shares(shares):
    with pytest.raises(ConfigError, match="2 or 3 positive shares"):
        split_names({"a": "a"}, shares)


def test_empty_split():
    with pytest.raises(DataError, match="leaves test without a picture: there are 3"):
        split_names({name: name for name in "abc"}, SHARES)


def annotated(tmp_path, count=10):
    pictures = photos(tmp_path / "photos", count)
    path = tmp_path / "coco.json"
    write_annotations(of_masks([[blob(seed)] for seed in range(count)], pictures), path, format="coco")
    return path, pictures


@pytest.mark.parametrize(
    ("to", "files"),
    [
        ("coco", ["test.json", "train.json", "val.json"]),
        (
            "imaterialist",
            [f"{split}.{end}" for split in ("test", "train", "val") for end in ("csv", "labels.json")],
        ),
        ("dataset", ["test", "train", "val"]),
    ],
)
def test_written_splits(tmp_path, to, files):
    path, pictures = annotated(tmp_path)
    report = convert(path, tmp_path / "out", to=to, images=pictures, split=SHARES)
    assert report.images == {"train": 7, "val": 2, "test": 1}
    assert sorted(os.listdir(tmp_path / "out")) == files
    name = {"coco": "{}.json", "imaterialist": "{}.csv", "dataset": "{}"}[to]
    read = [read_annotations(tmp_path / "out" / name.format(split)) for split in report.images]
    names = [image.name for each in read for image in each.images]
    assert sorted(names) == sorted(f"{letter}.png" for letter in "abcdefghij")


def test_twins_in_a_conversion(tmp_path):
    same = encode_png(picture(0, 24, 20))
    pictures = as_zip(tmp_path, {f"{letter}.png": same for letter in "abcdefghij"})
    path = tmp_path / "coco.json"
    write_annotations(of_masks([[blob(seed)] for seed in range(10)], pictures), path, format="coco")
    with pytest.raises(DataError, match="leaves val and test without a picture"):
        convert(path, tmp_path / "out", to="coco", images=pictures, split=SHARES)
    assert not (tmp_path / "out").exists()


def test_the_same_bytes_again(tmp_path):
    path, pictures = annotated(tmp_path)
    for name in ("one.zip", "two.zip"):
        convert(path, tmp_path / name, to="dataset", images=pictures)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


class TestNothingLost:
    def test_folder_that_is_there(self, tmp_path):
        path, pictures = annotated(tmp_path)
        (tmp_path / "out").mkdir()
        save(tmp_path / "out" / "mine.txt", "mine")
        with pytest.raises(OutputError, match="is there already; remove it"):
            convert(path, tmp_path / "out", to="index-png", images=pictures)
        assert os.listdir(tmp_path / "out") == ["mine.txt"]

    @pytest.mark.parametrize("out", ["out", "out.zip"])
    def test_failure_half_way(self, tmp_path, out):
        """A name that a part map cannot be read for: found while writing, after files were written."""
        _, pictures = annotated(tmp_path)
        read = of_masks([[blob(1)], [blob(2)]], pictures)
        broken = read.images[1].__class__(name="b.png", size=None, instances=read.images[1].instances)
        before = sorted(os.listdir(tmp_path))
        with pytest.raises(
            DataError, match=r"the size of b\.png is unknown; give the pictures with --images"
        ):
            write_annotations(read.with_images((read.images[0], broken)), tmp_path / out, format="index-png")
        assert sorted(os.listdir(tmp_path)) == before

    def test_two_images_of_one_mask(self, tmp_path):
        read = of_masks([[blob(1)], [blob(2)]])
        twin = read.images[1].__class__(name="a.jpg", size=read.images[1].size)
        with pytest.raises(DataError, match=r"a\.png and a\.jpg would both be written to masks/a\.png"):
            write_annotations(
                read.with_images((read.images[0], twin)), tmp_path / "m.zip", format="index-png"
            )
        assert not (tmp_path / "m.zip").exists()

    def test_source_itself(self, tmp_path):
        path, _ = annotated(tmp_path)
        before = path.read_bytes()
        with pytest.raises(ConfigError, match="is the source itself"):
            convert(path, path, to="coco")
        assert path.read_bytes() == before

    def test_bad_source_leaves_the_old_file(self, tmp_path):
        path = save(tmp_path / "c.json", coco(items=[{"segmentation": [[1, 2]]}]))
        out = save(tmp_path / "out.json", "old")
        with pytest.raises(DataError, match="1 points"):
            convert(path, out, to="via")
        assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("to", "out", "message"),
    [
        ("coco", "x.txt", r"expected a name that ends in \.json for coco"),
        ("index-png", "x.png", r"expected a folder, or a name that ends in \.zip"),
        ("voc", "x", "got 'voc', expected one of coco, via"),
    ],
)
def test_wrong_outputs(tmp_path, to, out, message):
    with pytest.raises(ConfigError, match=message):
        write_annotations(of_masks([]), tmp_path / out, format=to)


def test_pictures_are_needed(tmp_path):
    path, _ = annotated(tmp_path)
    for to, message in (
        ("alpha", "a cut-out needs the picture"),
        ("dataset", "a data set needs the picture"),
    ):
        with pytest.raises(DataError, match=message):
            convert(path, tmp_path / "x.zip", to=to)
    assert not (tmp_path / "x.zip").exists()


def test_classes():
    assert parse_classes("shoe, boots=shoe") == {"shoe": "shoe", "boots": "shoe"}
    for text in ("", "a,a", "a=", "=b", "a,,b"):
        with pytest.raises(ConfigError, match="expected names and renamings"):
            parse_classes(text)


def test_unknown_classes(tmp_path):
    path, _ = annotated(tmp_path)
    with pytest.raises(ConfigError, match=r"no class 'heel' in .*; expected some of boot, shoe"):
        convert(path, tmp_path / "x.json", to="coco", classes={"heel": "shoe"})
    with pytest.raises(ConfigError, match="to drop a class, leave it out"):
        convert(path, tmp_path / "x.json", to="coco", classes={"boot": "background"})


def test_report(tmp_path):
    path, _ = annotated(tmp_path)
    report = convert(path, tmp_path / "x.json", to="coco", classes={"boot": "shoe"})
    assert (report.images, report.instances) == ({"all": 10}, {"shoe": 10})
    assert [each["name"] for each in json.loads((tmp_path / "x.json").read_text())["categories"]] == ["shoe"]


def data_set(folder, pictures, masks):
    for name, content in pictures.items():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).write_bytes(content)
    for name in masks:
        write_part_map(
            folder / "masks" / name, np.ones((8, 8), np.uint8), LabelMap.from_names(["none", "shoe"])
        )
    (folder / "labels.json").write_text('["none", "shoe"]')
    return folder


def test_a_damaged_picture_does_not_come_into_a_data_set(tmp_path):
    whole = encode_image(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8), "JPEG")
    # Its size can be read, its pixels cannot.
    source = data_set(tmp_path / "source", {"a.jpg": whole, "b.jpg": whole[:-60]}, ["a.png", "b.png"])
    with pytest.raises(DataError, match=r"cannot read the picture images/b.jpg: .*; replace or remove it"):
        convert(source, tmp_path / "out", to="dataset")
    assert not (tmp_path / "out").exists()


def test_a_picture_without_a_part_map_is_not_dropped_in_silence(tmp_path):
    whole = encode_png(np.zeros((8, 8, 3), np.uint8))
    source = data_set(tmp_path / "source", {"a.png": whole, "b.png": whole}, ["a.png"])
    with pytest.raises(DataError, match=r"b.png: it has no part map.*add masks/b.png"):
        convert(source, tmp_path / "out.json", to="coco")
    assert convert(source, tmp_path / "out.json", to="coco", skip_bad=True).images == {"all": 1}
