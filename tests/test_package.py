import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from shoegen.ops import build

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What a package is made from."""
    source = tmp_path_factory.mktemp("package") / "source"
    for name in ("shoegen", "ops", "torch_utils"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    return source


def wheel_of(source, folder, **environment):
    """The wheel's path, the names in it, and what was said while it was made."""
    pip = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--wheel-dir", folder, source],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    (wheel,) = folder.glob("*.whl")
    return wheel, set(zipfile.ZipFile(wheel).namelist()), done.stdout


def test_without_a_compiler_the_wheel_holds_shoegen_alone_and_whole(source, tmp_path):
    _, names, said = wheel_of(source, tmp_path, CXX="", PATH="")
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"shoegen"}
    assert {
        "shoegen/ops/bias_act.py",
        "shoegen/ops/csrc/layout.h",
        "shoegen/ops/csrc/cpu/bias_act.cpp",
        "shoegen/ops/csrc/cuda/bias_act_cuda.cu",
        "shoegen/torch_utils/files.py",
        "shoegen/assets/cagan.safetensors",
        "shoegen/assets/generator.safetensors",
        "shoegen/assets/segmenter.safetensors",
        "shoegen/assets/spade.safetensors",
        "shoegen/assets/directions/heel.safetensors",
        "shoegen/assets/MODEL_CARD.md",
        "shoegen/py.typed",
    } <= names
    assert not any(name.endswith(".so") for name in names)
    assert "native CPU ops: not built: no C++ compiler" in said or "ninja was not found" in said


@pytest.mark.skipif(
    not build.find_compiler() or not build.find_ninja(), reason="there is no C++ compiler here"
)
def test_the_wheel_holds_the_native_ops_and_serves_every_python(source, tmp_path):
    wheel, names, _ = wheel_of(source, tmp_path, SHOEGEN_CUDA="0")
    assert "-py3-none-" in wheel.name
    library = f"shoegen/ops/{build.library('cpu').name}"
    assert {name for name in names if name.endswith(".so")} == {library}

    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    code = "import shoegen.ops.dispatch as d; print(d.__file__); print(repr(d.native_problem('cpu')))"
    run = [sys.executable, "-c", code]
    said = subprocess.check_output(run, env={"PYTHONPATH": str(installed)}, cwd=tmp_path, text=True)
    assert said == f"{installed}/shoegen/ops/dispatch.py\n''\n"
