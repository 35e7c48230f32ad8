"""Generators as ONNX or torch.export programs, compared with the original before they are written."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import shoegen
from shoegen.errors import ConfigError, OutputError
from shoegen.ops.dispatch import get_impl, set_impl
from shoegen.stylegan.networks import Generator, NoiseMode
from shoegen.stylegan.sampling import check_truncation, truncate
from shoegen.torch_utils.files import atomic_write

Format = Literal["onnx", "torch"]
Run = Callable[[dict[str, Tensor]], Tensor]

SUFFIXES: dict[str, str] = {"onnx": ".onnx", "torch": ".pt2"}
NEEDED = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "torch": ()}
OPSETS = range(18, 24)
MAX_ONNX_BYTES = 2**31 - 1  # of one file, which holds its weights too
TOLERANCE = 1e-3  # of the range of a picture, which is 2


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What the program takes and does.

    format: "onnx" (.onnx) or "torch" (.pt2). source: "z", or "w" for ws (N, num_ws, w_dim) that are drawn as they
    are. psi: truncation, fixed; None makes it an input (N,). cutoff: how many of the first layers are truncated.
    noise: "const" or "none". opset: of ONNX; None for PyTorch's own choice.
    """

    format: Format = "onnx"
    source: Literal["z", "w"] = "z"
    psi: float | None = 0.7
    cutoff: int | None = None
    noise: NoiseMode = "const"
    opset: int | None = None

    def __post_init__(self) -> None:
        if self.format not in SUFFIXES:
            raise ConfigError(f"format: got {self.format!r}, expected one of {', '.join(SUFFIXES)}")
        if self.source not in ("z", "w"):
            raise ConfigError(f"from: got {self.source!r}, expected z or w")
        if self.noise not in ("const", "none"):
            raise ConfigError(
                f"noise: got {self.noise!r}, expected const or none: a program must repeat itself"
            )
        if self.opset is not None and self.format != "onnx":
            raise ConfigError(f"opset: got {self.opset}, but only onnx has one; leave it out")
        if self.opset is not None and self.opset not in OPSETS:
            raise ConfigError(f"opset: got {self.opset}, expected from {OPSETS[0]} to {OPSETS[-1]}")


@dataclass(frozen=True)
class Exported:
    """What was written.

    inputs: name → shape, with "N" for any number. output: shape of the pictures, in [−1, 1]. size: bytes.
    deviation: the largest difference from the generator's pictures on fresh latents, as a share of their range.
    """

    inputs: dict[str, tuple[int | str, ...]]
    output: tuple[int | str, ...]
    size: int
    deviation: float


def export_generator(
    generator: Generator, path: str | Path, config: ExportConfig | None = None, *, origin: str = ""
) -> Exported:
    """Writes a generator as a program that needs no shoegen.

    Inputs, float32, for any N: z (N, z_dim) and, of a conditional generator, one-hot c (N, c_dim); or ws
    (N, num_ws, w_dim); and psi (N,) where it is not fixed. Output: images (N, img_channels, H, W) in [−1, 1]. The
    program is run on new latents, one and three at once, and compared with the generator. The file's metadata, under
    "shoegen", is JSON of what it was made from: in ONNX a metadata property, in .pt2 the extra file shoegen.json.

    Args:
        generator: on the CPU.
        path: ends in .onnx or .pt2.
        config: by default ONNX from z at psi 0.7.
        origin: what the model is called, kept in the metadata.

    Raises:
        ConfigError: see `check_export`.
        OutputError: the program differs by more than `TOLERANCE`, or is too large for one file; nothing is written.
    """
    config = config or ExportConfig()
    check_export(path, config)
    if config.psi is not None:
        check_truncation(generator, config.psi, config.cutoff)
    program = _Program(generator, config).eval()
    examples = program.draw_inputs(2)
    count = torch.export.Dim("N", min=1)
    with _reference_ops(), _quiet(), torch.no_grad():
        exported = torch.export.export(
            program, (), examples, dynamic_shapes={name: {0: count} for name in examples}
        )
        assert "shoegen" not in str(exported.graph), "an op of shoegen is left in the program"
        metadata = json.dumps(_describe(generator, config, origin))
        to_bytes = _to_onnx if config.format == "onnx" else _to_pt2
        content, run = to_bytes(exported, list(examples), config, metadata)
        deviation = max(_deviation(program, run, count) for count in (1, 3))
    if not deviation <= TOLERANCE:
        raise OutputError(
            f"the exported program's pictures differ from the generator's by {deviation:.2g} of their range, more than "
            f"{TOLERANCE:g}; nothing was written; try another format"
        )
    with atomic_write(path) as file:
        file.write(content)
    inputs: dict[str, tuple[int | str, ...]] = {
        name: ("N", *each.shape[1:]) for name, each in examples.items()
    }
    return Exported(inputs, ("N", *generator.config.image_shape), len(content), deviation)


def check_export(path: str | Path, config: ExportConfig) -> None:
    """Refuses what cannot be exported, before any work.

    Raises:
        ConfigError: the suffix is another than the format's, or a package is missing.
    """
    suffix = SUFFIXES[config.format]
    if Path(path).suffix != suffix:
        raise ConfigError(f"cannot write {path}: expected a name that ends in {suffix}")
    for name in NEEDED[config.format]:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"exporting needs {name}; pip install 'shoegen[export]'") from error


class _Program(nn.Module):
    """The generator with its options fixed."""

    def __init__(self, generator: Generator, config: ExportConfig) -> None:
        super().__init__()
        self.generator, self.config = generator, config

    def forward(
        self,
        z: Tensor | None = None,
        c: Tensor | None = None,
        psi: Tensor | None = None,
        ws: Tensor | None = None,
    ) -> Tensor:
        """Those inputs that the configuration asks for → images (N, C, H, W)."""
        if ws is None:
            assert z is not None
            fixed = self.config.psi if psi is None else psi
            assert fixed is not None
            ws = truncate(self.generator, self.generator.map(z, c), fixed, self.config.cutoff)
        return self.generator.synthesis(ws, noise_mode=self.config.noise).clamp(-1, 1)

    def draw_inputs(self, count: int) -> dict[str, Tensor]:
        """By name; others for another count."""
        config, random = self.generator.config, torch.Generator().manual_seed(count)
        inputs = {"z": torch.randn(count, config.z_dim, generator=random)}
        if config.c_dim:
            picked = torch.randint(config.c_dim, (count,), generator=random)
            inputs["c"] = F.one_hot(picked, config.c_dim).float()
        if self.config.source == "w":
            return {"ws": self.generator.map(inputs["z"], inputs.get("c"))}
        return (
            inputs if self.config.psi is not None else {**inputs, "psi": torch.rand(count, generator=random)}
        )


def _to_onnx(
    exported: torch.export.ExportedProgram, names: list[str], config: ExportConfig, metadata: str
) -> tuple[bytes, Run]:
    import onnxruntime

    converted = torch.onnx.export(
        exported,
        dynamo=True,
        input_names=names,
        output_names=["images"],
        opset_version=config.opset,
        verbose=False,
    )
    assert converted is not None
    model = converted.model_proto
    model.producer_name, model.producer_version = "shoegen", shoegen.__version__
    model.metadata_props.add(key="shoegen", value=metadata)
    if model.ByteSize() > MAX_ONNX_BYTES:
        raise OutputError(
            "the generator is too large for one ONNX file (2 GiB); export it with --format torch"
        )
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, Tensor]) -> Tensor:
        return torch.from_numpy(session.run(None, {name: each.numpy() for name, each in inputs.items()})[0])

    return content, run


def _to_pt2(
    exported: torch.export.ExportedProgram, names: list[str], config: ExportConfig, metadata: str
) -> tuple[bytes, Run]:
    file = io.BytesIO()
    torch.export.save(exported, file, extra_files={"shoegen.json": metadata})
    again = torch.export.load(io.BytesIO(file.getvalue())).module()  # ours; a stranger's .pt2 may run code
    return file.getvalue(), lambda inputs: again(**inputs)


def _deviation(program: _Program, run: Run, count: int) -> float:
    inputs = program.draw_inputs(count)
    images, expected = run(inputs), program(**inputs)
    if images.shape != expected.shape:
        return math.inf
    return float((images - expected).abs().max()) / 2


def _describe(generator: Generator, config: ExportConfig, origin: str) -> dict[str, Any]:
    return {
        "kind": "exported generator",
        "shoegen": shoegen.__version__,
        "origin": origin,
        "generator_hash": generator.hash(),
        "config": generator.config.to_dict(),
        "export": dataclasses.asdict(config),
        "range": [-1, 1],
    }


@contextlib.contextmanager
def _reference_ops() -> Iterator[None]:
    """A program is to hold operations of PyTorch alone, which others know."""
    before = get_impl()
    set_impl("reference")
    try:
        yield
    finally:
        set_impl(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notes on their own workings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
