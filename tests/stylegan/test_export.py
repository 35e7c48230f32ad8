import dataclasses
import json
import sys

import pytest
import torch

from shoegen.errors import ConfigError, OutputError
from shoegen.ops.dispatch import get_impl
from shoegen.stylegan.export import ExportConfig, export_generator
from shoegen.stylegan.networks import Generator

from ..tiny import tiny_generator

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def variant(**changes):
    torch.manual_seed(0)
    generator = (
        Generator(dataclasses.replace(tiny_generator().config, **changes)).eval().requires_grad_(False)
    )
    generator.mapping.w_avg.copy_(torch.randn(16))
    for block in generator.synthesis.blocks:
        block.conv1.noise_strength.fill_(0.3)
    return generator


def run_onnx(path, **inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (images,) = session.run(["images"], {name: each.numpy() for name, each in inputs.items()})
    return torch.from_numpy(images)


def run_torch(path, **inputs):
    return torch.export.load(path).module()(**inputs)


def agree(images, expected):
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


SHAPES = {
    "conditional": {"c_dim": 3},
    "rgba": {"img_channels": 4, "resolution": (16, 24)},
    "grey": {"img_channels": 1, "architecture": "resnet", "conv_clamp": 256.0, "num_fp16_res": 2},
}


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_onnx_draws_the_same_pictures(changes, tmp_path):
    generator = variant(**changes)
    path = tmp_path / "g.onnx"
    exported = export_generator(generator, path, ExportConfig(psi=0.5, cutoff=3), origin="tiny")
    assert exported.deviation < 1e-5
    assert exported.size == path.stat().st_size
    assert exported.output == ("N", *generator.config.image_shape)
    assert get_impl() == "auto"
    for count in (1, 5):
        inputs = {"z": torch.randn(count, 16)}
        if generator.config.c_dim:
            inputs["c"] = torch.eye(3)[torch.arange(count) % 3]
        images = run_onnx(path, **inputs)
        agree(images, generator(*inputs.values(), truncation_psi=0.5, truncation_cutoff=3))
    assert exported.inputs == {name: ("N", each.shape[1]) for name, each in inputs.items()}


def test_the_onnx_file_is_plain_and_says_where_it_comes_from(tmp_path):
    generator = variant()
    export_generator(generator, tmp_path / "g.onnx", ExportConfig(opset=23), origin="runs/tiny")
    model = onnx.load(tmp_path / "g.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 23)]
    (metadata,) = model.metadata_props
    notes = json.loads(metadata.value)
    assert metadata.key == "shoegen"
    assert notes["origin"] == "runs/tiny"
    assert notes["generator_hash"] == generator.hash()
    assert notes["config"] == json.loads(json.dumps(generator.config.to_dict()))
    assert notes["export"]["psi"] == 0.7


def test_psi_as_an_input(tmp_path):
    generator = variant()
    z, psi = torch.randn(3, 16), torch.tensor([0.0, 0.4, 1.0])
    expected = torch.cat([generator(z[i : i + 1], truncation_psi=float(psi[i])) for i in range(3)])
    exported = export_generator(generator, tmp_path / "g.onnx", ExportConfig(psi=None))
    assert exported.inputs == {"z": ("N", 16), "psi": ("N",)}
    agree(run_onnx(tmp_path / "g.onnx", z=z, psi=psi), expected)


def test_from_w_without_noise(tmp_path):
    generator = variant()
    ws = torch.randn(2, 6, 16)
    config = ExportConfig(format="torch", source="w", noise="none")
    assert export_generator(generator, tmp_path / "g.pt2", config).inputs == {"ws": ("N", 6, 16)}
    expected = generator.synthesis(ws, noise_mode="none").clamp(-1, 1)
    agree(run_torch(tmp_path / "g.pt2", ws=ws), expected)


def test_torch_program(tmp_path):
    generator = variant(c_dim=3)
    path = tmp_path / "g.pt2"
    exported = export_generator(generator, path, ExportConfig(format="torch"))
    assert exported.deviation < 1e-5
    extra = {"shoegen.json": ""}
    program = torch.export.load(path, extra_files=extra)
    assert json.loads(extra["shoegen.json"])["config"]["c_dim"] == 3
    assert "shoegen" not in str(program.graph)
    z, c = torch.randn(4, 16), torch.eye(3)[[0, 1, 2, 0]]
    agree(program.module()(z=z, c=c), generator(z, c, truncation_psi=0.7))


def test_a_program_that_differs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shoegen.stylegan.export._deviation", lambda *_: 0.02)
    with pytest.raises(OutputError, match=r"differ from the generator's by 0\.02"):
        export_generator(variant(), tmp_path / "g.pt2", ExportConfig(format="torch"))
    assert not list(tmp_path.iterdir())
    assert get_impl() == "auto"


def test_what_cannot_be_exported(tmp_path, monkeypatch):
    for options, message in [
        ({"format": "tflite"}, "format: got 'tflite'"),
        ({"source": "x"}, "from: got 'x'"),
        ({"noise": "random"}, "must repeat itself"),
        ({"opset": 9}, "opset: got 9"),
        ({"opset": 20, "format": "torch"}, "only onnx has one"),
    ]:
        with pytest.raises(ConfigError, match=message):
            ExportConfig(**options)
    generator = variant()
    for name, options, message in [
        ("g.pt", {}, r"ends in \.onnx"),
        ("g.onnx", {"format": "torch"}, r"ends in \.pt2"),
        ("g.onnx", {"psi": float("nan")}, "psi: got nan"),
        ("g.onnx", {"cutoff": 7}, "6 layers"),
    ]:
        with pytest.raises(ConfigError, match=message):
            export_generator(generator, tmp_path / name, ExportConfig(**options))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"needs onnxscript; pip install 'shoegen\[export\]'"):
        export_generator(generator, tmp_path / "g.onnx")
