import numpy as np
import pytest
import torch

from shoegen.data.images import read_image
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.overlay import Overlay, tint
from shoegen.segmentation.parts import PartSegmenter, is_segmenter
from shoegen.torch_utils.tensors import load_tensors, save_tensors


@pytest.fixture
def segmenter(tiny_run):
    return PartSegmenter.load(tiny_run / "segmenter.safetensors")


def test_every_kind_of_picture_gives_the_same_part_map(segmenter, picture):
    one = segmenter.segment(picture)
    assert one.shape == (40, 30)
    assert one.dtype == np.uint8
    many = segmenter.segment(np.stack([picture] * 3), batch=2)
    assert many.shape == (3, 40, 30)
    tensor = torch.from_numpy(picture).movedim(-1, 0)[None].float() / 127.5 - 1
    for other in (*many, segmenter.segment(tensor)[0]):
        assert (other == one).mean() > 0.99  # summation order may tip a tie


@pytest.mark.parametrize(("size", "expected"), [(None, (40, 30)), (64, (64, 64)), ((20, 90), (20, 90))])
def test_size(segmenter, picture, size, expected):
    assert segmenter.segment(picture, size=size).shape == expected


def test_probabilities_are_interpolated_before_the_choice(segmenter):
    """A slanted edge between two classes, 4 × larger, is no staircase of 4-pixel steps."""

    class Slant(torch.nn.Module):
        def forward(self, images):
            x = torch.linspace(-1, 1, images.shape[-1]).expand(1, 1, *images.shape[-2:])
            y = torch.linspace(-1, 1, images.shape[-2])[:, None]
            edge = (x + 0.3 * y) * 8
            return torch.cat([edge, -edge, *[torch.full_like(edge, -99)] * 5], 1)

    size = segmenter.config.resolution
    segmenter.net = torch.nn.Sequential(Slant())
    segmenter.__class__ = type("OnCpu", (PartSegmenter,), {"device": torch.device("cpu")})
    part_map = segmenter.segment(np.zeros((size, size, 3), np.uint8), size=4 * size)
    positions = set((part_map == 0).sum(1).tolist())
    assert len({p % 4 for p in positions}) == 4


def test_overlay_leaves_the_background():
    image = np.full((2, 2, 3), 100, np.uint8)
    tinted = tint(image, np.array([[0, 1], [2, 3]], np.uint8), SHOE_PARTS)
    assert (tinted[0, 0] == 100).all()
    np.testing.assert_array_equal(tinted[0, 1], (100 + np.array(SHOE_PARTS.colors[1])) // 2)


def test_a_notebook_shows_the_overlay_over_its_legend(segmenter, picture):
    overlay = segmenter.overlay(picture)
    np.testing.assert_array_equal(overlay.part_map, segmenter.segment(picture))
    assert sum(overlay.shares().values()) == pytest.approx(1)
    shown = read_image(overlay._repr_png_())
    np.testing.assert_array_equal(shown[:40, :30], tint(picture, overlay.part_map, SHOE_PARTS))
    with pytest.raises(DataError, match="one picture"):
        segmenter.overlay(picture[None])


@pytest.mark.parametrize("classes", [2, 59])
def test_the_legend_has_the_colour_of_every_class_that_is_there(classes):
    labels = LabelMap.from_names([f"class {i}" for i in range(classes)])
    part_map = np.arange(classes, dtype=np.uint8).reshape(1, -1)
    shown = Overlay(np.zeros((1, classes, 3), np.uint8), part_map, labels).pixels[1:]
    colors = {tuple(each) for each in shown.reshape(-1, 3).tolist()}
    assert set(labels.colors[1:]) <= colors
    nothing = Overlay(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), labels)
    assert len(nothing.pixels) == 4


@pytest.mark.parametrize(
    "bad",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((2, 3, 8, 8), np.uint8), torch.zeros(3, 8, 8)],
)
def test_other_arrays_are_refused(segmenter, bad):
    with pytest.raises(DataError, match="expected"):
        segmenter.segment(bad)


def test_half_precision_on_disk_changes_next_to_nothing(segmenter, tmp_path, picture):
    net = build_segmenter(segmenter.config)
    original = PartSegmenter(net, segmenter.config, SHOE_PARTS)
    original.save(tmp_path / "half.safetensors")
    loaded = PartSegmenter.load(tmp_path / "half.safetensors")
    assert loaded.labels == SHOE_PARTS
    assert loaded.config == original.config
    tensors, metadata = load_tensors(tmp_path / "half.safetensors", kind="segmenter")
    assert metadata["labels"] == SHOE_PARTS.to_json()
    assert {tensor.dtype for tensor in tensors.values() if tensor.ndim == 4} == {torch.float16}
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(loaded.logits(images), original.logits(images), atol=2e-2, rtol=2e-2)


def test_a_segmenter_is_known_by_its_kind(tiny_run, tmp_path):
    assert is_segmenter(tiny_run)
    assert is_segmenter(tiny_run / "segmenter.safetensors")
    assert not is_segmenter(tmp_path)
    assert not is_segmenter(tiny_run / "config.json")
    assert not is_segmenter("default")


def test_files_that_are_no_segmenter(segmenter, tmp_path):
    with pytest.raises(FileFormatError, match="train-segmenter"):
        PartSegmenter.load(tmp_path / "nothing.safetensors")
    path = tmp_path / "file.safetensors"
    path.write_bytes(b"no")
    with pytest.raises(FileFormatError):
        PartSegmenter.load(path)
    tensors, metadata = {"a": torch.zeros(1)}, {"kind": "segmenter", "config": {}, "labels": ["a", "b"]}
    save_tensors(path, tensors, {"kind": "generator"})
    with pytest.raises(FileFormatError, match="'generator', expected 'segmenter'"):
        PartSegmenter.load(path)
    save_tensors(path, tensors, {**metadata, "config": segmenter.config.to_dict()})
    with pytest.raises(FileFormatError, match="tensors missing or too many"):
        PartSegmenter.load(path)
    save_tensors(path, tensors, {"kind": "segmenter"})
    with pytest.raises(FileFormatError, match="does not hold the network"):
        PartSegmenter.load(path)


def test_labels_and_classes_must_agree():
    config = SegmenterConfig(classes=3, resolution=32, decoder_channels=(8, 8, 8))
    with pytest.raises(ConfigError, match="3 classes, the labels 2"):
        PartSegmenter(build_segmenter(config), config, LabelMap.from_names(["a", "b"]))


def test_what_is_no_array_is_said(picture):
    segmenter = PartSegmenter.load()
    for wrong, message in [
        ("x.jpg", "got str"),
        (np.zeros((0, 0, 3), np.uint8), r"got an array \(0, 0, 3\)"),
    ]:
        with pytest.raises(DataError, match=message):
            segmenter.segment(wrong)
    with pytest.raises(DataError, match="got str, expected one picture"):
        segmenter.overlay("x.jpg")
    picture.flags.writeable = False  # as Pillow's arrays are; PyTorch would warn
    assert segmenter.segment(picture).shape == picture.shape[:2]
