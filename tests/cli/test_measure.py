import csv

import numpy as np
import pytest
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.images import read_image, write_image, write_part_map
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.data.synthetic import render
from shoegen.measure import ATTRIBUTES, measure


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, ["measure", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    return result.output


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def maps(tmp_path):
    """Two part maps in one folder: a shoe and nothing."""
    folder = tmp_path / "maps"
    write_part_map(folder / "shoe.png", render(0, 0, 128).part_map, SHOE_PARTS)
    write_part_map(folder / "void.png", np.zeros((64, 64), np.uint8), SHOE_PARTS)
    return folder


@pytest.fixture
def registry():
    before = dict(ATTRIBUTES)
    yield
    ATTRIBUTES.clear()
    ATTRIBUTES.update(before)


def test_part_maps_to_tables_and_csv(maps, tmp_path):
    out = tmp_path / "out.csv"
    text = run(maps, "--maps", "--shoe-length", "27cm", "--csv", out)
    assert "heel_height" in text
    assert "no shoe" in text
    assert "2 pictures" in text
    assert "1 of 2 pictures do not show one whole shoe" in text
    shoe, void = rows(out)
    expected = measure(render(0, 0, 128).part_map)
    assert float(shoe["heel_height"]) == pytest.approx(expected["heel_height"], rel=1e-4)
    assert float(shoe["heel_height_mm"]) == pytest.approx(270 * expected["heel_height"], abs=0.01)
    assert shoe["upper_l"] == ""
    assert "upper_l: needs the picture" in shoe["not_measured"]
    assert "toe_roundness_mm" not in shoe
    assert void["heel_height"] == void["heel_height_mm"] == ""
    assert "heel_height: no shoe" in void["not_measured"]


def test_overlays_beside_part_maps_are_left_out(maps):
    write_image(maps / "shoe.overlay.png", np.full((8, 8, 3), 7, np.uint8))
    assert "2 pictures" in run(maps, "--maps")


def test_photographs_are_segmented_and_drawn_over(tmp_path):
    shoe = render(0, 1, 64)
    write_image(tmp_path / "shoe.png", shoe.image)
    out, overlays = tmp_path / "out.csv", tmp_path / "overlays"
    text = run(tmp_path / "shoe.png", "--csv", out, "--overlay", overlays)
    assert "1 overlays" in text
    assert read_image(overlays / "shoe.overlay.png").shape[1] == 256  # finer than the picture
    (found,) = rows(out)
    true = shoe.attributes["heel_height"] / shoe.attributes["shoe_length"]
    assert float(found["heel_height"]) == pytest.approx(true, abs=0.03)
    assert found["upper_l"] != ""


def test_silhouettes_and_toes_at_the_right(tmp_path):
    mask = render(0, 2, 128).part_map > 0
    expected = measure(mask)
    for name, pixels in (("left", mask), ("right", mask[:, ::-1])):
        write_image(tmp_path / f"{name}.png", np.uint8(255 * pixels[..., None].repeat(3, 2)))
        flip = ["--flip"] if name == "right" else []
        out = tmp_path / f"{name}.csv"
        text = run(
            tmp_path / f"{name}.png", "--mask", "--csv", out, "--overlay", tmp_path / "overlays", *flip
        )
        assert "needs a part map" in text
        (found,) = rows(out)
        assert float(found["collar_height"]) == pytest.approx(expected["collar_height"], rel=1e-4)
        assert found["heel_height"] == ""


def test_labels_of_maps_are_found_beside_them_or_given(maps, tmp_path):
    out = tmp_path / "out.csv"
    turned = LabelMap.from_names(SHOE_PARTS.names[::-1])
    path = maps / "shoe.png"
    write_part_map(path, 6 - render(0, 0, 128).part_map, turned)
    (tmp_path / "turned.json").write_text(str(list(turned.names)).replace("'", '"'))
    expected = measure(render(0, 0, 128).part_map)["heel_height"]
    run(path, "--maps", "--csv", out, "--labels", tmp_path / "turned.json")
    assert float(rows(out)[0]["heel_height"]) == pytest.approx(expected, rel=1e-4)
    (maps / "labels.json").write_text((tmp_path / "turned.json").read_text())
    run(path, "--maps", "--csv", out)
    assert float(rows(out)[0]["heel_height"]) == pytest.approx(expected, rel=1e-4)


def test_own_attributes(maps, tmp_path, registry):
    own = tmp_path / "mine.py"
    own.write_text(
        "from shoegen.measure import Attribute, register\n"
        'register(Attribute("fullness", "", "ratio", "silhouette", "", lambda shoe: shoe.area / shoe.length**2))\n'
        'register(Attribute("broken", "", "ratio", "silhouette", "", lambda shoe: 1 / 0))\n'
    )
    text = run(maps / "shoe.png", "--maps", "--attributes", own)
    assert "fullness" in text
    assert "ZeroDivisionError" in text
    assert "Warning" not in text


def test_says_what_is_wrong(maps, tmp_path):
    shoe = maps / "shoe.png"
    out = tmp_path / "out.csv"
    write_image(tmp_path / "photo.jpg", np.full((64, 64, 3), 255, np.uint8))
    (tmp_path / "bad.py").write_text("raise ValueError('oh')")
    for arguments, message in (
        ([tmp_path / "nothing"], "nothing at"),
        ([shoe, "--maps", "--mask"], "--maps and --mask"),
        ([shoe, "--maps", "--model", "default"], "--model has no effect with --maps"),
        ([shoe, "--labels", out], "--labels has no effect without --maps"),
        ([shoe, "--maps", "--labels", out], "cannot read"),
        ([shoe, "--maps", "--shoe-length", "long"], "--shoe-length: got 'long'"),
        ([shoe, "--maps", "--csv", shoe], "would overwrite"),
        ([shoe, "--maps", "--csv", tmp_path], "is a folder"),
        ([shoe, "--maps", "--attributes", tmp_path / "no.py"], "give a Python file"),
        ([shoe, "--maps", "--attributes", tmp_path / "bad.py"], "bad.py failed: ValueError: oh"),
        ([shoe, "--model", tmp_path / "none"], "none"),
        ([tmp_path / "photo.jpg", "--maps", "--csv", out], "photo.jpg"),
    ):
        text = run(*arguments, expect=1)
        assert message in " ".join(text.split()), arguments
        assert "Traceback" not in text
        assert len(text.strip().splitlines()) == 1
    assert not out.exists()
