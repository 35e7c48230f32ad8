"""How the native ops come to be, and what is said where they do not. What compiling takes is in test_package.py."""

import shutil
import subprocess

import pytest

from shoegen.ops import build, dispatch


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of the sources to change."""
    shutil.copytree(build.HERE / "csrc", tmp_path / "ops" / "csrc")
    monkeypatch.setattr(build, "HERE", tmp_path / "ops")
    return tmp_path / "ops" / "csrc"


@pytest.fixture
def no_tools(monkeypatch, tmp_path):
    for name in ("CXX", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_the_name_holds_the_sources(sources):
    cpu, cuda = build.library("cpu"), build.library("cuda")
    with open(sources / "cpu" / "bias_act.cpp", "a") as file:
        file.write("// changed\n")
    assert build.library("cpu") != cpu
    assert build.library("cuda") == cuda
    with open(sources / "activation.h", "a") as file:
        file.write("// changed\n")
    assert build.library("cuda") != cuda


def test_a_library_of_other_sources_is_not_loaded(sources):
    assert dispatch.load("cpu") == "not built; run `shoegen build-ops`"
    (build.HERE / "_native_cpu.0123456789ab.so").touch()
    assert dispatch.load("cpu") == "built from other sources; run `shoegen build-ops`"


def test_a_damaged_library_is_said(sources):
    build.library("cpu").write_bytes(b"no library")
    assert "cannot be loaded" in dispatch.load("cpu")


def test_a_library_is_put_in_place_whole_and_earlier_ones_go(tmp_path):
    earlier, other = tmp_path / "_native_cpu.0.so", tmp_path / "_native_cuda.0.so"
    earlier.touch()
    other.touch()
    (tmp_path / "built").write_bytes(b"library")
    target = tmp_path / "_native_cpu.1.so"
    assert build._install(tmp_path / "built", target) == target
    assert target.read_bytes() == b"library"
    assert {path.name for path in tmp_path.iterdir()} == {"built", target.name, other.name}


def test_without_a_compiler_an_installation_goes_on_and_says_so(no_tools, tmp_path):
    said = []
    assert build.build_what_can_be(tmp_path / "out", said.append) == []
    text = "\n".join(said)
    assert "native CPU ops: not built: " in text
    assert "run `shoegen build-ops` later" in text
    assert "CUDA ops: not built: " in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("find_torch", "PyTorch is not installed"),
        ("find_ninja", "ninja was not found"),
        ("find_compiler", r"no C\+\+ compiler"),
    ],
)
def test_what_is_missing_is_named(missing, message, monkeypatch, tmp_path):
    monkeypatch.setattr(build, missing, lambda: None)
    with pytest.raises(build.BuildError, match=message):
        build.build("cpu", out=tmp_path)


def test_what_the_compiler_says_is_passed_on(sources, tmp_path):
    if not build.find_compiler() or not build.find_ninja():
        pytest.skip("there is no C++ compiler here")
    for path in (sources / "cpu").iterdir():
        path.unlink()
    (sources / "cpu" / "wrong.cpp").write_text("int number = unheard_of;\n")
    with pytest.raises(build.BuildError, match=r"wrong\.cpp:1:14: error: .*unheard_of.*whole output is in"):
        build.build("cpu", out=tmp_path / "out", report=lambda line: None)
    assert not (tmp_path / "out").exists()


def test_kernels_share_no_code_between_instruction_sets():
    """The linker keeps one copy of what several files define: not one that some processors cannot run."""
    objects = [*(build.HERE.parent / "build" / "ops").glob("*_kernel.v*.o")]
    if not objects or not shutil.which("nm"):
        pytest.skip("there are no object files of a build here")
    for path in objects:
        listed = subprocess.check_output(["nm", "--defined-only", path], text=True)
        shared = [line.split()[-1] for line in listed.splitlines() if line.split()[-2] in "WVu"]
        level = path.name.split(".")[1]
        assert [name for name in shared if f"2{level}" not in name] == [], path.name


@pytest.mark.parametrize(
    ("environment", "torch_cuda", "nvcc", "gpus", "reason"),
    [
        ({}, "13.0", "13.2", ["9.0"], ""),
        ({"SHOEGEN_CUDA": "1"}, "13.0", "13.0", [], ""),
        ({}, "13.0", "13.0", [], "no GPU here"),
        ({"SHOEGEN_CUDA": "0"}, "13.0", "13.0", ["9.0"], "SHOEGEN_CUDA=0"),
        ({"SHOEGEN_CUDA": "1"}, None, "13.0", ["9.0"], "not built for CUDA"),
        ({"SHOEGEN_CUDA": "1"}, "12.8", "13.0", ["9.0"], "nvcc is 13.0, PyTorch was built for CUDA 12.8"),
        ({"SHOEGEN_CUDA": "1"}, "12.8", None, ["9.0"], "nvcc was not found"),
    ],
)
def test_when_an_installation_compiles_cuda(environment, torch_cuda, nvcc, gpus, reason, monkeypatch):
    monkeypatch.delenv("SHOEGEN_CUDA", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(build, "torch_cuda_version", lambda: torch_cuda)
    monkeypatch.setattr(build, "find_nvcc", lambda: nvcc and "/cuda/bin/nvcc")
    monkeypatch.setattr(build, "nvcc_version", lambda path: nvcc)
    monkeypatch.setattr(build, "gpu_architectures", lambda: gpus)
    monkeypatch.setattr(build, "find_compiler", lambda: ["g++"])
    assert reason in build.cuda_unwanted()
    assert bool(build.cuda_unwanted()) == bool(reason)
