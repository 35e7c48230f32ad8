"""Runs the notebooks from top to bottom, and keeps in each what its cells show.

    python examples/run.py                              # all of them, in place
    python examples/run.py 04_paint 06_fit_your_own_direction
    python examples/run.py --quick --out out/notebooks  # the small figures of the tests, elsewhere

A notebook whose cell fails, or warns, stays as it was. Outputs are kept small and tidy: pictures as JPEG where that is
smaller, no progress bars, no times, and no versions of what it ran on. Needs nbclient and ipykernel:
pip install 'shoegen[dev]'.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

from shoegen.torch_utils.files import atomic_write

FOLDER = Path(__file__).parent
QUALITY = 72  # of JPEG
WIDEST = 640  # pixels
COLUMNS = 110  # of the commands' terminal
# Progress, which tables have lines of too, or what a narrow terminal leaves of it; and what depends on the machine.
PASSING = re.compile(r"[^┏┡]*━|\w+ [\d.]+/[\d.]+ \w+  |time: ")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="such as 04_paint (default: all)")
    parser.add_argument("--quick", action="store_true", help="with the tests' small figures; needs --out")
    parser.add_argument("--out", type=Path, help="folder for the notebooks (default: in place)")
    options = parser.parse_args(arguments)
    if options.quick and options.out is None:
        parser.error("--quick: expected --out too; what small figures show is not for keeping")
    notebooks = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
    names = [Path(name).stem for name in options.names] or list(notebooks)
    unknown = [name for name in names if name not in notebooks]
    if unknown:
        parser.error(f"no notebook {', '.join(unknown)}; expected some of {', '.join(notebooks)}")
    for name in names:
        started = time.monotonic()
        notebook = read(notebooks[name], quick=options.quick)
        try:
            with tempfile.TemporaryDirectory() as folder:
                execute(notebook, Path(folder))
            tidy(notebook)
        except (CellExecutionError, RuntimeError) as error:
            sys.exit(f"{name}: {error}")
        path = (options.out or FOLDER) / f"{name}.ipynb"
        data = nbformat.writes(notebook).encode() + b"\n"
        with atomic_write(path) as file:
            file.write(data)
        print(f"{path}: {time.monotonic() - started:.0f} s, {len(data) / 1000:.0f} kB", flush=True)


def read(path: Path, *, quick: bool = False) -> NotebookNode:
    """A notebook; quick: with the small figures that its metadata have for the names of its cell of parameters."""
    notebook = nbformat.read(path, as_version=4)
    if quick:
        (at,) = (i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
        small = notebook.metadata["quick"].items()
        lines = "\n".join(f"{name} = {value!r}" for name, value in small)
        notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(lines, id="quick"))
    return notebook


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Runs it in a folder, by a kernel of this Python; a failing shell command fails its cell.

    Raises:
        CellExecutionError: a cell failed.
    """
    command = ["--log-level=ERROR", "--InteractiveShell.system_raise_on_error=True"]
    client = NotebookClient(
        notebook,
        kernel_manager_class=_ThisPython,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=command,
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
    )
    bin = str(Path(sys.executable).parent)  # where the command shoegen is
    path = os.pathsep.join([bin, os.environ.get("PATH", "")])
    client.execute(env={**os.environ, "PATH": path, "COLUMNS": str(COLUMNS)})


class _ThisPython(AsyncKernelManager):
    """Starts the kernel of this Python, whatever is installed elsewhere under the same name."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(**get_kernel_dict())


def tidy(notebook: NotebookNode) -> None:
    """Makes outputs small, and the same for the same results.

    Raises:
        RuntimeError: a cell wrote to stderr: a warning.
    """
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            if output.output_type == "stream":
                if output.name != "stdout":
                    raise RuntimeError(f"a cell warned: {output.text}\n{cell.source}")
                output.text = without_bars(output.text)
            elif "data" in output:
                _shrink(output.data)
        cell.outputs = [each for each in cell.outputs if each.get("text", True)]
        cell.metadata = {name: cell.metadata[name] for name in ("tags",) if name in cell.metadata}
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        quick=notebook.metadata["quick"],
    )


def without_bars(text: str) -> str:
    """What a command wrote to a terminal, as it stays there, without bars of progress."""
    lines = [line.split("\r")[-1] for line in text.replace("\r\n", "\n").split("\n")]
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in lines]
    return "\n".join(line for line in lines if not PASSING.match(line))


def _shrink(data: NotebookNode) -> None:
    """A picture in the smallest of its formats, and of no more pixels than a page shows."""
    pictures = {kind: data.pop(kind) for kind in ("image/png", "image/jpeg") if kind in data}
    if not pictures:
        return
    data.clear()
    encoded = base64.b64decode(pictures.get("image/png") or pictures["image/jpeg"])
    picture = Image.open(io.BytesIO(encoded)).convert("RGB")
    if picture.width > WIDEST:
        picture = picture.resize(
            (WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS
        )
        encoded = b""
    for format in ("PNG", "JPEG"):
        buffer = io.BytesIO()
        picture.save(buffer, format, quality=QUALITY, optimize=True)
        encoded = min(encoded or buffer.getvalue(), buffer.getvalue(), key=len)
    kind = "image/png" if encoded.startswith(b"\x89PNG") else "image/jpeg"
    data[kind] = base64.b64encode(encoded).decode()


if __name__ == "__main__":
    main()
