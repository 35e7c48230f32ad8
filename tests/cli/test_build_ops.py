import pytest
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.ops import build


def run(*arguments):
    return CliRunner().invoke(main, ["build-ops", *map(str, arguments)])


@pytest.fixture
def built(monkeypatch):
    """What `build.build` was asked for; nothing is compiled."""
    calls = []

    def record(part, *, out, architectures, report):
        calls.append((part, list(architectures)))
        out.mkdir(parents=True, exist_ok=True)
        path = out / build.library(part).name
        path.write_bytes(b"")
        return path

    monkeypatch.setattr(build, "build", record)
    monkeypatch.setattr(build, "cuda_unwanted", lambda: "there is no GPU here")
    return calls


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ([], [("cpu", [])]),
        (["--no-cuda"], [("cpu", [])]),
        (["--cuda"], [("cpu", []), ("cuda", [])]),
        (["--cuda", "--arch", "8.0,9.0+PTX"], [("cpu", ["8.0", "9.0+PTX"]), ("cuda", ["8.0", "9.0+PTX"])]),
    ],
)
def test_what_is_built(built, options, calls, tmp_path):
    result = run(*options, "--out", tmp_path / "new" / "folder")
    assert result.exit_code == 0, result.output
    assert built == calls
    assert str(tmp_path / "new" / "folder" / build.library("cpu").name) in result.output
    assert ("there is no GPU here" in result.output) == (not options)


def test_the_cuda_ops_come_along_where_there_is_a_gpu(built, monkeypatch, tmp_path):
    monkeypatch.setattr(build, "cuda_unwanted", lambda: "")
    run("--out", tmp_path)
    assert [part for part, _ in built] == ["cpu", "cuda"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--arch", "9.0"], "error: --arch is for the CUDA ops; add --cuda"),
        (
            ["--cuda", "--arch", "hopper"],
            "error: architecture: got 'hopper', expected such as 9.0 or 9.0+PTX",
        ),
        (["--cuda", "--arch", ""], "error: architecture: got ''"),
        (["--out", "/proc/nowhere"], "error: cannot make the folder /proc/nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_line(options, message, monkeypatch, tmp_path):
    result = run(*options, *([] if "--out" in options else ["--out", tmp_path]))
    assert result.exit_code == 1
    assert result.output.startswith(message)
    assert result.output.count("\n") == 1


def test_without_a_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "find_compiler", lambda: None)
    result = run("--no-cuda", "--out", tmp_path)
    assert result.exit_code == 1
    assert "error: no C++ compiler was found" in result.output
