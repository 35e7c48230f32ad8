"""`shoegen build-ops`: compile the native ops where they were not compiled at installation."""

from __future__ import annotations

import click


@click.command("build-ops")
@click.option(
    "--cuda/--no-cuda", default=None, help="The CUDA ops too. Default: where there is a GPU and nvcc."
)
@click.option(
    "--arch", help="Architectures of the CUDA ops, such as 8.0,9.0+PTX. Default: of the GPUs here, or these."
)
@click.option("--out", type=click.Path(file_okay=False), help="Folder to write to. Default: the package's.")
def command(cuda: bool | None, arch: str | None, out: str | None) -> None:
    """Compile the native ops: needs a C++ compiler, and nvcc for the CUDA ops (no GPU).

    \b
    shoegen build-ops                          # the CPU ops, and the CUDA ops where there is a GPU
    shoegen build-ops --cuda --arch 8.0,9.0    # for machines with such GPUs
    """
    import time
    from pathlib import Path

    from shoegen.errors import ConfigError
    from shoegen.ops import build
    from shoegen.torch_utils.files import check_writable

    architectures = [] if arch is None else arch.split(",")
    if architectures and not cuda:
        raise ConfigError("--arch is for the CUDA ops; add --cuda")
    folder = Path(out).absolute() if out else build.HERE
    check_writable(folder / build.library("cpu").name)
    if cuda is None:
        why_not = build.cuda_unwanted()
        cuda = not why_not
        if why_not:
            click.echo(f"CUDA ops: left out: {why_not}")
    try:
        for architecture in architectures:
            build.generate_code(architecture)
        for part in build.PARTS if cuda else build.PARTS[:1]:
            started = time.monotonic()
            path = build.build(part, out=folder, architectures=architectures, report=click.echo)
            click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB in {time.monotonic() - started:.0f} s")
    except (build.BuildError, OSError) as error:
        raise ConfigError(str(error)) from error
