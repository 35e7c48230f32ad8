"""Folders and zip files as data sets."""

import io
import itertools
import json
import multiprocessing
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shoegen.data import files as data_files
from shoegen.data.datasets import ImageDataset, choose_subset, infinite_indices
from shoegen.data.images import encode_part_map, encode_png
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.errors import ConfigError, DataError

from .packs import as_folder, as_zip, part_map, picture, pictures, shoes

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"
needs_shared_data = pytest.mark.skipif(
    not SHARED_DATA.is_dir(), reason="real photographs are not at ../shared/data"
)


both = pytest.mark.parametrize("pack", [as_folder, as_zip])


class TestContent:
    @both
    def test_pictures(self, tmp_path, pack):
        ds = ImageDataset(pack(tmp_path, pictures(5)))
        assert len(ds) == 5
        assert ds.names == [f"{index:02d}.png" for index in range(5)]
        assert ds.image_shape == (3, 16, 16)
        assert ds.sizes == [(16, 16)] * 5
        assert ds.notes == []
        for index, image in enumerate(ds):
            assert image.dtype == np.uint8
            assert image.flags.c_contiguous
            np.testing.assert_array_equal(image, picture(index).transpose(2, 0, 1))
        np.testing.assert_array_equal(ds[-1], ds[4])
        ds[0][:] = 0  # a copy: the data set is unchanged
        assert ds[0].any()
        with pytest.raises(IndexError, match="picture 5 of 5"):
            ds[5]

    @both
    def test_nested_hidden_and_other_files(self, tmp_path, pack):
        image = encode_png(picture(0))
        names = ["b/2.png", "b/10.PNG", "a/x/1.png", "a.png"]
        hidden = [".hidden.png", ".cache/1.png", "__MACOSX/._1.png", "b/.DS_Store"]
        files = dict.fromkeys(names + hidden, image) | {"b/readme.txt": b"", "list.csv": b"a,b"}
        ds = ImageDataset(pack(tmp_path, files))
        assert ds.names == ["a.png", "a/x/1.png", "b/10.PNG", "b/2.png"]
        assert ds.notes == ["2 other files ignored (b/readme.txt, list.csv)"]

    @both
    @pytest.mark.parametrize("outer", ["", "my shoes/"])
    def test_whole_data_set(self, tmp_path, pack, outer):
        files = {outer + name: content for name, content in shoes(4).items()}
        for part_maps in (False, True):
            ds = ImageDataset(pack(tmp_path, files), part_maps=part_maps)
            assert ds.names == [f"images/{index:02d}.png" for index in range(4)]
            assert ds.labels == SHOE_PARTS
            assert ds.has_part_maps
            assert ds.notes == []
            for index in range(4):
                np.testing.assert_array_equal(ds.part_map(index), part_map(index))
                np.testing.assert_array_equal(ds[index], picture(index).transpose(2, 0, 1))
            assert ds.attributes(2) == {"heel_height": 20.0}
            assert ds.attributes(3) is None

    def test_backslashes_in_zip(self, tmp_path):
        files = {name.replace("/", "\\"): content for name, content in shoes(2).items()}
        assert ImageDataset(as_zip(tmp_path, files), part_maps=True).names == [
            "images/00.png",
            "images/01.png",
        ]

    def test_mirror(self, tmp_path):
        ds = ImageDataset(as_zip(tmp_path, shoes(3)), mirror=True)
        assert len(ds) == 6
        for index in range(3):
            np.testing.assert_array_equal(ds[index + 3], ds[index][:, :, ::-1])
            np.testing.assert_array_equal(ds.part_map(index + 3), ds.part_map(index)[:, ::-1])
        assert ds[4].flags.c_contiguous
        assert ds.attributes(4) == ds.attributes(1)

    def test_links(self, tmp_path):
        folder = as_folder(tmp_path, {"a/1.png": encode_png(picture(0))})
        (folder / "a" / "loop").symlink_to(folder)
        other = as_folder(tmp_path / "elsewhere", {"2.png": encode_png(picture(1))})
        (folder / "linked").symlink_to(other)
        assert ImageDataset(folder).names == ["a/1.png", "linked/2.png"]

    def test_pipe_does_not_block(self, tmp_path):
        folder = as_folder(tmp_path, pictures(1))
        os.mkfifo(folder / "pipe.png")
        (folder / "gone.png").symlink_to("nowhere.png")
        ds = ImageDataset(folder, skip_bad=True)
        assert ds.skipped == {"gone.png": "the file does not exist", "pipe.png": "it is not a regular file"}


class TestSizes:
    @both
    def test_resolution(self, tmp_path, pack):
        path = pack(tmp_path, pictures(2))
        ds = ImageDataset(path, resolution=8)
        assert ds.image_shape == ds[0].shape == (3, 8, 8)
        means = picture(0).reshape(8, 2, 8, 2, 3).mean((1, 3)).transpose(2, 0, 1)
        np.testing.assert_allclose(ds[0], means, atol=0.51)
        assert ImageDataset(path, resolution=(8, 12), fit="pad")[1].shape == (3, 8, 12)

    @pytest.mark.parametrize("resolution", [0, -8, (8,), (8, 8, 3), (8, 0), (8.0, 8), 8.5])
    def test_bad_resolution(self, tmp_path, resolution):
        with pytest.raises(
            ConfigError, match=r"resolution: got .*, expected a positive number or \(height, width\)"
        ):
            ImageDataset(as_folder(tmp_path, pictures(1)), resolution=resolution)

    def test_bad_fit(self, tmp_path):
        with pytest.raises(ConfigError, match="got 'stretch'"):
            ImageDataset(as_folder(tmp_path, pictures(1)), fit="stretch")

    mixed = {  # noqa: RUF012
        **pictures(3),
        "tall.png": encode_png(picture(7, 20, 10)),
        "wide.png": encode_png(picture(8, 10, 20)),
    }

    @pytest.mark.parametrize("resolution", [None, 8])
    def test_mixed_sizes_are_listed(self, tmp_path, resolution):
        with pytest.raises(DataError) as caught:
            ImageDataset(as_folder(tmp_path, self.mixed), resolution=resolution)
        message = str(caught.value)
        assert "3 sizes (width x height): 16x16 (3, such as 00.png), 10x20 (1, such as tall.png)" in message
        assert "--fit crop" in message
        assert "--fit pad" in message

    def test_mixed_sizes_need_a_resolution(self, tmp_path):
        with pytest.raises(DataError, match="--resolution"):
            ImageDataset(as_folder(tmp_path, self.mixed), fit="crop")

    def test_one_wrong_shape(self, tmp_path):
        with pytest.raises(
            DataError, match=r"of size 16x16 \(3, such as 00.png\); expected the shape of 16x8"
        ):
            ImageDataset(as_folder(tmp_path, pictures(3)), resolution=(8, 16))

    @pytest.mark.parametrize(("fit", "how"), [("crop", "cut"), ("pad", "given a margin")])
    def test_fitted(self, tmp_path, fit, how):
        ds = ImageDataset(as_zip(tmp_path, self.mixed), resolution=8, fit=fit)
        assert all(image.shape == (3, 8, 8) for image in ds)
        assert any(
            note == f"2 pictures {how} to the shape of 8x8 (tall.png, wide.png)" for note in ds.notes
        ), ds.notes

    def test_same_shape_of_two_sizes_needs_no_fit(self, tmp_path):
        files = {"large.png": encode_png(picture(0, 32, 32)), "small.png": encode_png(picture(1))}
        ds = ImageDataset(as_folder(tmp_path, files), resolution=16)
        np.testing.assert_array_equal(ds[1], picture(1).transpose(2, 0, 1))
        assert ds.notes == [
            "pictures of 2 sizes (width x height): "
            "32x32 (1, such as large.png), 16x16 (1, such as small.png) resized to 16x16"
        ]

    def test_enlarging_is_said(self, tmp_path):
        ds = ImageDataset(as_folder(tmp_path, pictures(2)), resolution=32)
        assert ds.notes == ["2 pictures smaller than 32x32, enlarged (00.png, 01.png)"]
        assert ImageDataset(as_folder(tmp_path, pictures(2)), resolution=(16, 32), fit="pad").notes == [
            "2 pictures given a margin to the shape of 32x16 (00.png, 01.png)"
        ]

    def test_part_maps_follow(self, tmp_path):
        files = shoes(1)
        image, classes = np.zeros((20, 40, 3), np.uint8), np.zeros((20, 40), np.uint8)
        image[4:16, 12:28] = 255
        classes[4:16, 12:28] = 2
        files |= {"images/00.png": encode_png(image), "masks/00.png": encode_part_map(classes, SHOE_PARTS)}
        for fit in ("crop", "pad"):
            for part_maps in (False, True):
                ds = ImageDataset(as_zip(tmp_path, files), resolution=10, fit=fit, part_maps=part_maps)
                np.testing.assert_array_equal(ds[0][0] == 255, ds.part_map(0) == 2)


class TestConversions:
    @both
    def test_counted(self, tmp_path, pack):
        grey = encode_png(picture(0)[..., 0])
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((16, 16, 4), np.uint8)).save(buffer, "PNG")
        files = {**pictures(2), **{f"g{i}.png": grey for i in range(5)}, "rgba.png": buffer.getvalue()}
        ds = ImageDataset(pack(tmp_path, files))
        assert ds.notes == [
            "5 pictures greyscale, expanded to RGB (g0.png, g1.png, g2.png, and 2 more)",
            "1 picture transparent, composited over white (rgba.png)",
        ]
        assert ds.conversions["greyscale, expanded to RGB"] == [f"g{i}.png" for i in range(5)]
        assert (ds[7] == 255).all()


class TestChannels:
    @pytest.mark.parametrize("cached", [0, 2**20])
    @pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
    def test_each(self, tmp_path, channels, mode, cached):
        path = as_zip(tmp_path, shoes(2))
        ds = ImageDataset(path, channels=channels, part_maps=True, mirror=True, cache_bytes=cached)
        assert ds.image_shape == ds[0].shape == (channels, 16, 16)
        expected = np.atleast_3d(np.array(Image.fromarray(picture(1)).convert(mode)))
        np.testing.assert_array_equal(ds[1], expected.transpose(2, 0, 1))
        np.testing.assert_array_equal(ds[3], expected[:, ::-1].transpose(2, 0, 1))
        np.testing.assert_array_equal(ds.part_map(1), part_map(1))
        assert ds.is_cached == (cached > 0)

    def test_said(self, tmp_path):
        ds = ImageDataset(as_zip(tmp_path, pictures(1)), channels=4)
        assert ds.notes == ["1 picture without transparency, made opaque (00.png)"]

    def test_bad(self, tmp_path):
        with pytest.raises(ConfigError, match="channels: got 2, expected one of 1"):
            ImageDataset(as_zip(tmp_path, pictures(1)), channels=2)


class TestSubset:
    def test_chosen_before_mirroring(self, tmp_path):
        path = as_zip(tmp_path, pictures(20))
        ds = ImageDataset(path, subset=5, mirror=True)
        assert len(ds) == 10
        assert ds.names == sorted(ds.names)
        assert ds.notes == ["5 of 20 pictures, chosen with seed 0"]
        for index, name in enumerate(ds.names):
            np.testing.assert_array_equal(ds[index], picture(int(name[:2])).transpose(2, 0, 1))
        assert ImageDataset(path, subset=5).names == ds.names
        assert ImageDataset(path, subset=5, subset_seed=1).names != ds.names
        assert ImageDataset(path, subset=20).names == ImageDataset(path).names

    @settings(max_examples=30, deadline=None)
    @given(total=st.integers(1, 40), seed=st.integers(0, 99), data=st.data())
    def test_smaller_ones_are_part_of_larger_ones(self, total, seed, data):
        names = [f"{index:03d}" for index in range(total)]
        large = data.draw(st.integers(1, total))
        small = data.draw(st.integers(1, large))
        chosen = choose_subset(names, large, seed)
        assert len(chosen) == large
        assert set(choose_subset(names, small, seed)) <= set(chosen) <= set(names)

    def test_pictures_outside_are_not_read(self, tmp_path):
        files = {f"{index}.png": b"" for index in range(9)} | {"9.png": encode_png(picture(0))}
        lucky = next(seed for seed in range(99) if choose_subset(sorted(files), 1, seed) == ["9.png"])
        assert len(ImageDataset(as_zip(tmp_path, files), subset=1, subset_seed=lucky)) == 1

    @pytest.mark.parametrize(("subset", "seed"), [(0, 0), (4, 0), (-1, 0), (2, -1)])
    def test_bad(self, tmp_path, subset, seed):
        with pytest.raises(ConfigError, match=rf"subset: got {subset} .*expected 1 to 3 pictures"):
            ImageDataset(as_zip(tmp_path, pictures(3)), subset=subset, subset_seed=seed)


@both
def test_content_hash(tmp_path, pack):
    ds = ImageDataset(pack(tmp_path / "", pictures(3)))
    same = as_zip(tmp_path, {**pictures(3), "bad.png": b"", "readme.txt": b"hello"})
    assert ImageDataset(same, resolution=8, skip_bad=True, cache_bytes=0).content_hash == ds.content_hash
    changed = as_zip(tmp_path, {**pictures(3), "01.png": encode_png(picture(7))})
    assert ImageDataset(changed).content_hash != ds.content_hash
    assert ImageDataset(as_zip(tmp_path, pictures(2))).content_hash != ds.content_hash


class TestBadInput:
    def one_line(self, caught) -> str:
        message = str(caught.value)
        assert "\n" not in message
        return message

    @both
    def test_unreadable_pictures(self, tmp_path, pack):
        whole = encode_png(picture(0))
        files = pictures(3) | {
            "cut.png": whole[: len(whole) // 2],
            "empty.png": b"",
            "text.jpg": b"hello",
            "zero.png": bytes(100),
        }
        path = pack(tmp_path, files)
        with pytest.raises(DataError) as caught:
            ImageDataset(path)
        message = self.one_line(caught)
        assert (
            f"4 of 7 pictures in {path} cannot be used: cut.png: the picture is damaged or truncated"
            in message
        )
        assert "empty.png: the file is empty; text.jpg: not a picture" in message
        assert "and 1 more; mend or remove them, or leave them out with --skip-bad" in message

        ds = ImageDataset(path, skip_bad=True, mirror=True)
        assert len(ds) == 6
        assert list(ds.skipped) == ["cut.png", "empty.png", "text.jpg", "zero.png"]
        assert ds.names == ["00.png", "01.png", "02.png"]
        assert ds.notes[0].startswith("4 pictures left out (cut.png: the picture is damaged")
        np.testing.assert_array_equal(ds[2], picture(2).transpose(2, 0, 1))

    @both
    @pytest.mark.parametrize("resolution", [None, 8])
    def test_bad_first_picture(self, tmp_path, pack, resolution):
        ds = ImageDataset(
            pack(tmp_path, {"-.png": b"", **pictures(2)}),
            skip_bad=True,
            resolution=resolution,
            part_maps=False,
        )
        assert ds.names == ["00.png", "01.png"]
        if resolution is None:
            np.testing.assert_array_equal(ds[0], picture(0).transpose(2, 0, 1))

    @both
    @pytest.mark.parametrize("skip_bad", [False, True])
    @pytest.mark.parametrize("resolution", [None, 8])
    def test_all_bad(self, tmp_path, pack, skip_bad, resolution):
        with pytest.raises(
            DataError, match=r"none of the 2 pictures in .* can be used: 0.png: the file is empty"
        ):
            ImageDataset(
                pack(tmp_path, {"0.png": b"", "1.png": b"x"}), skip_bad=skip_bad, resolution=resolution
            )

    @both
    @pytest.mark.parametrize("files", [{}, {"readme.txt": b"hello"}, {".hidden.png": b""}])
    def test_no_pictures(self, tmp_path, pack, files):
        with pytest.raises(DataError, match=r"holds no pictures among \d files; expected files of \.bmp"):
            ImageDataset(pack(tmp_path, files))

    def test_missing(self, tmp_path):
        with pytest.raises(
            DataError, match=r"none does not exist; expected a folder or zip file of pictures"
        ):
            ImageDataset(tmp_path / "none")

    @pytest.mark.parametrize("content", [b"", b"hello", encode_png(picture(0)), b"PK\x03\x04" + bytes(100)])
    def test_not_a_zip(self, tmp_path, content):
        path = tmp_path / "shoes.zip"
        path.write_bytes(content)
        with pytest.raises(DataError, match="is not a zip file, or damaged") as caught:
            ImageDataset(path)
        self.one_line(caught)

    def test_truncated_zip(self, tmp_path):
        path = as_zip(tmp_path, pictures(3))
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(DataError, match="is not a zip file, or damaged"):
            ImageDataset(path)

    def test_damaged_zip_member(self, tmp_path):
        path = as_zip(tmp_path, pictures(3))
        with zipfile.ZipFile(path) as archive:
            offset = archive.getinfo("01.png").header_offset
        content = bytearray(path.read_bytes())
        content[offset + 100] ^= 255
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"1 of 3 pictures .* 01\.png: the zip member is damaged"):
            ImageDataset(path)

    def test_encrypted_zip(self, tmp_path):
        path = as_zip(tmp_path, pictures(1))
        content = bytearray(path.read_bytes())
        content[6] |= 1  # in the member's own header
        content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory's
        path.write_bytes(content)
        with pytest.raises(DataError, match="damaged or encrypted"):
            ImageDataset(path)

    @both
    def test_oversized_file(self, tmp_path, pack, monkeypatch):
        monkeypatch.setattr(data_files, "MAX_FILE_BYTES", 2000)
        path = pack(tmp_path, pictures(2) | {"bomb.png": bytes(10_000)})
        with pytest.raises(DataError, match=r"bomb\.png: the file is 10000 bytes; expected at most 2000"):
            ImageDataset(path)

    @both
    def test_labels(self, tmp_path, pack):
        path = pack(tmp_path, shoes(2) | {"labels.json": b"{"})
        with pytest.raises(DataError, match=r"labels\.json in .*shoes.*: the labels file is not JSON"):
            ImageDataset(path)

    @both
    @pytest.mark.parametrize(
        "content", [b"{", b"[]", b'{"attributes": [1]}', b'{"attributes": {"a": {"b": "c"}}}', b"{}"]
    )
    def test_attributes(self, tmp_path, pack, content):
        ds = ImageDataset(pack(tmp_path, shoes(2) | {"attributes.json": content}))
        with pytest.raises(
            DataError, match=r'attributes\.json in .* has another form; expected {"unit": "mm"'
        ):
            ds.attributes(0)

    def test_no_attributes(self, tmp_path):
        assert ImageDataset(as_folder(tmp_path, pictures(1))).attributes(0) is None

    def test_picture_that_went_away(self, tmp_path):
        folder = as_folder(tmp_path, pictures(2))
        ds = ImageDataset(folder, cache_bytes=0)
        (folder / "01.png").unlink()
        assert ds[0].any()
        with pytest.raises(DataError, match=r"cannot read 01\.png in .*: the file does not exist"):
            ds[1]


class TestPartMaps:
    @both
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("masks/01.png", None, "it has no part map; expected masks/01.png"),
            ("masks/01.png", encode_png(picture(0)), r"masks/01\.png: a part map is an 8-bit PNG"),
            (
                "masks/01.png",
                encode_png(np.full((16, 16), 7, np.uint8)),
                r"masks/01\.png: value 7 at 256 pixels",
            ),
            ("masks/01.png", encode_png(part_map(0, 16, 12)), r"masks/01\.png is 12x16, its picture 16x16"),
            ("masks/01.png", b"", r"masks/01\.png: the file is empty"),
        ],
    )
    def test_faults(self, tmp_path, pack, name, content, message):
        files = shoes(3) | {name: content}
        path = pack(tmp_path, {key: value for key, value in files.items() if value is not None})
        with pytest.raises(
            DataError, match=r"1 of 3 pictures in .* cannot be used: images/01\.png: " + message
        ):
            ImageDataset(path, part_maps=True)
        assert ImageDataset(path, part_maps=True, skip_bad=True).names == ["images/00.png", "images/02.png"]

        ds = ImageDataset(path)  # a training without part maps does not mind
        assert ds.part_map(0).shape == (16, 16)
        with pytest.raises(DataError, match=message):
            ds.part_map(1)
        assert ds.has_part_maps == (content is not None)

    def test_no_part_maps(self, tmp_path):
        path = as_folder(tmp_path, pictures(2))
        ds = ImageDataset(path, labels=SHOE_PARTS)
        assert not ds.has_part_maps
        with pytest.raises(DataError, match=r"no part map for 00\.png"):
            ds.part_map(0)
        with pytest.raises(DataError, match="none of the 2 pictures"):
            ImageDataset(path, labels=SHOE_PARTS, part_maps=True)

    def test_no_labels(self, tmp_path):
        files = shoes(2)
        del files["labels.json"]
        path = as_folder(tmp_path, files)
        ds = ImageDataset(path)
        assert ds.labels is None
        assert not ds.has_part_maps
        with pytest.raises(DataError, match=r"add a labels\.json"):
            ds.part_map(0)
        with pytest.raises(DataError, match=r"has no labels\.json; add one"):
            ImageDataset(path, part_maps=True)
        ds = ImageDataset(path, part_maps=True, labels=SHOE_PARTS)
        np.testing.assert_array_equal(ds.part_map(1), part_map(1))

    def test_own_labels_win(self, tmp_path):
        ds = ImageDataset(as_folder(tmp_path, shoes(1)), labels=LabelMap.from_names(["a", "b"]))
        assert ds.labels == SHOE_PARTS

    def test_other_suffix_and_subfolder(self, tmp_path):
        buffer = io.BytesIO()
        Image.fromarray(picture(0)).save(buffer, "JPEG")
        files = {
            "images/left/1.jpg": buffer.getvalue(),
            "masks/left/1.png": encode_part_map(part_map(0), SHOE_PARTS),
            "labels.json": json.dumps(SHOE_PARTS.names).encode(),
        }
        ds = ImageDataset(as_zip(tmp_path, files), part_maps=True)
        np.testing.assert_array_equal(ds.part_map(0), part_map(0))


class TestCacheAndProcesses:
    @both
    @pytest.mark.parametrize("part_maps", [False, True])
    @pytest.mark.parametrize("cached", [0, 1, 3])
    def test_cache_limit_changes_nothing(self, tmp_path, pack, part_maps, cached):
        path = pack(tmp_path, shoes(4) | {"images/000.png": b""})
        settings = {"resolution": 8, "skip_bad": True, "mirror": True, "part_maps": part_maps}
        whole = ImageDataset(path, **settings)
        part = ImageDataset(path, **settings, cache_bytes=cached * 8 * 8 * (3 + part_maps))
        assert len(part._cache) == cached
        for index in range(8):
            np.testing.assert_array_equal(part[index], whole[index])
            np.testing.assert_array_equal(part.part_map(index), whole.part_map(index))

    @both
    def test_pickle_leaves_the_cache_behind(self, tmp_path, pack):
        ds = ImageDataset(pack(tmp_path, shoes(3)), part_maps=True)
        content = pickle.dumps(ds)
        assert len(content) < 5000
        copy = pickle.loads(content)
        assert len(copy) == 3
        for index in range(3):
            np.testing.assert_array_equal(copy[index], ds[index])
            np.testing.assert_array_equal(copy.part_map(index), ds.part_map(index))

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of threads
    def test_forked_readers_do_not_disturb_each_other(self, tmp_path):
        ds = ImageDataset(as_zip(tmp_path, pictures(40)), cache_bytes=0)
        expected = [picture(index).transpose(2, 0, 1).tobytes() for index in range(40)]

        def read(order, connection):
            connection.send(all(ds[index].tobytes() == expected[index] for index in order))

        fork = multiprocessing.get_context("fork")
        readers = []
        for step in (1, 3, 7):
            receiver, sender = fork.Pipe(duplex=False)
            process = fork.Process(target=read, args=([step * k % 40 for k in range(120)], sender))
            process.start()
            readers.append((process, receiver))
        for process, receiver in readers:
            assert receiver.recv()
            process.join()

    def test_data_loader(self, tmp_path):
        torch = pytest.importorskip("torch")
        ds = ImageDataset(as_zip(tmp_path, pictures(6)))
        loader = torch.utils.data.DataLoader(
            ds, batch_size=4, sampler=itertools.islice(infinite_indices(6, 0), 8)
        )
        batches = list(loader)
        assert [batch.shape for batch in batches] == [(4, 3, 16, 16)] * 2
        assert batches[0].dtype == torch.uint8


class TestInfiniteIndices:
    @settings(max_examples=50, deadline=None)
    @given(n=st.integers(1, 50), seed=st.integers(0, 2**40), start=st.integers(0, 300))
    def test_resumes_anywhere(self, n, seed, start):
        whole = list(itertools.islice(infinite_indices(n, seed), start + 100))
        assert list(itertools.islice(infinite_indices(n, seed, start), 100)) == whole[start:]

    @settings(max_examples=50, deadline=None)
    @given(n=st.integers(1, 50), seed=st.integers(0, 2**40))
    def test_each_epoch_is_a_permutation(self, n, seed):
        stream = infinite_indices(n, seed)
        for _ in range(3):
            assert sorted(itertools.islice(stream, n)) == list(range(n))

    def test_epochs_and_seeds_differ(self):
        first, second = (list(itertools.islice(infinite_indices(100, 0, start), 100)) for start in (0, 100))
        other = list(itertools.islice(infinite_indices(100, 1), 100))
        assert first != second
        assert first != other
        assert all(type(index) is int for index in first)

    def test_values_are_pinned(self):
        # A resumed training must see the order of the version that began it.
        assert list(itertools.islice(infinite_indices(5, 7), 10)) == [2, 0, 4, 1, 3, 3, 0, 2, 1, 4]

    @pytest.mark.parametrize("arguments", [(0, 0), (3, -1), (3, 0, -1)])
    def test_errors(self, arguments):
        with pytest.raises(ConfigError, match="expected n ≥ 1, seed ≥ 0 and start ≥ 0"):
            next(infinite_indices(*arguments))


@needs_shared_data
class TestRealPhotographs:
    def test_sneakers(self, tmp_path):
        with zipfile.ZipFile(SHARED_DATA / "sneakers256.zip") as archive:
            files = {name: archive.read(name) for name in archive.namelist()[:8]}
        ds = ImageDataset(as_zip(tmp_path, files), resolution=64)
        assert ds.names[0] == "00/img00000.jpg"
        assert ds.image_shape == (3, 64, 64)
        assert ds[0][:, 0, 0].min() > 200  # a light background

    def test_amateur_photographs(self):
        path = SHARED_DATA / "shoes_cc0.zip"
        ds = ImageDataset(path, resolution=64, fit="crop")
        assert len(ds) == 224
        assert ds[223].shape == (3, 64, 64)
        with pytest.raises(
            DataError, match=r"sizes \(width x height\): 400x533 \(\d+, such as img0000.jpg\)"
        ):
            ImageDataset(path)

    def test_clothes_with_part_maps(self, tmp_path):
        with zipfile.ZipFile(SHARED_DATA / "ccp.zip") as archive:
            files = {name: archive.read(name) for name in archive.namelist()[:9]}
        ds = ImageDataset(as_zip(tmp_path, files), resolution=(192, 128), fit="pad", part_maps=True)
        assert len(ds) == 4
        assert ds.labels is not None
        assert len(ds.labels) == 59
        assert ds.part_map(0).shape == (192, 128)
        assert ds.part_map(0).max() > 0
