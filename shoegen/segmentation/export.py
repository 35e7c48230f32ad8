"""Segmenters as ONNX, compared with the original before they are written."""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import shoegen
from shoegen.errors import ConfigError, OutputError
from shoegen.segmentation.parts import PartSegmenter
from shoegen.torch_utils.files import atomic_write

TOLERANCE = 1e-3  # of the range of the logits
OPSETS = range(18, 24)


@dataclass(frozen=True)
class Exported:
    """What was written.

    inputs: name → shape, with "N" for any number. output: shape of the logits. size: bytes. deviation: the largest
    difference from the segmenter's logits on random pictures, as a share of their range.
    """

    inputs: dict[str, tuple[int | str, ...]]
    output: tuple[int | str, ...]
    size: int
    deviation: float


def export_segmenter(
    segmenter: PartSegmenter, path: str | Path, *, opset: int | None = None, origin: str = ""
) -> Exported:
    """Writes a segmenter as ONNX: images (N, 3, H, W) float32 in [−1, 1] → logits (N, classes, H, W), for any N.

    H and W are those that it was trained at; a picture is brought to them as `PartSegmenter.segment` does, as large as
    fits, and the rest filled up. The class of a pixel is the one of the largest logit. The metadata
    property "shoegen" is JSON of what it was made from, with names and colours of the classes.

    Args:
        segmenter: on the CPU.
        path: ends in .onnx.
        opset: of ONNX, 18 to 23; None for PyTorch's own choice.
        origin: what the model is called, kept in the metadata.

    Raises:
        ConfigError: another suffix or opset, or a package is missing.
        OutputError: the program differs by more than `TOLERANCE`; nothing is written.
    """
    if Path(path).suffix != ".onnx":
        raise ConfigError(f"cannot write {path}: expected a name that ends in .onnx")
    if opset is not None and opset not in OPSETS:
        raise ConfigError(f"opset: got {opset}, expected from {OPSETS[0]} to {OPSETS[-1]}")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"exporting needs {error.name}; pip install 'shoegen[export]'") from error
    size = segmenter.config.size
    # Its memory format would go into the program as transpositions.
    net = copy.deepcopy(segmenter.net).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        converted = torch.onnx.export(
            net,
            (_pictures(2, size),),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("N", min=1)}},
            opset_version=opset,
            verbose=False,
        )
        assert converted is not None
        model = converted.model_proto
        model.producer_name, model.producer_version = "shoegen", shoegen.__version__
        model.metadata_props.add(key="shoegen", value=json.dumps(_describe(segmenter, origin)))
        content = model.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        deviation = max(_deviation(net, session, _pictures(count, size)) for count in (1, 3))
    if not deviation <= TOLERANCE:
        raise OutputError(
            f"the exported program's logits differ from the segmenter's by {deviation:.2g} of their range, more than "
            f"{TOLERANCE:g}; nothing was written; try another --opset"
        )
    with atomic_write(path) as file:
        file.write(content)
    shape = ("N", segmenter.config.classes, *size)
    return Exported({"images": ("N", 3, *size)}, shape, len(content), deviation)


def _pictures(count: int, size: tuple[int, int]) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(count)) * 2 - 1


def _deviation(net: torch.nn.Module, session: Any, images: Tensor) -> float:
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    expected = net(images)
    if logits.shape != expected.shape:
        return float("inf")
    return float((torch.from_numpy(logits) - expected).abs().max() / (expected.max() - expected.min()))


def _describe(segmenter: PartSegmenter, origin: str) -> dict[str, object]:
    return {
        "kind": "exported segmenter",
        "shoegen": shoegen.__version__,
        "origin": origin,
        "config": segmenter.config.to_dict(),
        "labels": segmenter.labels.to_json(),
        "range": [-1, 1],
    }
