import numpy as np
import pytest
import torch

from shoegen.data.images import encode_png, read_image, write_image, write_part_map
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.data.synthetic import render
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.segmentation.parts import DEFAULT_PATH as SEGMENTER
from shoegen.spade.config import SpadeConfig
from shoegen.spade.networks import Generator, StyleEncoder
from shoegen.spade.painting import Painter, Painting, check_style, paint

CONFIG = SpadeConfig(
    classes=7,
    resolution=(32, 64),
    channels=4,
    max_channels=16,
    hidden=8,
    z_dim=8,
    styled=True,
    encoder_channels=8,
)
LABELS = LabelMap(("ground", "wall", "sky"), ((0, 120, 0), (200, 10, 10), (30, 60, 255)))


def new_painter(labels=SHOE_PARTS, **changes):
    torch.manual_seed(0)
    config = SpadeConfig(**{**CONFIG.to_dict(), "classes": len(labels), **changes})
    encoder = None if config.z_dim is None else StyleEncoder(config, spectral=False)
    return Painter(Generator(config, spectral=False), encoder, config, labels)


@pytest.fixture(scope="module")
def painter():
    return new_painter()


@pytest.fixture(scope="module")
def part_map():
    return np.random.default_rng(0).integers(0, 7, (32, 64), np.uint8)


@pytest.fixture(scope="module")
def shoe():
    return render(0, 1, 64).image


def test_a_style_is_the_same_wherever_it_comes_from(painter, part_map, shoe):
    picture = painter.paint(part_map, style_seed=3)
    assert picture.shape == (32, 64, 3)
    assert picture.dtype == np.uint8
    assert (picture == painter.paint(part_map, painter.random_style(3))).all()
    assert (picture != painter.paint(part_map, style_seed=4)).any()
    own = painter.paint(part_map, shoe)
    assert (own == painter.paint(part_map, painter.encode(shoe))).all()
    assert (own != painter.paint(part_map, 255 - shoe)).any()
    assert (painter.paint(part_map) == painter.paint(part_map, torch.zeros(8))).all()
    assert painter.paint(part_map, size=(16, 32)).shape == (16, 32, 3)


def test_saved_and_loaded_it_paints_the_same(painter, part_map, shoe, tmp_path):
    painter.save(tmp_path / "spade.safetensors", dtype=torch.float32)
    for path in (tmp_path, tmp_path / "spade.safetensors"):  # a run folder too
        loaded = Painter.load(path)
        assert loaded.labels == SHOE_PARTS
        assert loaded.config == CONFIG
        assert (loaded.paint(part_map, shoe) == painter.paint(part_map, shoe)).all()
    painter.save(tmp_path / "half.safetensors")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.7 * (
        tmp_path / "spade.safetensors"
    ).stat().st_size
    half = Painter.load(tmp_path / "half.safetensors").paint(part_map, style_seed=1)
    assert np.abs(half.astype(int) - painter.paint(part_map, style_seed=1)).max() <= 3


def test_bad_files_are_refused(painter, tmp_path):
    path = tmp_path / "spade.safetensors"
    painter.save(path)
    whole = path.read_bytes()
    with pytest.raises(FileFormatError, match=r"no painter at .*train-spade"):
        Painter.load(tmp_path / "nothing")
    path.write_bytes(whole[:-9])
    with pytest.raises(FileFormatError, match="damaged"):
        Painter.load(path)
    other = new_painter(z_dim=4)
    other.config = painter.config
    other.save(path)
    with pytest.raises(FileFormatError, match="does not hold the networks that it names"):
        Painter.load(path)
    with pytest.raises(FileFormatError, match="'segmenter'"):
        Painter.load(SEGMENTER)
    with pytest.raises(ConfigError, match="7 classes, the labels 3"):
        Painter(painter.generator, None, painter.config, LABELS)


def test_maps_of_other_sizes_are_scaled_and_other_shapes_refused(painter, part_map):
    twice = part_map.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(painter.prepare(twice), part_map)
    half = part_map[::2, ::2]
    np.testing.assert_array_equal(painter.prepare(half), half.repeat(2, 0).repeat(2, 1))
    with pytest.raises(DataError, match=r"32x32 \(width x height\), the model paints 64x32"):
        painter.prepare(part_map[:, :32])


def test_maps_of_other_shapes_are_cut_or_given_a_margin(painter, part_map):
    tall = np.concatenate([np.zeros((16, 64), np.uint8), part_map, np.zeros((16, 64), np.uint8)])
    assert (painter.prepare(tall, fit="crop") == part_map).all()
    assert (painter.paint(tall, fit="crop") == painter.paint(part_map)).all()
    padded = painter.prepare(tall, fit="pad")
    assert padded.shape == (32, 64)
    assert not padded[:, :16].any()
    assert padded[8:24, 16:48].any()


def test_unknown_values_and_colours_are_named(painter, part_map):
    wrong = part_map.copy()
    wrong[5, 5:8] = 9
    with pytest.raises(DataError, match="value 9 at 3 pixels is no class"):
        painter.paint(wrong)
    drawn = SHOE_PARTS.colorize(part_map)
    np.testing.assert_array_equal(painter.prepare(drawn), part_map)
    np.testing.assert_array_equal(painter.prepare(part_map.astype(np.int64)), part_map)
    drawn[5, 5] = (1, 2, 3)
    with pytest.raises(DataError, match=r"colour \(1, 2, 3\) at 1 pixels"):
        painter.paint(drawn)
    with pytest.raises(DataError, match="float64"):
        painter.paint(part_map / 2)


def test_classes_are_found_by_their_names(painter):
    labels = LabelMap.from_names(["background", "upper", "heel", "lace"])
    given = np.random.default_rng(0).integers(0, 3, (32, 64), np.uint8)
    np.testing.assert_array_equal(painter.prepare(given, labels), np.array([0, 3, 2], np.uint8)[given])
    given[0, 0] = 3
    with pytest.raises(DataError, match=r"the class 'lace' \(value 3, at 1 pixels\) is unknown to the model"):
        painter.prepare(given, labels)


def test_styles_that_cannot_be_are_refused(painter, part_map, shoe):
    with pytest.raises(ConfigError, match="give one of them"):
        painter.paint(part_map, shoe, style_seed=1)
    with pytest.raises(ConfigError, match="--style-seed: got -1"):
        painter.paint(part_map, style_seed=-1)
    with pytest.raises(ConfigError, match=r"\(3,\), expected \(8,\)"):
        painter.paint(part_map, torch.zeros(3))
    with pytest.raises(DataError, match="expected a picture"):
        painter.paint(part_map, shoe[..., 0])
    with pytest.raises(DataError, match="expected a picture"):
        painter.encode(shoe[:0])
    with pytest.raises(DataError, match="a style of type str"):
        painter.paint(part_map, "photo.jpg")
    with pytest.raises(DataError, match="a part map of type list"):
        painter.paint(part_map.tolist())
    with pytest.raises(ConfigError, match=r"--style-seed: got 1\.5"):
        painter.random_style(1.5)
    plain = new_painter(z_dim=None, styled=False)
    assert plain.paint(part_map).shape == (32, 64, 3)
    with pytest.raises(ConfigError, match="without styles"):
        plain.paint(part_map, style_seed=1)
    with pytest.raises(ConfigError, match="without styles"):
        plain.random_style(0)
    with pytest.raises(ConfigError, match="no style encoder"):
        plain.encode(shoe)


def test_instances_are_painted_by_a_model_that_knows_them(painter, part_map):
    knowing = new_painter(edges=True)
    one, two = np.zeros((64, 128), np.uint16), np.zeros((64, 128), np.uint16)
    two[:, 40:] = 256
    plain, divided = (knowing.paint(part_map, style_seed=0, instances=each) for each in (one, two))
    assert (plain != divided).any()
    shown = paint(part_map, style_seed=0, model=knowing, instances=two)
    np.testing.assert_array_equal(shown.image, divided)
    with pytest.raises(ConfigError, match="with instances; give those"):
        knowing.paint(part_map)
    with pytest.raises(ConfigError, match="without instances; leave out"):
        painter.paint(part_map, instances=one)
    with pytest.raises(DataError, match="the instances is 64x64"):
        knowing.paint(part_map, instances=np.zeros((64, 64), np.uint8))


def test_a_style_without_a_shoe_is_refused(painter, shoe):
    check_style(painter, shoe, "it")
    with pytest.raises(DataError, match=r"^sky.jpg: no shoe is found in it"):
        check_style(painter, np.full((64, 64, 3), 250, np.uint8), "sky.jpg")
    with pytest.raises(DataError, match="no shoe is found"):
        check_style(painter, np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8), "noise.png")
    check_style(new_painter(LABELS), np.full((64, 64, 3), 250, np.uint8), "it")  # not of shoes


def test_paint_takes_arrays_and_files_and_shows_itself(painter, part_map, shoe, tmp_path):
    write_image(tmp_path / "shoe.png", shoe)
    write_part_map(tmp_path / "map.png", part_map, SHOE_PARTS)
    painted = paint(tmp_path / "map.png", tmp_path / "shoe.png", model=painter)
    assert isinstance(painted, Painting)
    assert (painted.image == painter.paint(part_map, shoe)).all()
    assert painted._repr_png_() == encode_png(np.hstack([SHOE_PARTS.colorize(part_map), painted.image]))
    painted.save(tmp_path / "out.png")
    assert (read_image(tmp_path / "out.png") == painted.image).all()
    assert "64x32: background, sole" in repr(painted)
    assert (paint(part_map, model=painter).image == painter.paint(part_map, style_seed=0)).all()
    painter.save(tmp_path / "spade.safetensors", dtype=torch.float32)
    assert (
        paint(part_map, style_seed=2, model=tmp_path).image == painter.paint(part_map, style_seed=2)
    ).all()
    assert paint(part_map, model=new_painter(z_dim=None, styled=False)).image.shape == (32, 64, 3)
    with pytest.raises(DataError, match="no shoe"):
        paint(part_map, np.full((32, 32, 3), 250, np.uint8), model=painter)
    with pytest.raises(DataError, match=r"nothing.png: No such file"):
        paint(tmp_path / "nothing.png", model=painter)
