import csv
import io
import json
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from shoegen.cli import main
from shoegen.data.images import write_image
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.data.synthetic import (
    STYLES,
    Backgrounds,
    Wearer,
    make_dataset,
    render_shoe,
    render_worn,
    sample_parameters,
    sample_wearer,
)
from shoegen.data.synthetic.surroundings import world_grid
from shoegen.data.synthetic.wearers import CLOTHING, FLOORS, RANGES, WALLS
from shoegen.errors import ConfigError

OPENING = SHOE_PARTS.index("opening")
CONTACT = 22  # mm around a shoe that its shadow reaches
ANKLE = 130  # mm above the heel seat: below, the foot follows the shoe


def wearing(clothing: str, seed: int = 0) -> Wearer:
    wearers = (sample_wearer(seed, index) for index in range(1000))
    return next(wearer for wearer in wearers if wearer.clothing == clothing)


def shoe(style: str, seed: int = 0, **changes):
    return replace(sample_parameters(seed, 0, (style,)), **changes)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_image(folder / "green.png", np.full((40, 60, 3), (10, 200, 20), np.uint8))
    return folder


def test_is_what_it_says():
    parameters, wearer = sample_parameters(1, 2), sample_wearer(1, 2)
    worn = render_worn(parameters, wearer, 64)
    for picture in (worn.photo, worn.article):
        assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)
    assert (worn.part_map.shape, worn.part_map.dtype) == ((64, 64), np.uint8)
    assert np.array_equal(worn.article, render_shoe(parameters, 64).image)
    assert worn.attributes == parameters.attributes
    again = render_worn(parameters, sample_wearer(1, 2), 64)
    assert np.array_equal(worn.photo, again.photo)
    assert np.array_equal(worn.part_map, again.part_map)
    assert not np.array_equal(worn.photo, render_worn(parameters, sample_wearer(1, 3), 64).photo)
    with pytest.raises(ConfigError, match="resolution is 16"):
        render_worn(parameters, wearer, 16)


@pytest.mark.parametrize("clothing", CLOTHING)
def test_another_shoe_changes_only_shoe_foot_and_contact(clothing):
    """To the bit: the truth of a swap is the photo but for the two shoes, the feet in them and what these touch."""
    wearer = wearing(clothing)
    x, y = world_grid(wearer, 96)
    flat = shoe("loafer", heel_height=0.0)
    shoes = [flat, *(shoe(style) for style in STYLES), shoe("pump", heel_height=118.0, heel_shape="stiletto")]
    pictures = [(p, render_worn(p, wearer, 96)) for p in shoes]
    for one, first in pictures[:3]:
        for two, second in pictures:
            changed = (first.photo != second.photo).any(2)
            both = ((first.part_map > 0) | (second.part_map > 0)).astype(np.uint8)
            off = cv2.distanceTransform(1 - both, cv2.DIST_L2, 5) * wearer.width / 96
            seat = max(p.heel_height + p.sole_thickness + p.platform_height for p in (one, two))
            foot = (y < seat + ANKLE) & (x > -175) & (x < 10)
            assert not (changed & (off > CONTACT) & ~foot).any()
            if one is not two:
                assert changed.any()


def test_shoes_are_whole_stand_at_one_place_and_reach_no_border():
    for index in range(40):
        wearer = sample_wearer(4, index)
        flat, high = shoe("sneaker", index, heel_height=0.0), shoe("high_boot", index, heel_height=120.0)
        for parameters in (flat, high, sample_parameters(4, index)):
            part_map = render_worn(parameters, wearer, 48).part_map
            border = np.concatenate([part_map[0], part_map[-1], part_map[:, 0], part_map[:, -1]])
            assert not border.any()
            rows, columns = np.nonzero(part_map)
            _, y = world_grid(wearer, 48)
            step = wearer.width / 48
            # It stands on the ground line, its length a shoe's.
            assert abs(y[part_map > 0].min()) < 2 * step
            assert 200 < np.ptp(columns) * step < 290
            assert len(rows) > 50


def test_the_leg_fills_the_opening():
    """Little of an opening is left to be seen, none of a pump's below the instep."""
    for style in ("pump", "loafer", "sneaker", "ankle_boot", "high_boot", "wedge"):
        for clothing in ("bare", "straight"):
            worn = render_worn(shoe(style), wearing(clothing), 128)
            alone = render_shoe(shoe(style), 128).part_map == OPENING
            assert (worn.part_map == OPENING).sum() < 0.2 * alone.sum() + 4


def test_trousers_hang_over_shoes_but_go_into_boots():
    boot, pump = shoe("high_boot", heel_height=90.0), shoe("wedge", heel_height=118.0)
    slim = replace(wearing("slim"), hem=150.0)
    bare = replace(slim, clothing="bare")
    same, hidden = ((render_worn(p, slim, 96), render_worn(p, bare, 96)) for p in (boot, pump))
    near = [np.count_nonzero((a.part_map > 0) != (b.part_map > 0)) for a, b in (same, hidden)]
    assert near[0] <= 0.02 * (same[1].part_map > 0).sum()
    assert (hidden[0].part_map > 0).sum() < (hidden[1].part_map > 0).sum()


def test_bare_feet_and_socks():
    wearer = replace(wearing("bare"), skin=(200, 150, 120), light=(1.0, 1.0, 1.0), floor="asphalt")
    sandal = shoe("sandal", upper_color=(30, 30, 200), lining_color=(30, 30, 200))
    bare = render_worn(sandal, wearer, 128).photo.astype(int)
    socks = replace(wearer, clothing="socks", sock=(20, 160, 40), sock_top=250.0)
    socked = render_worn(sandal, socks, 128).photo.astype(int)
    green = (socked[..., 1] - socked[..., 0] > 25) & (bare[..., 0] - bare[..., 2] > 25)
    assert green.sum() > 100


def test_wearers_differ():
    wearers = [sample_wearer(0, index) for index in range(150)]
    assert {wearer.clothing for wearer in wearers} == set(CLOTHING)
    assert {wearer.floor for wearer in wearers} == set(FLOORS)
    assert {wearer.wall for wearer in wearers} == set(WALLS)
    for wearer in wearers:
        for name, (low, high) in RANGES.items():
            assert low <= getattr(wearer, name) <= high
        json.dumps(wearer.metadata)
    pictures = [render_worn(sample_parameters(0, 0), wearer, 32).photo for wearer in wearers[:20]]
    assert len({picture.tobytes() for picture in pictures}) == 20


def test_before_photographs(photos):
    behind = Backgrounds(photos)
    for index in range(6):
        worn = render_worn(sample_parameters(0, index), sample_wearer(0, index), 64, behind)
        top = worn.photo[:8].astype(int)
        assert (top[..., 1] > top[..., 0] + 40).mean() > 0.4


def test_zip(tmp_path, photos):
    for workers in (1, 2):
        made: list[int] = []
        make_dataset(
            tmp_path / f"{workers}.zip",
            count=20,
            resolution=32,
            seed=6,
            workers=workers,
            worn=True,
            progress=made.append,
        )
        assert made == list(range(1, 21))
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        names = set(archive.namelist())
        rows = list(csv.DictReader(io.StringIO(archive.read("pairs.csv").decode())))
        assert LabelMap.read(archive.read("labels.json")) == SHOE_PARTS
        described = json.loads(archive.read("attributes.json"))

        def picture(name: str) -> np.ndarray:
            return np.asarray(Image.open(io.BytesIO(archive.read(name))))

        for index, row in enumerate(rows):
            assert list(row) == ["photo", "article", "other", "truth"]
            assert set(row.values()) <= names
            assert row["photo"] == f"photos/{index:08d}.png"
        assert sorted(row["other"] for row in rows) == sorted(row["article"] for row in rows)
        assert all(row["other"] != row["article"] for row in rows)
        for index in (0, 7, 19):
            row, other = rows[index], (index + 1) % 20
            worn = render_worn(sample_parameters(6, index), sample_wearer(6, index), 32)
            truth = render_worn(sample_parameters(6, other), sample_wearer(6, index), 32)
            assert np.array_equal(picture(row["photo"]), worn.photo)
            assert np.array_equal(picture(row["article"]), worn.article)
            assert np.array_equal(picture(row["other"]), truth.article)
            assert np.array_equal(picture(row["truth"]), truth.photo)
            assert np.array_equal(picture(f"masks/{index:08d}.png"), worn.part_map)
            assert described["attributes"][row["photo"]] == pytest.approx(worn.attributes, abs=1e-3)
            assert described["metadata"][row["photo"]]["wearer"] == sample_wearer(6, index).metadata
    assert names == {name for row in rows for name in row.values()} | {
        *(f"masks/{index:08d}.png" for index in range(20)), "labels.json", "attributes.json", "pairs.csv"
    }  # fmt: skip
    make_dataset(tmp_path / "p.zip", count=2, resolution=32, seed=6, worn=True, backgrounds=photos)
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        expected = render_worn(sample_parameters(6, 1), sample_wearer(6, 1), 32, Backgrounds(photos)).photo
        assert np.array_equal(
            np.asarray(Image.open(io.BytesIO(archive.read("photos/00000001.png")))), expected
        )


def test_command(tmp_path):
    path = tmp_path / "worn.zip"
    options = ["make-shoes", "--worn", "--resolution", "32", "--workers", "1", "--out", str(path)]
    result = CliRunner().invoke(main, [*options, "--count", "1"])
    assert result.exit_code == 1
    assert "error: count is 1, expected 2 or more" in result.output
    assert not path.exists()
    result = CliRunner().invoke(main, [*options, "--count", "3", "--styles", "pump,sandal", "--silhouettes"])
    assert result.exit_code == 0, result.output
    assert "3 worn shoes" in result.output
    with zipfile.ZipFile(path) as archive:
        mask = np.asarray(Image.open(io.BytesIO(archive.read("masks/00000002.png"))))
        assert set(np.unique(mask)) == {0, 1}
        assert LabelMap.read(archive.read("labels.json")).names == ("background", "shoe")
