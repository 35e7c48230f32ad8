import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from shoegen import __version__
from shoegen.ops import build

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tracked():
    """The files of the repository as they are now, but for those that concern it alone."""
    try:
        names = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git repository, so what belongs to the package is not known")
    return {name for name in names if (ROOT / name).is_file() and not re.match(r"\.ci/|\.git", name)}


@pytest.fixture(scope="module")
def source(tmp_path_factory, tracked):
    """What a package is made from."""
    source = tmp_path_factory.mktemp("package") / "source"
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
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


@pytest.fixture(scope="module")
def plain_wheel(source, tmp_path_factory):
    return wheel_of(source, tmp_path_factory.mktemp("wheel"), CXX="", PATH="")


def test_the_source_distribution_is_the_repository(source, tracked, tmp_path):
    code = f"from setuptools import build_meta; print(build_meta.build_sdist({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob(f"shoegen-{__version__}.tar.gz")
    with tarfile.open(path) as archive:
        held = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in held if name.startswith("shoegen.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert held - made == tracked


def test_without_a_compiler_the_wheel_holds_shoegen_alone_and_whole(plain_wheel, tracked):
    wheel, names, said = plain_wheel
    assert wheel.name.startswith(f"shoegen-{__version__}-py3-none-")
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"shoegen"}
    within = {re.sub(r"^(ops|torch_utils)/", r"shoegen/\1/", name) for name in tracked}
    assert {name for name in within if name.startswith("shoegen/")} == {
        name for name in names if ".dist-info/" not in name
    }
    assert {"shoegen/py.typed", "shoegen/assets/MODEL_CARD.md", "shoegen/ops/csrc/layout.h"} <= names
    assert "native CPU ops: not built: no C++ compiler" in said or "ninja was not found" in said


def test_who_installs_the_wheel_has_its_types(plain_wheel, tmp_path):
    wheel, _, _ = plain_wheel
    venv.create(tmp_path / "venv")
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (tmp_path / "use.py").write_text(
        "import shoegen\nimport shoegen.ops\nfrom shoegen.torch_utils.files import write_json\n"
        "reveal_type(shoegen.load('default').sample(7))\n"
        "reveal_type(shoegen.ops.get_impl())\n"
        "write_json(3, {})\n"
    )
    run = [sys.executable, "-m", "mypy", "--config-file", "", "--cache-dir", "cache", "--python-executable"]
    python = tmp_path / "venv" / "bin" / "python"
    done = subprocess.run([*run, python, "use.py"], cwd=tmp_path, capture_output=True, text=True)
    said = [line for line in done.stdout.splitlines() if line.startswith("use.py")]
    assert [re.sub(r" +\[[\w-]+\]$", "", line) for line in said] == [
        'use.py:4: note: Revealed type is "shoegen.editing.shoe.Shoe"',
        'use.py:5: note: Revealed type is "str"',
        'use.py:6: error: Argument 1 to "write_json" has incompatible type "int"; expected "str | PathLike[str]"',
    ]


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


@pytest.mark.slow
def test_it_installs_in_an_empty_environment_and_works_from_another_folder(source, tmp_path):
    """Minutes, and 6 GB: PyTorch and all else come from where pip finds them."""
    wheel, _, _ = wheel_of(source, tmp_path / "wheels")
    venv.create(tmp_path / "venv", with_pip=True)
    bin, elsewhere = tmp_path / "venv" / "bin", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [bin / "python", "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    done = subprocess.run([*pip, wheel], capture_output=True, text=True)
    if "No matching distribution found for torch" in done.stderr:
        pytest.skip("pip finds no PyTorch from here")
    assert done.returncode == 0, done.stderr

    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def shoegen(*arguments):
        done = subprocess.run(
            [bin / "shoegen", *arguments], cwd=elsewhere, capture_output=True, text=True, env=clean
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert shoegen("--version") == f"shoegen, version {__version__}\n"
    said = shoegen(
        "edit", "--direction", "heel", "--strengths=-2,-1,0,1,2", "--seed", "12", "--out", "out/heel.png"
    )
    heels = [float(each) for each in re.findall(r"heel_height ([\d.]+)", said)]
    assert len(heels) == 5
    assert heels == sorted(heels)
    assert (elsewhere / "out" / "heel.png").read_bytes().startswith(b"\x89PNG")
    shoegen("doctor")
