import numpy as np
import pytest
import torch

from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.parts import PartSegmenter
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
