import io
import json
import zipfile

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from shoegen.cli import main
from shoegen.data.datasets import ImageDataset
from shoegen.data.images import write_image
from shoegen.data.synthetic import Backgrounds, ShoeParameters, make_dataset, render, sample_parameters
from shoegen.data.synthetic.scenes import render_in_scene
from shoegen.errors import ConfigError, DataError

GREEN = (10, 200, 20)


@pytest.fixture
def photos(tmp_path):
    """A folder of two photographs, of plain green and of noise."""
    write_image(tmp_path / "photos/green.png", np.full((40, 60, 3), GREEN, np.uint8))
    noise = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    write_image(tmp_path / "photos/noise.png", noise)
    return tmp_path / "photos"


@pytest.fixture
def green(photos):
    (photos / "noise.png").unlink()
    return Backgrounds(photos)


def test_shoes_are_whole_and_each_stands_elsewhere(green):
    sizes, corners = set(), set()
    for index in range(12):
        shoe = render(5, index, 96, backgrounds=green)
        assert shoe.image.shape == (96, 96, 3)
        inside = shoe.part_map > 0
        border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
        assert inside.any()
        assert not border.any()
        rows, columns = np.nonzero(inside)
        sizes.add(int(np.ptp(columns)))
        corners.add((int(rows.min()), int(columns.min())))
    assert len(sizes) > 6
    assert len(corners) > 6
    assert max(sizes) > 1.4 * min(sizes)


def test_the_part_map_is_exact(green):
    """Away from edge and shadow all that is no shoe is the photograph, and no pixel of the shoe is as green."""
    for index in range(6):
        shoe = render(5, index, 96, backgrounds=green)
        inside = shoe.part_map > 0
        far = cv2.dilate(inside.astype(np.uint8), np.ones((31, 31))) == 0
        assert (np.abs(shoe.image[far].astype(int) - GREEN) <= 2).all()
        core = cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) > 0
        assert (np.abs(shoe.image[core].astype(int) - GREEN).sum(1) > 20).mean() > 0.99


def test_edges_are_soft_and_there_is_a_shadow(green):
    parameters = sample_parameters(5, 1)
    shoe = render_in_scene(parameters, 128, green, np.random.default_rng(1))
    outside = shoe.image[shoe.part_map == 0].astype(int)
    assert outside[:, 1].min() < 150  # the shadow
    assert (outside[:, 1] == 200).mean() > 0.5


def test_colours_follow_the_photograph_a_little(tmp_path):
    means = []
    for name, grey in (("dark", 20), ("bright", 240)):
        write_image(tmp_path / name / "wall.png", np.full((32, 32, 3), grey, np.uint8))
        behind = Backgrounds(tmp_path / name)
        shoes = [render(5, index, 64, backgrounds=behind) for index in range(6)]
        means.append(np.mean([shoe.image[shoe.part_map > 0].mean() for shoe in shoes]))
    assert means[0] < 0.9 * means[1]


def test_a_data_set_before_photographs(photos, tmp_path):
    for workers in (1, 2):
        make_dataset(
            tmp_path / f"{workers}.zip", count=20, resolution=48, seed=2, workers=workers, backgrounds=photos
        )
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        image = np.asarray(Image.open(io.BytesIO(archive.read("images/00000007.png"))))
        described = json.loads(archive.read("attributes.json"))
    assert np.array_equal(image, render(2, 7, 48, backgrounds=Backgrounds(photos)).image)
    # The shoes are those that would stand before paper.
    assert described["metadata"]["images/00000007.png"] == sample_parameters(2, 7).metadata


def test_styles_and_silhouettes(tmp_path):
    make_dataset(tmp_path / "shoes.zip", count=6, resolution=32, styles=["pump", "wedge"], silhouettes=True)
    data = ImageDataset(tmp_path / "shoes.zip", part_maps=True)
    assert data.labels.names == ("background", "shoe")
    with zipfile.ZipFile(tmp_path / "shoes.zip") as archive:
        metadata = json.loads(archive.read("attributes.json"))["metadata"]
    assert {shoe["style"] for shoe in metadata.values()} == {"pump", "wedge"}
    assert np.array_equal(data.part_map(2), render(0, 2, 32, styles=("pump", "wedge")).part_map > 0)
    assert ShoeParameters.sample(np.random.default_rng(0), ("sandal",)).style == "sandal"


def test_bad_arguments_write_nothing(photos, tmp_path):
    (photos / "bad.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(DataError, match=r"1 of 3 backgrounds in .* cannot be read: bad\.jpg"):
        make_dataset(tmp_path / "x.zip", count=2, resolution=32, backgrounds=photos)
    with pytest.raises(DataError, match="does not exist"):
        make_dataset(tmp_path / "x.zip", count=2, resolution=32, backgrounds=tmp_path / "none")
    with pytest.raises(ConfigError, match="styles: got boot, expected some of sneaker, pump"):
        make_dataset(tmp_path / "x.zip", count=2, resolution=32, styles=["pump", "boot"])
    assert not (tmp_path / "x.zip").exists()


def test_command(photos, tmp_path):
    path = tmp_path / "shoes.zip"
    options = ["--count", "2", "--resolution", "32", "--workers", "1", "--out", str(path)]
    more = ["--backgrounds", str(photos), "--silhouettes", "--styles", "pump, sandal"]
    result = CliRunner().invoke(main, ["make-shoes", *options, *more])
    assert result.exit_code == 0, result.output
    assert ImageDataset(path, part_maps=True).labels.names == ("background", "shoe")
    result = CliRunner().invoke(main, ["make-shoes", *options, "--styles", "clog"])
    assert result.exit_code == 1
    assert "error: styles: got clog" in result.output
