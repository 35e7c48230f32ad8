"""Label maps."""

import json

import numpy as np
import pytest

from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.errors import DataError


def test_shoe_parts():
    assert SHOE_PARTS.names == ("background", "sole", "heel", "upper", "shaft", "opening", "fastening")
    assert SHOE_PARTS.index("heel") == 2
    assert len(set(SHOE_PARTS.colors)) == len(SHOE_PARTS) == 7
    with pytest.raises(DataError, match="no class 'lace'; expected one of background, sole"):
        SHOE_PARTS.index("lace")


def test_json_round_trip(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(SHOE_PARTS.to_json()))
    assert LabelMap.read(path) == LabelMap.read(str(path)) == LabelMap.read(path.read_bytes()) == SHOE_PARTS


@pytest.mark.parametrize("count", [1, 2, 59, 256])
def test_names_get_colours_of_their_own(count):
    labels = LabelMap.from_names([f"class {i}" for i in range(count)])
    assert len(labels) == len(set(labels.colors)) == count
    assert labels.colors[0] == (255, 255, 255)


def test_colorize():
    part_maps = np.array([[[0, 1], [2, 6]]], np.uint8)
    colored = SHOE_PARTS.colorize(part_maps)
    assert colored.shape == (1, 2, 2, 3)
    assert colored.dtype == np.uint8
    assert tuple(colored[0, 1, 1]) == SHOE_PARTS.colors[6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (b"\xff\xfe\xfd", "is not JSON"),
        ("{}", "got dict, expected a list of class names"),
        ("[]", "got 0 classes, expected 1 to 256"),
        (json.dumps([str(i) for i in range(257)]), "got 257 classes"),
        ('["sole", "heel", "sole"]', "sole repeats"),
        ('["sole", 3]', "expected names or objects"),
        ('[{"name": "sole"}]', "expected names or objects"),
        ('[{"name": "sole", "color": [1, 2]}]', "expected names or objects"),
        ('[{"name": "sole", "color": [1, 2, Infinity]}]', "expected names or objects"),
        ('[{"name": "sole", "color": [1, 2, 256]}]', r"sole has the colour \(1, 2, 256\), expected"),
        ('[{"name": "sole", "color": [1, 2, -1]}]', "expected three values 0..255"),
    ],
)
def test_bad_labels(tmp_path, content, message):
    path = tmp_path / "labels.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as caught:
        LabelMap.read(path)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the labels file .*none\.json: No such file"):
        LabelMap.read(tmp_path / "none.json")


def test_constructor_checks():
    with pytest.raises(DataError, match="got 1 colours for 2 classes"):
        LabelMap(("a", "b"), ((0, 0, 0),))
