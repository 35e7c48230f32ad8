import copy
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.errors import ConfigError, DataError
from shoegen.measure import ATTRIBUTES, Attribute, NotMeasured, is_one_shoe, measure, register

from .conftest import HEEL, SHAFT, SOLE, UPPER

SILHOUETTES = ["silhouette_ratio", "collar_height", "toe_pointedness", "instep_curve"]


def test_every_attribute_is_there_or_has_a_reason(blocks):
    image = np.full((*blocks.shape, 3), 128, np.uint8)
    for measured in (measure(blocks, image=image), measure(blocks), measure(blocks > 0)):
        assert list(measured) == list(ATTRIBUTES)
        assert measured.reasons.keys() == {name for name, value in measured.items() if math.isnan(value)}
    colours = {name for name, attribute in ATTRIBUTES.items() if attribute.needs == "image"}
    assert set(measure(blocks).reasons) == {"toe_pointedness", *colours}
    assert measure(blocks).reasons["upper_l"] == "needs the picture"
    assert measure(blocks).reasons["toe_pointedness"] == "the toe does not rise"


def test_a_silhouette_has_but_its_own_attributes(blocks):
    measured = measure(blocks > 0, image=np.zeros((*blocks.shape, 3), np.uint8))
    assert measured["silhouette_ratio"] == pytest.approx(0.4)
    for name, reason in measured.reasons.items():
        assert name not in SILHOUETTES[:2]
        assert reason == "needs a part map" or name == "toe_pointedness"
    assert {ATTRIBUTES[name].needs for name in SILHOUETTES} == {"silhouette"}


def test_some_attributes(blocks):
    assert measure(blocks, attributes=["heel", "silhouette_ratio"]).keys() == {
        "heel_height",
        "silhouette_ratio",
    }
    with pytest.raises(ConfigError, match="no attribute 'hue'; expected one of heel, "):
        measure(blocks, attributes=["hue"])


@pytest.mark.parametrize(
    ("fill", "reason"), [(0, "no shoe"), (UPPER, "no sole")], ids=["nothing", "an upper without a sole"]
)
def test_without_shoe_or_sole(fill, reason):
    part_map = np.zeros((64, 64), np.uint8)
    part_map[20:40, 10:50] = fill
    measured = measure(part_map)
    for name in ATTRIBUTES:
        if ATTRIBUTES[name].needs == "parts":
            assert measured.reasons[name] == reason, name
    assert (measured["silhouette_ratio"] == pytest.approx(0.5)) == (fill == UPPER)


def test_a_speck_is_no_shoe():
    part_map = np.zeros((100, 100), np.uint8)
    part_map[50:55, 50:60] = SOLE
    assert measure(part_map).reasons["heel_height"] == "no shoe that fills 1% of the picture"


def test_labels_may_be_in_another_order_or_lack_a_part(blocks):
    labels = LabelMap.from_names(SHOE_PARTS.names[::-1])
    assert measure(6 - blocks, labels) == measure(blocks)
    whole = LabelMap.from_names(["background", "shoe"])
    measured = measure((blocks > 0).astype(np.uint8), whole)
    assert measured.reasons["heel_height"] == "needs a part map that tells the sole apart"
    assert measured["silhouette_ratio"] == measure(blocks > 0)["silhouette_ratio"]


def test_what_is_no_part_of_a_shoe_does_not_count(blocks):
    worn = LabelMap.from_names([*SHOE_PARTS.names, "skin"])
    bare = measure(blocks)
    blocks[:20, 90:110] = 7
    assert measure(blocks, worn) == bare


@pytest.mark.parametrize(
    ("part_map", "image", "message"),
    [
        (np.zeros((1, 8, 8), np.uint8), None, r"expected \(H, W\)"),
        (np.zeros((8, 8), np.int64), None, "int64, expected uint8, or bool"),
        (np.full((8, 8), 9, np.uint8), None, "class 9, expected 0 to 6"),
        (np.zeros((8, 8), np.uint8), np.zeros((9, 9, 3), np.uint8), "as its part map"),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), "float64, expected uint8"),
    ],
)
def test_wrong_arrays(part_map, image, message):
    with pytest.raises(DataError, match=message):
        measure(part_map, image=image)


def test_never_fails_on_nonsense():
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 60, 2)
        part_map = rng.integers(0, 7, (height, width)).astype(np.uint8)
        part_map[rng.random((height, width)) < rng.random()] = 0
        part_map = part_map.repeat(rng.integers(1, 4), 0).repeat(rng.integers(1, 4), 1)
        image = rng.integers(0, 256, (*part_map.shape, 3), np.uint8)
        assert measure(part_map, image=image).keys() == ATTRIBUTES.keys()
        assert measure(part_map > 0).keys() == ATTRIBUTES.keys()
        is_one_shoe(part_map)
    assert measure(np.zeros((0, 0), np.uint8)).reasons["heel_height"] == "no shoe"
    diagonal = np.eye(60, dtype=np.uint8).repeat(4, 0) * SOLE
    assert measure(diagonal)["heel_height"] == 0


def test_measures_can_be_copied_and_sent(blocks):
    measured = measure(blocks)
    for other in (pickle.loads(pickle.dumps(measured)), copy.deepcopy(measured)):
        assert other.reasons == measured.reasons
        assert other.keys() == measured.keys()


def test_own_functions_are_measured_and_their_errors_counted(blocks, registry):
    def fails(shoe):
        return shoe.length / 0

    def gives_up(shoe):
        raise NotMeasured("not my kind of shoe")

    for name, function in [
        ("fullness", lambda shoe: shoe.area / shoe.length**2),
        ("failing", fails),
        ("fussy", gives_up),
        ("endless", lambda shoe: math.inf),
        ("wordy", lambda shoe: "high"),
        ("counted", lambda shoe: np.int64(3)),
    ]:
        register(Attribute(name, "", "ratio", "silhouette", "", function))
    register(Attribute("skin", "", "ratio", "image", "", lambda shoe: 1.0))
    with pytest.warns(UserWarning, match="attribute failing: its function failed: ZeroDivisionError"):
        measured = measure(blocks)
    assert measured["fullness"] == pytest.approx(np.count_nonzero(blocks) / 100**2)
    assert measured["counted"] == 3
    assert measured.reasons["failing"].startswith("its function failed: ZeroDivisionError")
    assert measured.reasons["fussy"] == "not my kind of shoe"
    assert measured.reasons["endless"] == "its function gave inf"
    assert measured.reasons["wordy"] == "its function gave 'high'"
    assert measured.reasons["skin"] == "needs the picture"


def test_is_one_shoe(blocks, shoes):
    assert is_one_shoe(blocks)
    assert is_one_shoe(blocks > 0)
    assert all(is_one_shoe(shoe.part_map) for _, shoe in shoes)
    assert not is_one_shoe(np.zeros((64, 64), np.uint8))
    two = np.concatenate([blocks, blocks], 1)
    assert not is_one_shoe(two)
    assert not is_one_shoe(two > 0)
    blocks[blocks == SOLE] = UPPER
    assert not is_one_shoe(blocks)


def test_parts_that_are_not_where_they_belong(blocks):
    floating = blocks.copy()
    floating[60:90, 100:120] = 0
    floating[60:75, 100:120] = HEEL
    assert measure(floating).reasons["heel_height"] == "a heel that does not reach the ground"
    front = blocks.copy()
    front[20:50, 80:100] = SHAFT
    front[20:50, 88:120] = UPPER
    assert measure(front).reasons["shaft_height"] == "a shaft that is not at the rear"
    barefoot = blocks.copy()
    barefoot[80:90, 40:60] = UPPER
    assert measure(barefoot).reasons["platform_height"] == "no sole under the ball"


def test_loads_no_torch():
    code = "import sys, shoegen.measure; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
