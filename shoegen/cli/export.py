"""`shoegen export`: a generator or a segmenter as a program for other software."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from shoegen.cli._completion import complete_model
from shoegen.errors import ConfigError

if TYPE_CHECKING:
    from shoegen.stylegan.networks import NoiseMode


@click.command()
@click.option(
    "--model",
    default="default",
    show_default=True,
    shell_complete=complete_model,
    help="A generator's file, or a run folder.",
)
@click.option(
    "--format", type=click.Choice(["onnx", "torch"]), help="By default what the suffix of --out says."
)
@click.option(
    "--from", "source", type=click.Choice(["z", "w"]), default="z", show_default=True, help="The input."
)
@click.option("--psi", help="A number that is fixed in the program, or `input`.  [default: 0.7]")
@click.option("--cutoff", type=click.IntRange(min=0), help="Truncate only so many of the first layers.")
@click.option("--noise", type=click.Choice(["const", "none"]), default="const", show_default=True)
@click.option("--opset", type=int, help="Of ONNX, 18 to 23.")
@click.option(
    "--out",
    type=click.Path(),
    default="model.onnx",
    show_default=True,
    help="The file to write: .onnx or .pt2.",
)
def command(
    model: str,
    format: Any,
    source: Any,
    psi: str | None,
    cutoff: int | None,
    noise: NoiseMode,
    opset: int | None,
    out: str,
) -> None:
    """Write a generator as ONNX or as a torch.export program, or a segmenter as ONNX, checked against the original.

    \b
    shoegen export --out model.onnx                 # z (N, z_dim) → images (N, C, H, W) in [-1, 1]
    shoegen export --psi input --out model.onnx     # z and psi (N,)
    shoegen export --from w --out model.pt2         # ws (N, num_ws, w_dim)
    shoegen export --model runs/parts --out parts.onnx  # images (N, 3, S, S) in [-1, 1] → logits (N, classes, S, S)

    A conditional generator takes c (N, classes) too. ONNX needs: pip install 'shoegen[export]'.
    """
    if source == "w" and (psi is not None or cutoff is not None):
        raise ConfigError("--from w takes latents as they are; leave out --psi and --cutoff")
    if format is None:
        if not out.endswith((".onnx", ".pt2")):
            raise ConfigError(f"--out: got {out}, expected a name that ends in .onnx or .pt2")
        format = "torch" if out.endswith(".pt2") else "onnx"

    from shoegen.segmentation.loading import is_instance_segmenter
    from shoegen.segmentation.parts import is_segmenter

    if is_instance_segmenter(model):
        raise ConfigError(
            f"{model} is a Mask R-CNN, which is not exported: how many regions it looks at depends on the picture, and "
            "PyTorch's exporter does not follow that; give a semantic segmenter or a generator"
        )
    if is_segmenter(model):
        if (format, source, psi, cutoff, noise) != ("onnx", "z", None, None, "const"):
            raise ConfigError(
                f"{model} is a segmenter: it is exported as ONNX, without --from, --psi, --cutoff and --noise"
            )
        _export_segmenter(model, out, opset)
        return

    from shoegen.editing import load
    from shoegen.stylegan.export import ExportConfig, check_export, export_generator
    from shoegen.torch_utils.files import check_writable

    config = ExportConfig(
        format=format,
        source=source,
        psi=None if psi == "input" else _parse_psi(psi or "0.7"),
        cutoff=cutoff,
        noise=noise,
        opset=opset,
    )
    check_export(out, config)
    check_writable(out)
    exported = export_generator(load(model, "cpu").generator, out, config, origin=model)
    inputs = ", ".join(f"{name} {_shape(shape)}" for name, shape in exported.inputs.items())
    click.echo(f"{out}: {inputs} → images {_shape(exported.output)}, {exported.size / 1e6:.1f} MB")
    click.echo(f"largest deviation from the generator: {exported.deviation:.1e} of the range")


def _export_segmenter(model: str, out: str, opset: int | None) -> None:
    from shoegen.segmentation.export import export_segmenter
    from shoegen.segmentation.parts import PartSegmenter
    from shoegen.torch_utils.files import check_writable

    check_writable(out)
    exported = export_segmenter(PartSegmenter.load(model), out, opset=opset, origin=model)
    click.echo(f"{out}: images {_shape(exported.inputs['images'])} → logits {_shape(exported.output)}")
    click.echo(f"largest deviation from the segmenter: {exported.deviation:.1e} of the range")


def _parse_psi(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"--psi: got {text!r}, expected a number such as 0.7, or input") from error


def _shape(shape: tuple[int | str, ...]) -> str:
    """(N, 3, 64, 64)"""
    return f"({', '.join(map(str, shape))})"
