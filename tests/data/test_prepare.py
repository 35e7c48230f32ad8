"""Checked zips from pictures of any kind."""

import csv
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from shoegen.data.datasets import ImageDataset
from shoegen.data.images import decode_image, encode_part_map, encode_png, fit_image
from shoegen.data.labels import SHOE_PARTS
from shoegen.data.prepare import PrepareConfig, prepare
from shoegen.errors import ConfigError, DataError, OutputError

from .packs import as_folder, as_zip, labelled, part_map, picture, pictures, shoes


def encode(image: Image.Image, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def mixed() -> dict[str, bytes]:
    """Good, odd and bad pictures."""
    return {
        "a/1.png": encode_png(picture(1)),
        "a/2.jpg": encode(Image.fromarray(picture(2, 24, 16)), "JPEG"),
        "b/grey.png": encode_png(picture(3)[..., 0]),
        "b/alpha.png": encode(Image.new("RGBA", (16, 16), (9, 9, 9, 0))),
        "b/twin.png": encode(Image.fromarray(picture(1)), "PNG") + b"trailing",
        "bad.png": b"PNG",
        "empty.jpg": b"",
    }


def names(path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


class TestContent:
    @pytest.mark.parametrize("pack", [as_folder, as_zip])
    def test_pictures_are_fitted(self, tmp_path, pack):
        out = tmp_path / "out.zip"
        config = PrepareConfig(resolution=(8, 12), fit="pad", filter="bicubic", skip_bad=True)
        done = prepare(pack(tmp_path, mixed()), out, config)
        assert (done.pictures, done.written, done.size) == (7, 5, (8, 12))
        ds = ImageDataset(out)
        assert ds.image_shape == (3, 8, 12)
        assert ds.notes == []  # nothing is left to be said
        assert ds.names == [f"images/{stem}.png" for stem in ("a/1", "a/2", "b/alpha", "b/grey", "b/twin")]
        expected = fit_image(picture(1), (8, 12), "pad", "bicubic")
        np.testing.assert_array_equal(ds[0], expected.transpose(2, 0, 1))

    @pytest.mark.parametrize(
        ("format", "suffix", "tolerance"), [("png", ".png", 0), ("jpeg", ".jpg", 12), ("webp", ".webp", 24)]
    )
    def test_formats(self, tmp_path, format, suffix, tolerance):
        smooth = np.broadcast_to(np.arange(0, 256, 16, dtype=np.uint8)[:, None, None], (16, 16, 3))
        out = tmp_path / "out.zip"
        prepare(
            as_zip(tmp_path, {"a.bmp": encode(Image.fromarray(smooth), "BMP")}),
            out,
            PrepareConfig(format=format),
        )
        ds = ImageDataset(out)
        assert ds.names == [f"images/a{suffix}"]
        np.testing.assert_allclose(ds[0].astype(int), smooth.transpose(2, 0, 1), atol=tolerance)

    @pytest.mark.parametrize("channels", [1, 4])
    def test_channels(self, tmp_path, channels):
        out = tmp_path / "out.zip"
        config = PrepareConfig(resolution=(16, 16), fit="crop", channels=channels, skip_bad=True)
        prepare(as_zip(tmp_path, mixed()), out, config)
        ds = ImageDataset(out, channels=channels)
        assert ds.notes == []
        alpha = ds[ds.names.index("images/b/alpha.png")]
        assert (alpha[-1] == (255 if channels == 1 else 0)).all()

    def test_same_bytes_again(self, tmp_path):
        source = as_folder(tmp_path, mixed())
        config = PrepareConfig(resolution=(8, 8), fit="crop", classes="none", skip_bad=True)
        for name in ("1.zip", "2.zip"):
            prepare(source, tmp_path / name, config)
        assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()

    def test_part_maps_and_attributes_come_along(self, tmp_path):
        files = shoes(3)
        tall = {"images/02.png": encode_png(picture(2, 40, 20)), "masks/02.png": None}
        tall["masks/02.png"] = encode_part_map(part_map(2, 40, 20), SHOE_PARTS)
        source = as_zip(tmp_path, files | tall)
        done = prepare(
            source, tmp_path / "out.zip", PrepareConfig(resolution=(8, 8), fit="crop", format="jpeg")
        )
        assert done.part_maps == 3
        ds = ImageDataset(tmp_path / "out.zip", part_maps=True)
        whole = ImageDataset(source, resolution=8, fit="crop", part_maps=True)
        assert ds.labels == SHOE_PARTS
        assert ds.names == ["images/00.jpg", "images/01.jpg", "images/02.jpg"]
        for index in range(3):
            np.testing.assert_array_equal(ds.part_map(index), whole.part_map(index))
            assert ds.attributes(index) == whole.attributes(index)
        with zipfile.ZipFile(tmp_path / "out.zip") as archive:
            assert json.loads(archive.read("attributes.json"))["unit"] == "mm"

    def test_picture_without_its_part_map(self, tmp_path):
        files = shoes(3)
        del files["masks/01.png"]
        source = as_zip(tmp_path, files)
        with pytest.raises(DataError, match=r"images/01\.png: it has no part map; expected masks/01\.png"):
            prepare(source, tmp_path / "out.zip", PrepareConfig())
        assert prepare(source, tmp_path / "out.zip", PrepareConfig(skip_bad=True)).part_maps == 2
        assert len(ImageDataset(tmp_path / "out.zip", part_maps=True)) == 2

    def test_masks_without_labels_are_left_behind(self, tmp_path):
        files = shoes(1)
        del files["labels.json"]
        done = prepare(as_zip(tmp_path, files), tmp_path / "out.zip", PrepareConfig())
        assert done.notes == ["masks/ left behind, because there is no labels.json"]
        assert names(tmp_path / "out.zip") == ["images/00.png"]

    def test_classes(self, tmp_path):
        files = {f"{kind}/{i}.png": encode_png(picture(ord(kind) + i)) for kind in "xy" for i in range(2)}
        source = as_zip(tmp_path, files | {"x/bad.png": b""})
        done = prepare(source, tmp_path / "out.zip", PrepareConfig(classes="folders", skip_bad=True))
        assert done.classes == {"x": 2, "y": 2}
        ds = ImageDataset(tmp_path / "out.zip", classes="auto")
        assert ds.class_names == ["x", "y"]
        assert [ds.class_of(index) for index in range(4)] == [0, 0, 1, 1]
        with zipfile.ZipFile(tmp_path / "out.zip") as archive:  # the published form
            assert json.loads(archive.read("dataset.json"))["labels"][0] == ["images/x/0.png", 0]

    def test_classes_of_dataset_json_follow_a_subset(self, tmp_path):
        labels = [[f"{index:02d}.png", index % 3] for index in range(9)]
        source = as_zip(tmp_path, pictures(9) | {"dataset.json": labelled(labels)})
        prepare(source, tmp_path / "out.zip", PrepareConfig(subset=4, seed=1))
        ds = ImageDataset(tmp_path / "out.zip", classes="auto")
        assert len(ds) == 4
        assert [ds.class_of(i) for i in range(4)] == [int(name[7:9]) % 3 for name in ds.names]

    def test_names(self, tmp_path):
        image = encode_png(picture(0))
        odd = [
            "../../up.png",
            "/abs.png",
            "C:\\a?.png",
            "same.jpg",
            "same.png",
            "Same.PNG",
            "a.b.png",
            "x\ny.png",
        ]
        source = as_zip(tmp_path, dict.fromkeys(odd, image))
        prepare(source, tmp_path / "out.zip", PrepareConfig())
        written = names(tmp_path / "out.zip")
        assert sorted(written) == [
            "images/C_/a_.png",
            "images/Same.png",
            "images/a.b.png",
            "images/abs.png",
            "images/same-2.png",
            "images/same-3.png",
            "images/up.png",
            "images/x_y.png",
        ]


class TestOffenders:
    def test_nothing_is_written_but_the_report(self, tmp_path):
        source, out, report = as_zip(tmp_path, mixed()), tmp_path / "out.zip", tmp_path / "report.json"
        out.write_bytes(b"old")
        with pytest.raises(DataError) as caught:
            prepare(source, out, PrepareConfig(), report=report)
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith(f"3 of 7 pictures in {source} cannot be used: a/2.jpg: it is 16x24")
        assert "--skip-bad" in message
        assert out.read_bytes() == b"old"
        assert {file.name for file in tmp_path.iterdir()} == {"shoes.zip", "out.zip", "report.json"}
        rows = {row["file"]: row for row in json.loads(report.read_text())["offenders"]}
        assert {name: row["action"] for name, row in rows.items()} == {
            "a/2.jpg": "bad",
            "b/alpha.png": "converted",
            "b/grey.png": "converted",
            "b/twin.png": "kept",
            "bad.png": "bad",
            "empty.jpg": "bad",
        }
        assert rows["b/grey.png"] == {
            "file": "b/grey.png",
            "problems": ["greyscale, expanded to RGB"],
            "action": "converted",
            "width": 16,
            "height": 16,
            "mode": "PNG greyscale",
        }
        assert rows["bad.png"]["mode"] is None

    def test_csv(self, tmp_path):
        config = PrepareConfig(resolution=(8, 8), fit="crop", skip_bad=True)
        prepare(as_folder(tmp_path, mixed()), tmp_path / "out.zip", config, report=tmp_path / "r.csv")
        with (tmp_path / "r.csv").open(newline="") as file:
            rows = {row["file"]: row for row in csv.DictReader(file)}
        assert len(rows) == 6
        assert rows["a/2.jpg"]["problems"] == "cut to the shape of 8x8"
        assert (rows["a/2.jpg"]["width"], rows["a/2.jpg"]["height"]) == ("16", "24")
        assert rows["empty.jpg"]["action"] == "left out"

    @pytest.mark.parametrize(
        ("duplicates", "written", "action"), [("keep", 4, "kept"), ("drop", 3, "left out")]
    )
    def test_duplicates(self, tmp_path, duplicates, written, action):
        source = as_zip(tmp_path, pictures(3) | {"twin.bmp": encode(Image.fromarray(picture(1)), "BMP")})
        done = prepare(source, tmp_path / "out.zip", PrepareConfig(duplicates=duplicates))
        assert done.written == written
        assert [(each.file, each.problems, each.action) for each in done.offenders] == [
            ("twin.bmp", ["same pixels as 01.png"], action)
        ]

    def test_duplicates_fail(self, tmp_path):
        source = as_zip(tmp_path, pictures(2) | {"twin.png": encode_png(picture(1))})
        with pytest.raises(DataError, match=r"twin\.png: same pixels as 01\.png; nothing was written"):
            prepare(source, tmp_path / "out.zip", PrepareConfig(duplicates="fail", skip_bad=True))

    def test_twin_of_a_picture_left_out_stays(self, tmp_path):
        files = shoes(1) | {"images/z.png": encode_png(picture(0)), "masks/z.png": b""}
        files["masks/00.png"], files["masks/z.png"] = files["masks/z.png"], files["masks/00.png"]
        config = PrepareConfig(duplicates="drop", skip_bad=True)
        prepare(as_zip(tmp_path, files), tmp_path / "out.zip", config)
        assert ImageDataset(tmp_path / "out.zip").names == ["images/z.png"]

    @pytest.mark.parametrize("skip_bad", [False, True])
    def test_all_bad(self, tmp_path, skip_bad):
        with pytest.raises(DataError, match="2 of 2 pictures"):
            prepare(
                as_zip(tmp_path, {"a.png": b"", "b.png": b"x"}),
                tmp_path / "out.zip",
                PrepareConfig(skip_bad=skip_bad),
            )
        assert not (tmp_path / "out.zip").exists()


class TestOptions:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"fit": "stretch"},
            {"filter": "nearest"},
            {"channels": 2},
            {"format": "gif"},
            {"duplicates": "merge"},
            {"format": "jpeg", "channels": 4},
        ],
    )
    def test_wrong(self, wrong):
        with pytest.raises(ConfigError, match=r"expected one of|JPEG has no transparency"):
            PrepareConfig(**wrong)

    def test_paths(self, tmp_path):
        source = as_zip(tmp_path, pictures(1))
        with pytest.raises(ConfigError, match="is the source itself"):
            prepare(source, source, PrepareConfig())
        with pytest.raises(ConfigError, match=r"expected a name that ends in \.zip"):
            prepare(source, tmp_path / "out", PrepareConfig())
        with pytest.raises(ConfigError, match=r"expected the suffix \.json or \.csv"):
            prepare(source, tmp_path / "out.zip", PrepareConfig(), report=tmp_path / "r.txt")
        with pytest.raises(OutputError):
            prepare(source, source / "below.zip", PrepareConfig())
        with pytest.raises(DataError, match="does not exist"):
            prepare(tmp_path / "none", tmp_path / "out.zip", PrepareConfig())
        assert [file.name for file in tmp_path.iterdir()] == ["shoes.zip"]

    def test_progress(self, tmp_path):
        heard = []
        prepare(
            as_zip(tmp_path, pictures(3)),
            tmp_path / "out.zip",
            PrepareConfig(),
            progress=lambda *done: heard.append(done),
        )
        assert heard == [(1, 3), (2, 3), (3, 3)]


def test_pictures_survive_exactly(tmp_path):
    prepare(as_zip(tmp_path, pictures(2)), tmp_path / "out.zip", PrepareConfig())
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        np.testing.assert_array_equal(decode_image(archive.read("images/01.png"))[0], picture(1))
