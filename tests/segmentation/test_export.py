import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, OutputError
from shoegen.segmentation import export
from shoegen.segmentation.export import export_segmenter
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.parts import PartSegmenter

from .tiny import CONFIGS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.mark.parametrize("name", CONFIGS)
def test_onnx_finds_the_same_classes(name, tmp_path):
    torch.manual_seed(0)
    net = build_segmenter(CONFIGS[name])
    net(torch.randn(4, 3, 32, 32))  # moves the running statistics
    segmenter = PartSegmenter(net, CONFIGS[name], LabelMap.from_names(list("abcde")))
    path = tmp_path / "parts.onnx"
    exported = export_segmenter(segmenter, path, origin="tiny")
    assert exported.deviation < 1e-4
    assert exported.size == path.stat().st_size
    assert exported.output == ("N", 5, 32, 32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    images = pictures.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    (logits,) = session.run(["logits"], {"images": images})
    assert (logits.argmax(1) == segmenter.segment(pictures)).mean() > 0.999
    (entry,) = onnx.load(path).metadata_props
    assert json.loads(entry.value)["labels"] == segmenter.labels.to_json()


def test_what_deviates_is_not_written(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(OutputError, match="nothing was written"):
        export_segmenter(PartSegmenter.load(tiny_run), tmp_path / "parts.onnx")
    assert not list(tmp_path.iterdir())


def test_bad_names(tiny_run, tmp_path):
    segmenter = PartSegmenter.load(tiny_run)
    with pytest.raises(ConfigError, match=r"ends in \.onnx"):
        export_segmenter(segmenter, tmp_path / "parts.pt")
    with pytest.raises(ConfigError, match="opset: got 3"):
        export_segmenter(segmenter, tmp_path / "parts.onnx", opset=3)


def test_the_command_knows_a_segmenter_from_a_generator(tiny_run, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(main, ["export", "--model", *map(str, arguments)])

    result = run(tiny_run / "segmenter.safetensors", "--out", tmp_path / "parts.onnx")
    assert result.exit_code == 0, result.output
    assert "images (N, 3, 32, 32) → logits (N, 7, 32, 32)" in result.output
    result = run(tiny_run, "--psi", 0.5, "--out", tmp_path / "other.onnx")
    assert result.exit_code == 1
    assert "is a segmenter" in result.stderr
    assert not (tmp_path / "other.onnx").exists()
