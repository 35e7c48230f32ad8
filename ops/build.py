"""Compiles the native ops: `csrc/cpu` with a C++ compiler, `csrc/cuda` with nvcc, each into one shared library.

The libraries stand beside this file. They use libtorch's stable ABI only, so one binary serves every PyTorch from
2.11 on and every Python; their names hold a hash of the sources, so that one of other sources is never loaded.

setup.py runs this file before the package is installed: the standard library is all it may import.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = ("cpu", "cuda")
HOW = "run `shoegen build-ops`"

FLAGS = ["-std=c++20", "-O3", "-DNDEBUG", "-DTORCH_TARGET_VERSION=0x020b000000000000"]
# Without errno and floating-point traps, loops with comparisons and square roots vectorise.
SPEED = ["-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"]
CPU_FLAGS = ["-Wall", "-fPIC", "-fvisibility=hidden", *SPEED]
NVCC_FLAGS = ["-DUSE_CUDA", "-Xcompiler", "-fPIC,-fvisibility=hidden"]
# Kernels (`*_kernel.cpp`) are compiled once for each of these and picked at run time.
X86_64 = {"generic": [], "v3": ["-march=x86-64-v3"], "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}
# Binary code for Ampere and Ada, and for Hopper; what comes later compiles the PTX when it is first loaded.
ARCHITECTURES = ("8.0", "9.0+PTX")


SUFFIXES = (".h", ".cpp", ".cu", ".cuh")


class BuildError(Exception):
    """What kept a library from being built, in one line."""


def library(part: str, folder: Path | None = None) -> Path:
    """Where the library of `part` ("cpu" or "cuda") stands when it is built from the present sources."""
    digest = hashlib.sha256(" ".join([*FLAGS, *CPU_FLAGS, *NVCC_FLAGS, str(X86_64)]).encode())
    for source in _sources(part):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return (folder or HERE) / f"_native_{part}.{digest.hexdigest()[:12]}.so"


def build(
    part: str,
    *,
    out: Path | None = None,
    architectures: Sequence[str] = (),
    report: Callable[[str], None] = print,
) -> Path:
    """Compiles one library and puts it into `out` whole; earlier ones go.

    Args:
        part: "cpu" or "cuda".
        out: the folder; None for the package's.
        architectures: of the CUDA library, such as "9.0" or "9.0+PTX"; none: those of the GPUs here, or
            `ARCHITECTURES`.
        report: takes a line at the start.

    Raises:
        BuildError: no PyTorch, compiler or ninja, or what the compiler says.
    """
    torch = find_torch()
    if torch is None:
        raise BuildError("PyTorch is not installed where this is built, and its headers are needed")
    if sys.platform not in ("linux", "darwin"):
        raise BuildError(f"native ops are built on Linux and macOS, not on {sys.platform}")
    ninja = find_ninja()
    if ninja is None:
        raise BuildError("ninja was not found; `pip install ninja`")
    with _build_folder() as folder:
        if part == "cuda":
            architectures = list(architectures or gpu_architectures() or ARCHITECTURES)
            report(f"compiling the CUDA ops for {', '.join(architectures)}")
            rules = _cuda_rules(torch, architectures)
        else:
            report("compiling the CPU ops")
            rules = _cpu_rules(torch)
        (folder / f"{part}.ninja").write_text(rules)
        command = [ninja, "-f", f"{part}.ninja", *_jobs()]
        done = subprocess.run(
            command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode:
            descriptor, name = tempfile.mkstemp(prefix=f"shoegen-build-{part}-", suffix=".log")
            os.close(descriptor)
            log = Path(name)
            log.write_text(done.stdout)
            said = re.search(r"(?m)^.*\b(?:error|fatal)\b.*$", done.stdout)
            lines = [said.group()] if said else done.stdout.split("\n")
            line = next((each.strip() for each in reversed(lines) if each.strip()), "it said nothing")
            raise BuildError(f"compiling failed: {line}; the whole output is in {log}")
        return _install(folder / f"{part}.so", library(part, out))


def build_what_can_be(out: Path | None = None, report: Callable[[str], None] = print) -> list[Path]:
    """What an installation does: the CPU ops, and the CUDA ops where there is a GPU or SHOEGEN_CUDA=1.

    Never fails: shoegen works without.
    """
    built = []
    for part in PARTS:
        why_not = cuda_unwanted() if part == "cuda" else ""
        if why_not:
            report(f"CUDA ops: not built: {why_not}")
            continue
        try:
            built.append(build(part, out=out, report=report))
        except (BuildError, OSError) as error:
            report(
                f"native {part.upper()} ops: not built: {error}. Plain PyTorch does their work; {HOW} later"
            )
    return built


def cuda_unwanted() -> str:
    """Why an installation leaves the CUDA ops out; empty when it builds them."""
    wish = os.environ.get("SHOEGEN_CUDA", "")
    if wish == "0":
        return "SHOEGEN_CUDA=0"
    if cuda_impossible():
        return cuda_impossible()
    if wish != "1" and not gpu_architectures():
        return "there is no GPU here (SHOEGEN_CUDA=1 or `shoegen build-ops --cuda` builds them all the same)"
    return ""


def cuda_impossible() -> str:
    """What is missing to compile CUDA sources; empty when nothing is."""
    wanted = torch_cuda_version()
    if wanted is None:
        return (
            "PyTorch is not built for CUDA"
            if find_torch()
            else "PyTorch is not installed where this is built"
        )
    nvcc = find_nvcc()
    if nvcc is None:
        return "nvcc was not found; install the CUDA toolkit or set CUDA_HOME"
    version = nvcc_version(nvcc)
    if version.split(".")[0] != wanted.split(".")[0]:
        return f"nvcc is {version}, PyTorch was built for CUDA {wanted}; set CUDA_HOME to a toolkit of that version"
    return "" if find_compiler() else "no C++ compiler was found"


def find_torch() -> Path | None:
    spec = importlib.util.find_spec("torch")
    return Path(spec.origin).parent if spec and spec.origin else None


def torch_cuda_version() -> str | None:
    torch = find_torch()
    version = torch and re.search(r"(?m)^cuda\b.*?= '(.+)'", (torch / "version.py").read_text())
    return version.group(1) if version else None


def find_compiler() -> list[str] | None:
    """$CXX, or the first of g++, clang++, c++."""
    candidates = [["g++"], ["clang++"], ["c++"]]
    if os.environ.get("CXX"):
        try:
            candidates = [shlex.split(os.environ["CXX"])]
        except ValueError:  # a quote that is not closed
            return None
    return next((command for command in candidates if shutil.which(command[0])), None)


def find_nvcc() -> str | None:
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    path = os.pathsep.join([f"{home}/bin"] if home else [os.environ.get("PATH", ""), "/usr/local/cuda/bin"])
    return shutil.which("nvcc", path=path)


def nvcc_version(nvcc: str) -> str:
    version = re.search(r"release ([\d.]+)", _output([nvcc, "--version"]))
    return version.group(1) if version else "of an unknown version"


def find_ninja() -> str | None:
    return shutil.which("ninja") or shutil.which("ninja", path=str(Path(sys.executable).parent))


def gpu_architectures() -> list[str]:
    """Compute capabilities of the GPUs here, such as ["9.0"]."""
    if shutil.which("nvidia-smi") is None:
        return []
    lines = _output(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]).split()
    return sorted({line for line in lines if re.fullmatch(r"\d+\.\d", line)})


def _output(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _sources(part: str) -> list[Path]:
    folders = HERE / "csrc", HERE / "csrc" / part
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]


@contextlib.contextmanager
def _build_folder() -> Iterator[Path]:
    """`build/ops` of a checkout, where a second build compiles only what changed; else a temporary one."""
    if not (HERE.parent / "setup.py").exists():
        with tempfile.TemporaryDirectory(prefix="shoegen-ops-") as temporary:
            yield Path(temporary)
        return
    folder = HERE.parent / "build" / "ops"
    folder.mkdir(parents=True, exist_ok=True)
    import fcntl  # not on Windows

    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _jobs() -> list[str]:
    return ["-j", os.environ["MAX_JOBS"]] if os.environ.get("MAX_JOBS") else []


def _install(built: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.name.split(".")[0]
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".native-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(built.read_bytes())
        os.chmod(temporary, 0o755)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    for earlier in target.parent.glob(f"{part}.*.so"):
        if earlier != target:
            earlier.unlink(missing_ok=True)
    return target


def _cpu_rules(torch: Path) -> str:
    compiler = find_compiler()
    if compiler is None:
        raise BuildError("no C++ compiler was found ($CXX, g++, clang++ or c++)")
    flags = [*FLAGS, *CPU_FLAGS, "-isystem", str(torch / "include")]
    variants: dict[str, list[str]] = {"generic": []}
    if platform.machine().lower() in ("x86_64", "amd64") and _accepts(compiler, X86_64["v4"]):
        variants = X86_64
        flags.append("-DSHOEGEN_X86_64")
    compiled = []
    for source in (path for path in _sources("cpu") if path.suffix == ".cpp"):
        if source.stem.endswith("_kernel"):
            for name, more in variants.items():
                compiled.append((source, f"{source.stem}.{name}.o", [f"-DSHOEGEN_ISA={name}", *more]))
        else:
            compiled.append((source, f"{source.stem}.o", []))
    undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    link = ["-shared", *undefined, f"-L{torch / 'lib'}", "-ltorch_cpu"]
    return _rules("cpu", compiler, flags, compiled, link)


def _cuda_rules(torch: Path, architectures: Sequence[str]) -> str:
    impossible = cuda_impossible()
    if impossible:
        raise BuildError(impossible)
    nvcc, compiler = find_nvcc(), find_compiler()
    assert nvcc is not None
    assert compiler is not None
    flags = [*FLAGS, *NVCC_FLAGS, "-ccbin", compiler[0], "-isystem", str(torch / "include")]
    flags += [generate_code(architecture) for architecture in architectures]
    compiled: list[tuple[Path, str, list[str]]]
    compiled = [(path, f"{path.stem}.cuda.o", []) for path in _sources("cuda") if path.suffix == ".cu"]
    link = ["-shared", "-cudart", "shared", "-ccbin", compiler[0], f"-L{torch / 'lib'}"]
    return _rules("cuda", [nvcc], flags, compiled, [*link, "-ltorch_cuda", "-ltorch_cpu", "-lc10_cuda"])


def generate_code(architecture: str) -> str:
    """ "9.0+PTX" → nvcc's option for it."""
    found = re.fullmatch(r"(\d+)\.(\d[af]?)(\+PTX)?", architecture)
    if found is None:
        raise BuildError(f"architecture: got {architecture!r}, expected such as 9.0 or 9.0+PTX")
    number = found.group(1) + found.group(2)
    codes = [f"sm_{number}", *([f"compute_{number}"] if found.group(3) else [])]
    return f"-gencode=arch=compute_{number},code=[{','.join(codes)}]"


def _accepts(compiler: Sequence[str], flags: Sequence[str]) -> bool:
    command = [*compiler, *flags, "-x", "c++", "-fsyntax-only", os.devnull]
    return subprocess.run(command, capture_output=True).returncode == 0


def _rules(
    part: str,
    compiler: Sequence[str],
    flags: Sequence[str],
    compiled: Sequence[tuple[Path, str, list[str]]],
    link: Sequence[str],
) -> str:
    lines = [
        f"builddir = .{part}",  # ninja's log: the two parts know nothing of each other
        "rule compile",
        f"  command = {shlex.join(compiler)} {shlex.join(flags)} $more -MMD -MF $out.d -c $in -o $out",
        "  depfile = $out.d",
        "  deps = gcc",
        "rule link",
        f"  command = {shlex.join(compiler)} $in -o $out {shlex.join(link)}",
    ]
    for source, target, more in compiled:
        lines += [f"build {target}: compile {_path(source)}", f"  more = {shlex.join(more)}"]
    lines.append(f"build {part}.so: link {' '.join(target for _, target, _ in compiled)}")
    return "\n".join(lines) + "\n"


def _path(path: Path) -> str:
    return re.sub(r"([$: ])", r"$\1", str(path))


if __name__ == "__main__":
    print("\n".join(str(path) for path in build_what_can_be()))
