"""What is said of a data set."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoegen.data.images import encode_part_map, encode_png
from shoegen.data.inspect import _best_shape, contact_sheet, inspect
from shoegen.data.labels import SHOE_PARTS
from shoegen.errors import ConfigError, DataError
from shoegen.stylegan.config import smallest_size

from .packs import as_folder, as_zip, labelled, part_map, picture, pictures, shoes

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


def encode(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [as_folder, as_zip])
def test_every_kind(tmp_path, pack):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "a.png": encode_png(picture(0)),
        "cmyk.jpg": encode(Image.new("CMYK", (16, 16)), "JPEG"),
        "cut.png": encode_png(picture(0))[:100],
        "deep.png": encode(Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 200)),
        "empty.png": b"",
        "grey.png": encode_png(picture(1)[..., 0]),
        "rgba.png": encode(Image.new("RGBA", (16, 16), (1, 2, 3, 4))),
        "turned.jpg": encode(Image.fromarray(picture(2, 16, 24)), "JPEG", exif=exif),
        "twin.bmp": encode(Image.fromarray(picture(0)), "BMP"),
        "notes.txt": b"",
    }
    heard = []
    found = inspect(pack(tmp_path, files), progress=lambda *done: heard.append(done))
    assert heard[-1] == (9, 9)
    assert found.pictures == 9
    assert not found.is_usable
    assert list(found.unreadable) == ["cut.png", "empty.png"]
    assert found.sizes == {"16x16": 6, "16x24": 1}
    assert (found.smallest, found.largest) == ("16x16", "16x24")
    assert found.aspect_ratios == (0.667, 1, 1)
    assert found.modes == {
        "PNG RGB": 1,
        "JPEG CMYK": 1,
        "PNG greyscale 16-bit": 1,
        "PNG greyscale": 1,
        "PNG RGBA": 1,
        "JPEG RGB": 1,
        "BMP RGB": 1,
    }
    assert found.conversions == {
        "greyscale, expanded to RGB": 2,
        "CMYK, converted to RGB": 1,
        "16-bit, scaled to 8 bit": 1,
        "transparent, composited over white": 1,
        "turned upright as EXIF says": 1,
    }
    assert found.duplicates == [["a.png", "twin.bmp"]]
    assert {each.file: each.action for each in found.offenders} == {
        "cmyk.jpg": "converted",
        "cut.png": "bad",
        "deep.png": "converted",
        "empty.png": "bad",
        "grey.png": "converted",
        "rgba.png": "converted",
        "turned.jpg": "converted",
        "twin.bmp": "kept",
    }
    assert found.notes == ["other files, ignored: 1, such as notes.txt"]
    assert found.part_maps is None
    json.dumps(found.to_json(), allow_nan=False)


class TestPartMaps:
    def test_in_order(self, tmp_path):
        found = inspect(as_zip(tmp_path, shoes(3)))
        assert found.part_maps == 3
        assert list(found.part_map_classes) == list(SHOE_PARTS.names)
        pixels = np.stack([part_map(index) for index in range(3)])
        assert found.part_map_classes["sole"] == np.mean(pixels == 1)
        assert sum(found.part_map_classes.values()) == pytest.approx(1)
        assert found.is_usable
        assert found.offenders == []

    def test_what_is_missing_in_them(self, tmp_path):
        empty = encode_part_map(np.zeros((16, 16), np.uint8), SHOE_PARTS)
        found = inspect(as_zip(tmp_path, shoes(1) | {"masks/00.png": empty}))
        assert "classes that no part map has: 6 (sole, heel, upper, shaft, opening, …)" in found.notes
        assert "part maps that are background alone: 1, such as images/00.png" in found.notes

    def test_faults(self, tmp_path):
        files = shoes(4)
        del files["masks/00.png"]
        files["masks/01.png"] = encode_png(np.full((16, 16), 9, np.uint8))
        files["masks/02.png"] = encode_part_map(part_map(0, 16, 12), SHOE_PARTS)
        found = inspect(as_folder(tmp_path, files))
        assert found.part_maps == 1
        problems = [each.problems[0] for each in found.offenders]
        assert problems[0] == "it has no part map; expected masks/00.png"
        assert problems[1].startswith("masks/01.png: value 9 at 256 pixels is no class")
        assert problems[2].startswith("masks/02.png is 12x16, its picture 16x16")
        assert not found.is_usable
        assert found.unreadable == {}

    @pytest.mark.parametrize("content", [None, b"{"])
    def test_labels(self, tmp_path, content):
        files = shoes(1) | {"labels.json": content}
        found = inspect(as_zip(tmp_path, {name: value for name, value in files.items() if value is not None}))
        assert found.part_maps is None
        assert found.is_usable == (content is None)
        said = found.notes if content is None else found.offenders[0].problems
        assert "labels.json" in said[0]


def test_pictures_shared_by_splits(tmp_path):
    train = as_zip(tmp_path, pictures(3))
    twin = encode(Image.fromarray(picture(1)), "BMP")
    test = as_folder(tmp_path, {"x.bmp": twin, "y.png": encode_png(picture(7)), "z.png": b""})
    assert inspect(train).is_usable
    found = inspect(train, against=[test])
    assert [(each.file, each.problems) for each in found.offenders] == [
        ("01.png", [f"{test} has the same picture"])
    ]
    assert not found.is_usable


class TestClasses:
    def test_counted(self, tmp_path):
        content = labelled([["00.png", 1], ["01.png", 0], ["02.png", 1]], ["boot", "sandal"])
        assert inspect(as_zip(tmp_path, pictures(3) | {"dataset.json": content})).classes == {
            "boot": 1,
            "sandal": 2,
        }

    def test_bad_labels_are_an_offender(self, tmp_path):
        path = as_zip(tmp_path, pictures(3) | {"dataset.json": labelled([["00.png", -1]])})
        found = inspect(path)
        assert not found.is_usable
        assert "labels 00.png -1" in found.offenders[0].problems[0]
        assert inspect(path, classes="none").is_usable
        with pytest.raises(ConfigError, match="expected auto, none"):
            inspect(path, classes="nonesuch")


class TestRecommendations:
    @pytest.mark.parametrize(
        ("sizes", "advice"),
        [
            ([(64, 64)] * 3, "square pictures: --resolution 64"),
            ([(64, 64), (60, 62)], "square pictures: --resolution 64 --fit crop"),
            ([(220, 220)], "square pictures: --resolution 256"),
            ([(210, 210)], "square pictures: --resolution 128"),
            ([(96, 96)] * 12 + [(96, 72)], "mostly square pictures: --resolution 64 --fit crop"),
            ([(50, 75)] * 2, "one shape prevails: --resolution 72x48; or"),
            ([(48, 32)] * 2, "one shape prevails: --resolution 32x48; or"),
            ([(50, 33)] * 2, "one shape prevails: --resolution 32x48; or"),
            (
                [(52, 33)] * 9 + [(33, 52)],
                "one shape prevails: --resolution 28x44 --fit crop; or",
            ),
            ([(48, 32), (32, 48), (40, 40)], "pictures of several shapes: --resolution 32 with --fit pad"),
        ],
    )
    def test_size(self, tmp_path, sizes, advice):
        files = {f"{index}.png": encode_png(picture(index, *size)) for index, size in enumerate(sizes)}
        given = inspect(as_zip(tmp_path, files)).recommendations[0]
        assert given.startswith(advice)

    @pytest.mark.parametrize(
        "size", [(533, 400), (825, 550), (256, 384), (100, 399), (1080, 1920), (5000, 4000)]
    )
    def test_shapes_can_be_trained(self, size):
        shape = _best_shape(*size)
        assert shape is not None
        smallest_size(shape)  # raises for what a generator cannot have
        assert shape[1] / shape[0] == pytest.approx(size[1] / size[0], rel=0.03)
        assert all(0.4 * min(side, 1024) < got <= side / 0.85 for got, side in zip(shape, size))

    def test_no_shape(self):
        assert _best_shape(10, 500) is None

    def test_others(self, tmp_path):
        files = pictures(2) | {
            "twin.png": encode_png(picture(0)),
            "a.png": encode(Image.new("RGBA", (16, 16))),
        }
        text = "\n".join(inspect(as_zip(tmp_path, files | {"bad.png": b""})).recommendations)
        assert "bad files: 1; mend" in text
        assert "copies of other pictures: 1; shoegen prepare --duplicates drop leaves them out" in text
        assert "--channels 4" in text
        assert "few pictures (4): train with --preset small" in text


class TestSheet:
    def test_chosen_by_seed(self, tmp_path):
        path = as_zip(tmp_path, pictures(30) | {"99.png": b""})
        sheet = contact_sheet(path, count=10, side=16)
        assert sheet.shape == (2 * 16 + 2, 8 * 16 + 7 * 2, 3)
        tiles = {picture(index).tobytes() for index in range(30)}
        assert sheet[:16, :16].tobytes() in tiles
        np.testing.assert_array_equal(sheet, contact_sheet(path, count=10, side=16))
        assert (sheet != contact_sheet(path, count=10, side=16, seed=1)).any()

    def test_part_maps_are_drawn(self, tmp_path):
        files = shoes(1)
        plain = as_zip(tmp_path, {name: files[name] for name in files if name.startswith("images/")})
        shown = contact_sheet(as_folder(tmp_path, files), side=16)
        original = contact_sheet(plain, side=16)
        background = part_map(0) == 0
        np.testing.assert_array_equal(shown[background], original[background])
        assert (shown[~background] != original[~background]).any(axis=1).all()

    def test_nothing_readable(self, tmp_path):
        with pytest.raises(DataError, match="a sheet needs some"):
            contact_sheet(as_zip(tmp_path, {"a.png": b""}))


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="real photographs are not at ../shared/data")
def test_amateur_photographs():
    found = inspect(SHARED_DATA / "shoes_cc0.zip")
    assert found.pictures == 224
    assert found.is_usable
    assert found.sizes["400x533"] == 105
    assert found.recommendations[0].startswith("pictures of several shapes: --resolution 256 with --fit pad")
