"""Zip bombs, and names that would be dangerous if anything were extracted."""

import copy
import io
import os
import zipfile

import pytest
from PIL import Image

from shoegen.data import files as data_files
from shoegen.data.datasets import ImageDataset
from shoegen.data.files import PictureFiles, write_member
from shoegen.data.images import encode_png
from shoegen.errors import DataError

from .packs import as_folder, as_zip, picture, pictures, shoes


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def overlapping_bomb(path, size: int, members: int):
    """A zip of which many members are the same bytes: each unpacks them anew."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.png", bytes(size))
        for index in range(1, members):
            twin = copy.copy(archive.filelist[0])
            twin.filename = f"{index}.png"
            archive.filelist.append(twin)
    return path


class TestBombs:
    def test_member_that_grows(self, tmp_path):
        path = as_zip(tmp_path, pictures(2) | {"bomb.png": bytes(data_files.FREE_FILE_BYTES + 1)})
        assert path.stat().st_size < 100_000
        with pytest.raises(
            DataError, match=r"bomb\.png: the zip member grows from \d+ to 33554433"
        ) as caught:
            ImageDataset(path)
        one_line(caught)
        assert ImageDataset(path, skip_bad=True).names == ["00.png", "01.png"]

    def test_small_files_may_shrink_much(self, tmp_path):
        flat = io.BytesIO()

        Image.new("RGB", (400, 400), "white").save(flat, "BMP")
        path = as_zip(tmp_path, {"flat.bmp": flat.getvalue()})
        assert path.stat().st_size * data_files.MAX_RATIO < len(flat.getvalue())
        assert (ImageDataset(path)[0] == 255).all()

    def test_overlapping_members(self, tmp_path):
        path = overlapping_bomb(tmp_path / "bomb.zip", 30 * 2**20, 40)
        assert path.stat().st_size < 100_000
        with pytest.raises(DataError, match=r"grows to 1258291200; .* this may be a zip bomb") as caught:
            PictureFiles(path)
        one_line(caught)

    def test_overlapping_members_in_small(self, tmp_path):
        path = overlapping_bomb(tmp_path / "bomb.zip", 1000, 3)
        with pytest.raises(DataError, match="none of the 3 pictures"):
            ImageDataset(path)

    def test_members(self, tmp_path, monkeypatch):
        monkeypatch.setattr(data_files, "MAX_MEMBERS", 3)
        assert len(PictureFiles(as_zip(tmp_path, pictures(3))).pictures) == 3
        with pytest.raises(DataError, match=r"shoes\.zip has 4 members; expected at most 3"):
            PictureFiles(as_zip(tmp_path, pictures(4)))

    def test_zip_in_zip_is_not_entered(self, tmp_path):
        inner = as_zip(tmp_path, pictures(1)).read_bytes()
        with pytest.raises(DataError, match="holds no pictures among 1 files"):
            PictureFiles(as_zip(tmp_path, {"inner.zip": inner}))

    def test_wrong_size_in_the_directory(self, tmp_path):
        path = as_zip(tmp_path, {"a.png": bytes(100_000), **pictures(1)})
        content = bytearray(path.read_bytes())
        entry = content.index(b"PK\x01\x02")
        content[entry + 24 : entry + 28] = (50).to_bytes(4, "little")
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.png: the zip member is damaged"):
            ImageDataset(path)


def test_nothing_is_extracted(tmp_path):
    image = encode_png(picture(0))
    names = ["../../up.png", "/etc/absolute.png", "C:\\windows\\drive.png", "a/../b.png"]
    path = as_zip(tmp_path, dict.fromkeys(names, image))
    before = sorted(os.listdir(tmp_path))
    ds = ImageDataset(path)
    assert ds.names == ["../../up.png", "/etc/absolute.png", "C:/windows/drive.png", "a/../b.png"]
    assert ds[3].any()
    assert sorted(os.listdir(tmp_path)) == before


def test_part_maps_are_found_by_name(tmp_path):
    files = PictureFiles(as_folder(tmp_path, shoes(2)))
    assert files.has_part_maps
    assert files.part_map("images/01.png") == "masks/01.png"
    assert files.part_map("images/02.png") is None
    assert files.others == []
    assert not PictureFiles(as_zip(tmp_path, pictures(1))).has_part_maps


def test_a_dataset_json_makes_the_only_folder_the_top(tmp_path):
    files = PictureFiles(as_zip(tmp_path, {"set/00/1.png": b"", "set/dataset.json": b"{}"}))
    assert files.pictures == ["00/1.png"]
    assert "dataset.json" in files
    assert files.others == []


def test_written_members_have_no_clock(tmp_path):
    def pack() -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            write_member(archive, "a.json", b"[]" * 100)
            write_member(archive, "a.png", b"x")
        return file.getvalue()

    assert pack() == pack()
    (tmp_path / "a.zip").write_bytes(pack())
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert [info.date_time[0] for info in archive.infolist()] == [1980, 1980]
        assert [info.compress_type for info in archive.infolist()] == [
            zipfile.ZIP_DEFLATED,
            zipfile.ZIP_STORED,
        ]
