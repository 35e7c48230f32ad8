import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from shoegen.data.images import encode_part_map, encode_png, write_image, write_part_map
from shoegen.data.labels import IGNORED, SHOE_PARTS, LabelMap
from shoegen.errors import ConfigError, DataError
from shoegen.spade.data import SpadeData
from shoegen.spade.maps import MappedPictures, decode_map, read_map

from .small_runs import tiny_training

LABELS = LabelMap(("ground", "wall", "sky"), ((0, 120, 0), (200, 10, 10), (30, 60, 255)))


def part_map(seed, height=16, width=16, classes=3):
    return np.random.default_rng(seed).integers(0, classes, (height, width), np.uint8)


def picture(seed, height=16, width=16):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def apart(tmp_path):
    """Pictures in folders, and their maps in another."""
    for i, name in enumerate(["a/one.jpg", "a/two.png", "b/three.png", "b/four.jpg"]):
        write_image(tmp_path / "photos" / name, picture(i))
        write_part_map(tmp_path / "maps" / f"{name[2:].partition('.')[0]}.png", part_map(i), LABELS)
    (tmp_path / "maps" / "labels.json").write_text(json.dumps(LABELS.to_json()))
    return tmp_path


def open_apart(folder, **changes):
    return SpadeData(tiny_training(folder / "photos", maps=str(folder / "maps"), **changes))


def test_a_data_set_is_read_and_divided(shoes):
    data = SpadeData(tiny_training(shoes))
    assert data.labels == SHOE_PARTS
    assert (len(data.train), len(data.val)) == (12, 4)
    assert not set(data.train) & set(data.val)
    with data.batches(range(4), 0) as batches:
        images, part_maps, edges = next(batches)
    assert edges is None
    assert images.shape == (4, 3, 32, 32)
    assert part_maps.shape == (4, 32, 32)
    assert part_maps.max() < 7
    assert sum(len(batch.images) for batch in data.validation(3)) == 4


def test_maps_apart_from_the_pictures_are_found_by_name(apart):
    write_image(apart / "maps" / "one.overlay.png", picture(9))  # as `shoegen segment --overlay` leaves it
    write_part_map(apart / "maps" / "five.png", part_map(5), LABELS)
    data = open_apart(apart)
    assert data.labels == LABELS
    assert data.notes[-1] == "1 part maps have no picture (five.png)"
    index = data.dataset.names.index("b/three.png")
    assert set(np.unique(data.dataset.part_map(index))) == set(np.unique(part_map(2)))
    assert len(open_apart(apart, val_share=0.5).val) == 2


def test_masks_of_a_data_set_without_a_picture_are_mentioned(tmp_path):
    for i, name in enumerate(["a.png", "b.png", "c.png"]):
        write_image(tmp_path / "images" / name, picture(i))
        write_part_map(tmp_path / "masks" / name, part_map(i), LABELS)
    (tmp_path / "labels.json").write_text(json.dumps(LABELS.to_json()))
    (tmp_path / "images" / "c.png").unlink()
    assert SpadeData(tiny_training(tmp_path)).notes[-1] == "1 part maps have no picture (masks/c.png)"


def test_the_masks_of_a_whole_data_set_are_maps_too(shoes):
    assert SpadeData(tiny_training(shoes, maps=str(shoes))).dataset.has_part_maps


def test_a_changed_part_map_is_another_data_set(apart):
    before = open_apart(apart).fingerprint
    assert open_apart(apart).fingerprint == before
    write_part_map(apart / "maps" / "one.png", part_map(8), LABELS)
    assert open_apart(apart).fingerprint != before


def palette_png(part_map, colors):
    image = Image.fromarray(part_map)
    image.putpalette(np.array(colors, np.uint8).tobytes())
    return image


@pytest.mark.parametrize("kind", ["index", "grey", "colours", "with alpha", "palette in another order"])
def test_maps_of_every_kind_are_read(kind, tmp_path):
    true = part_map(0)
    path = tmp_path / "map.png"
    if kind == "index":
        path.write_bytes(encode_part_map(true, LABELS))
    elif kind == "grey":
        Image.fromarray(true).save(path)
    elif kind == "colours":
        path.write_bytes(encode_png(LABELS.colorize(true)))
    elif kind == "with alpha":
        write_image(path, np.dstack([LABELS.colorize(true), np.full(true.shape, 255, np.uint8)]))
    else:
        order = [2, 0, 1]
        palette_png(np.argsort(order).astype(np.uint8)[true], [LABELS.colors[i] for i in order]).save(path)
    np.testing.assert_array_equal(read_map(path, LABELS), true)


def test_a_palette_of_other_colours_is_left_aside():
    image = palette_png(part_map(0), [(0, 0, 0), (9, 9, 9), (30, 60, 255)])
    image.save(file := io.BytesIO(), "PNG")
    np.testing.assert_array_equal(decode_map(file.getvalue(), LABELS), part_map(0))


def write_bad(folder, kind):
    """Spoils the second map, and says what is expected of the message."""
    path = folder / "maps" / "two.png"
    if kind == "value":
        Image.fromarray(np.where(part_map(1) == 2, np.uint8(9), part_map(1))).save(path)
        count = np.count_nonzero(part_map(1) == 2)
        return f"two.png: value 9 at {count} pixels is no class"
    if kind == "colour":
        drawn = LABELS.colorize(part_map(1))
        drawn[3, 4:7] = (1, 2, 3)
        path.write_bytes(encode_png(drawn))
        return r"two.png: colour \(1, 2, 3\) at 3 pixels is no class .* expected those of ground, wall, sky"
    if kind == "size":
        write_part_map(path, part_map(1, 16, 15), LABELS)
        return "two.png is 15x16, its picture 16x16; expected one size"
    if kind == "missing":
        path.unlink()
        return r"it has no part map; expected two.png in .*maps"
    if kind == "jpeg":
        path.write_bytes((folder / "photos" / "a" / "one.jpg").read_bytes())
        return "two.png: a mask of colours is an 8-bit RGB PNG, got JPEG RGB"
    path.write_bytes(path.read_bytes()[:-40])
    return "two.png: the part map is damaged or truncated"


@pytest.mark.parametrize("kind", ["value", "colour", "size", "missing", "jpeg", "damaged"])
def test_every_map_is_checked_before_training(kind, apart):
    message = write_bad(apart, kind)
    with pytest.raises(DataError, match="1 of 4 pictures") as raised:
        open_apart(apart)
    assert re.search(rf"photos cannot be used: a/two.png: {message}.*--skip-bad", str(raised.value))
    assert "\n" not in str(raised.value)
    assert len(open_apart(apart, skip_bad=True).dataset) == 3


def instances_of(folder, names=("one", "two", "three", "four")):
    """Two things side by side, with values of more than 8 bits."""
    numbers = np.full((16, 16), 7, np.uint16)
    numbers[:, 8:] = 7000
    for name in names:
        (folder / "instances").mkdir(exist_ok=True)
        Image.fromarray(numbers).save(folder / "instances" / f"{name}.png")
    return str(folder / "instances")


def test_boundaries_of_instances_come_with_the_part_maps(apart):
    data = open_apart(apart, instances=instances_of(apart), edges=True)
    edges = data.samples(1).edges
    assert edges.shape == (1, 32, 32)
    assert edges.dtype == bool
    assert edges[0].all(0).nonzero()[0].tolist() == [15, 16]
    assert edges.sum() == 64
    assert open_apart(apart).samples(1).edges is None
    assert data.fingerprint != open_apart(apart).fingerprint


def test_instances_are_checked_before_training(apart):
    path = instances_of(apart, ("one", "two", "three"))
    with pytest.raises(DataError, match=r"instances of 1 of 4 pictures.*b/four.jpg: it has no instances"):
        open_apart(apart, instances=path, edges=True)
    Image.fromarray(picture(0, 64, 64)).save(apart / "instances" / "four.png")
    with pytest.raises(DataError, match=r"b/four.jpg: it has 4096 values or colours"):
        open_apart(apart, instances=path, edges=True)
    Image.new("L", (8, 16)).save(apart / "instances" / "four.png")
    with pytest.raises(DataError, match=r"four.png is 8x16, its picture 16x16"):
        open_apart(apart, instances=path, edges=True)
    with pytest.raises(ConfigError, match="--instances: got none, and the model has a channel"):
        open_apart(apart, edges=True)
    with pytest.raises(ConfigError, match="not --val"):
        open_apart(apart, instances=path, edges=True, val="x")


def test_labels_must_be_known(apart):
    (apart / "maps" / "labels.json").rename(apart / "classes.json")
    with pytest.raises(DataError, match=r"maps has no labels.json.*--labels"):
        open_apart(apart)
    assert open_apart(apart, labels=str(apart / "classes.json")).labels == LABELS


def test_a_map_that_would_be_that_of_two_pictures_is_refused(apart):
    write_image(apart / "photos" / "c" / "one.png", picture(7))
    with pytest.raises(
        DataError, match=r"one.png in --maps .* would be the part map of a/one.jpg, c/one.png"
    ):
        MappedPictures(apart / "photos", apart / "maps")


def test_what_a_model_cannot_learn_is_said(apart):
    for name in ("one", "two", "three", "four"):
        write_part_map(apart / "maps" / f"{name}.png", np.uint8(name == "two") * (part_map(0) > 1), LABELS)
    notes = open_apart(apart).notes
    assert "no part map has sky; the model will not know how to paint it" in notes
    assert "3 part maps are of one class alone, those of a/one.jpg, b/four.jpg, b/three.png" in notes


def test_the_margin_of_other_shapes_is_no_class(apart):
    for i, name in enumerate(["one", "two", "three", "four"]):
        write_part_map(apart / "maps" / f"{name}.png", part_map(i, 16, 24), LABELS)
    for i, name in enumerate(["a/one.jpg", "a/two.png", "b/three.png", "b/four.jpg"]):
        write_image(apart / "photos" / name, picture(i, 16, 24))
    with pytest.raises(DataError, match="--fit"):
        open_apart(apart)
    part_maps = open_apart(apart, fit="pad").samples(1).part_maps
    assert (part_maps[0, :4] == IGNORED).all()
    assert (part_maps[0, 8:24] != IGNORED).all()


def test_other_data_to_validate_on_have_the_same_classes(apart, shoes):
    with pytest.raises(DataError, match="other classes"):
        open_apart(apart, val=str(shoes))
    with pytest.raises(DataError, match="--allow-shared"):
        SpadeData(tiny_training(shoes, val=str(shoes)))
    assert len(SpadeData(tiny_training(shoes, val=str(shoes), allow_shared=True)).val) == 16
