"""Class labels of pictures."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoegen.data.classes import MAX_CLASSES, Classes, find_classes
from shoegen.data.datasets import ImageDataset
from shoegen.data.files import PictureFiles
from shoegen.data.images import encode_png
from shoegen.errors import ConfigError, DataError

from .packs import as_folder, as_zip, labelled, picture, pictures, shoes


def find(path, source="auto") -> Classes:
    return find_classes(PictureFiles(path), source)


def in_folders() -> dict[str, bytes]:
    names = ["boot/0.png", "boot/1.png", "sandal/x/0.png", "sneaker/0.png"]
    return {name: encode_png(picture(index)) for index, name in enumerate(names)}


class TestDatasetJson:
    @pytest.mark.parametrize("form", [list, dict])
    def test_published_form(self, tmp_path, form):
        labels = form([["00.png", 2], ["02.png", 0], ["01.png", 1]])
        found = find(as_zip(tmp_path, pictures(3) | {"dataset.json": labelled(labels)}))
        assert found == Classes(["0", "1", "2"], {"00.png": 2, "01.png": 1, "02.png": 0})

    def test_names_relative_to_images(self, tmp_path):
        labels = [["00.png", 1], ["images/01.png", 0]]
        found = find(as_folder(tmp_path, shoes(2) | {"dataset.json": labelled(labels)}))
        assert found.of == {"images/00.png": 1, "images/01.png": 0}

    def test_class_names(self, tmp_path):
        content = labelled([["00.png", 0], ["01.png", 0]], ["boot", "sandal"])
        found = find(as_zip(tmp_path, pictures(2) | {"dataset.json": content}))
        assert found.names == ["boot", "sandal"]
        assert found.notes[0].startswith("1 of 2 classes in dataset.json in ")
        assert found.notes[0].endswith("have no picture (sandal)")

    def test_gap(self, tmp_path):
        content = labelled([["00.png", 0], ["01.png", 3]])
        found = find(as_zip(tmp_path, pictures(2) | {"dataset.json": content}))
        assert found.names == ["0", "1", "2", "3"]
        assert found.notes[0].endswith("have no picture (1, 2)")

    @pytest.mark.parametrize("labels", [None, [], {}, [["00.png", None], ["01.png", None]]])
    def test_no_labels(self, tmp_path, labels):
        path = as_zip(tmp_path, pictures(2) | {"dataset.json": labelled(labels)})
        assert find(path) == Classes()
        (tmp_path / "mine.json").write_bytes(labelled(labels))
        with pytest.raises(DataError, match=r"mine\.json has no labels; expected"):
            find(path, tmp_path / "mine.json")

    def test_incomplete(self, tmp_path):
        content = labelled([["00.png", 1], ["01.png", None]])
        path = as_zip(tmp_path, pictures(3) | {"dataset.json": content})
        found = find(path)
        assert not found.of
        assert "labels 1 of 3 pictures, and not 01.png" in found.notes[0]
        assert found.notes[0].endswith("the classes are not used")
        (tmp_path / "mine.json").write_bytes(content)
        with pytest.raises(DataError, match=r"labels 1 of 3 pictures, and not 01\.png; .*--classes none"):
            find(path, str(tmp_path / "mine.json"))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"{", "is not JSON"),
            (b"[" * 100_000, "is not JSON"),
            (b"\xff\xfe\x00", "is not JSON"),
            (b'{"labels": [["00.png", ' + b"9" * 5000 + b"]]}", "is not JSON|labels 00.png"),
            (b"[]", "has another form; expected"),
            (b'{"labels": 3}', "has another form; expected"),
            (b'{"labels": ["00.png"]}', "has another form"),
            (b'{"labels": [[1, 2]]}', "has another form"),
            (labelled([["00.png", -1]]), "labels 00.png -1; expected 0 to 9999"),
            (labelled([["00.png", MAX_CLASSES]]), "labels 00.png 10000; expected 0 to 9999"),
            (labelled([["00.png", 1.5]]), "labels 00.png 1.5; expected a whole number"),
            (labelled([["00.png", "boot"]]), "labels 00.png 'boot'; expected a whole number"),
            (labelled([["00.png", True]]), "labels 00.png True; expected a whole number"),
            (labelled([["00.png", [0.5, 1.0]]]), "has a vector as the label of 00.png; only classes"),
            (labelled([["other.png", 1]]), "labels 'other.png', which is no picture of"),
            (labelled([["00.png", 0], ["00.png", 1], ["01.png", 1]]), "labels 00.png twice"),
            (labelled([["00.png", 0], ["01.png", 2]], ["a", "b"]), "has label 2, and 2 class names"),
            (labelled([["00.png", 0], ["01.png", 1]], ["a", "a"]), "all different"),
            (labelled([["00.png", 0], ["01.png", 1]], [1, 2]), "class_names is no list of names"),
        ],
    )
    def test_bad(self, tmp_path, content, message):
        path = as_zip(tmp_path, pictures(2) | {"dataset.json": content})
        with pytest.raises(DataError, match=message) as caught:
            find(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
        assert find(path, "none") == Classes()  # the way out that the message names

    def test_huge(self, tmp_path):
        path = as_zip(tmp_path, pictures(2) | {"dataset.json": b" " * (2**20 + 2001)})
        with pytest.raises(DataError, match="is 1050577 bytes; expected at most 1050576 for 2 pictures"):
            find(path)

    @settings(max_examples=60, deadline=None)
    @given(
        value=st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False)
            | st.sampled_from(["00.png"]),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["00.png", "labels"]), inner)
            ),
        )
    )
    def test_any_json_gives_classes_or_data_error(self, tmp_path_factory, value):
        path = tmp_path_factory.mktemp("set")
        (path / "00.png").write_bytes(b"")
        (path / "dataset.json").write_text(json.dumps({"labels": value}))
        try:
            found = find(path)
        except DataError:
            return
        assert set(found.of) in (set(), {"00.png"})
        assert all(0 <= index < len(found.names) for index in found.of.values())


class TestFolders:
    @pytest.mark.parametrize("outer", ["", "images/"])
    def test_folders(self, tmp_path, outer):
        path = as_zip(tmp_path, {outer + name: content for name, content in in_folders().items()})
        found = find(path, "folders")
        assert found.names == ["boot", "sandal", "sneaker"]
        assert list(found.of.values()) == [0, 0, 1, 2]
        hint = find(path)
        assert hint.names == []
        assert hint.notes == [
            "no classes; if the 3 folders (boot, sandal, sneaker) are classes, say --classes folders"
        ]

    def test_bad(self, tmp_path):
        with pytest.raises(DataError, match=r"1 of 5 pictures are in no folder, such as loose\.png"):
            find(as_folder(tmp_path, in_folders() | {"loose.png": b""}), "folders")
        with pytest.raises(
            DataError, match=r"has 1 folders of pictures \(boot\); --classes folders expects 2"
        ):
            find(as_zip(tmp_path, {"boot/0.png": b""}), "folders")


def test_own_file(tmp_path):
    path = as_zip(tmp_path, pictures(2) | {"dataset.json": b"{"})
    (tmp_path / "mine.json").write_bytes(labelled({"00.png": 1, "01.png": 0}))
    assert find(path, tmp_path / "mine.json").of == {"00.png": 1, "01.png": 0}
    with pytest.raises(
        ConfigError, match="got 'folder', expected auto, none, folders, or a JSON file that exists"
    ):
        find(path, "folder")
    with pytest.raises(DataError, match="Is a directory"):
        find(path, tmp_path)


class TestDataset:
    def test_classes_of_pictures(self, tmp_path):
        path = as_zip(tmp_path, in_folders() | {"boot/bad.png": b""})
        ds = ImageDataset(path, classes="folders", mirror=True, skip_bad=True)
        assert ds.class_names == ["boot", "sandal", "sneaker"]
        assert [ds.class_of(index) for index in range(8)] == [0, 0, 1, 2] * 2
        assert ds.class_of(-1) == 2
        assert (
            "3 classes: boot 2, sandal 1, sneaker 1; conditional training uses them, --classes none does not"
            in ds.notes
        )

    def test_none_by_default(self, tmp_path):
        ds = ImageDataset(as_zip(tmp_path, pictures(2) | {"dataset.json": b"{"}))
        assert ds.class_names == []
        assert ds.class_of(0) is None
        assert ds.notes == []

    def test_a_subset_keeps_all_classes(self, tmp_path):
        ds = ImageDataset(as_zip(tmp_path, in_folders()), classes="folders", subset=1)
        assert len(ds.class_names) == 3
        assert any("sneaker 0" in note or "sandal 0" in note for note in ds.notes)
