import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from click.testing import CliRunner

from shoegen.cli import main as command_line
from shoegen.data.images import read_image
from shoegen.data.synthetic import make_dataset
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
run = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "run.py")))


# ---- notebooks ----


# Commands run in the kernel itself, which saves their start.
IN_KERNEL = """
import shlex
import subprocess

from click.testing import CliRunner
from shoegen.cli import main

shell = get_ipython()


def system(line):
    program, *arguments = shlex.split(shell.var_expand(line, depth=1))
    assert program == "shoegen"
    may_fail = arguments[-2:] == ["||", "true"]
    result = CliRunner().invoke(main, arguments[:-2] if may_fail else arguments)
    print(result.output)
    if result.exit_code and not may_fail:
        raise subprocess.CalledProcessError(result.exit_code, line)


shell.system = system
"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    notebook = run.read(path, quick=True)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(IN_KERNEL))
    run.execute(notebook, tmp_path)
    run.tidy(notebook)  # it warns of nothing
    assert_shows_something(notebook)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_at_its_own_size(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run.main([path.stem, "--out", str(tmp_path)])
    kept = tmp_path / path.name
    assert_shows_something(nbformat.read(kept, as_version=4))
    assert kept.stat().st_size <= LARGEST
    assert str(kept) in capsys.readouterr().out


def assert_shows_something(notebook):
    """Every cell ran, in order, without error, and some of the last shows a picture."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [
        output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"
    ]
    pictures = [kind for output in outputs[-2:] for kind in output.get("data", {}) if kind in KINDS]
    assert pictures


KINDS = ("image/png", "image/jpeg")
LARGEST = 300_000  # bytes


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_with_tidy_outputs(path):
    notebook = run.read(path)
    assert_shows_something(notebook)
    assert path.stat().st_size <= LARGEST
    assert set(notebook.metadata) == {"kernelspec", "language_info", "quick"}
    texts = [
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    for text in texts:
        assert not re.search(r"(^|[\s'\"])/\w+/|\x1b|\r|Warning| at 0x", text), text


def test_a_notebooks_parameters_have_smaller_ones():
    for path in NOTEBOOKS:
        (cell,) = [cell for cell in run.read(path).cells if "parameters" in cell.metadata.get("tags", [])]
        own: dict = {}
        exec(cell.source, own)
        small = run.read(path).metadata["quick"]
        assert small
        assert set(small) <= set(own), path.name


def test_a_cell_that_fails_or_warns_keeps_the_notebook_as_it_was(tmp_path):
    def notebook_of(source):
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)], metadata={"quick": {}})

    for source in ("1 / 0", "!shoegen make-shoes --count -1 --out shoes.zip"):
        with pytest.raises(run.CellExecutionError, match=r"ZeroDivisionError|status 1|CalledProcessError"):
            run.execute(notebook_of(source), tmp_path)
    warning = notebook_of("import warnings\nwarnings.warn('old')")
    run.execute(warning, tmp_path)
    with pytest.raises(RuntimeError, match=r"a cell warned: .*\n?.*old"):
        run.tidy(warning)


def test_what_stays_of_a_terminal():
    text = "\x1b[?25ldrawing ━━ \x1b[0m\r\x1b[2Kdrawing ━━━━ 9/9\r\n\x1b[?25ha.zip: 9 shoes  \r\n┏━━━┓\r\n"
    assert run.without_bars(text) == "a.zip: 9 shoes\n┏━━━┓\n"


# ---- from annotations to paintings ----


@pytest.fixture
def commands(monkeypatch):
    """The names of the `shoegen` commands that were run since; they run in this process, which saves their start."""
    names = []

    def call(command):
        assert command[1:3] == ["-m", "shoegen"]
        names.append(command[3])
        result = CliRunner().invoke(command_line, command[3:])
        assert result.exit_code == 0, result.output
        return result.exit_code

    monkeypatch.setattr(subprocess, "call", call)
    return names


def test_from_mask_rcnn_to_spade(tmp_path, commands, capsys):
    main = runpy.run_path(str(EXAMPLES / "mask_rcnn_to_spade.py"))["main"]
    options = [
        "--work", tmp_path / "run", "--shoes", 12, "--resolution", 32, "--split", "0.34,0.33,0.33", "--rows", 3,
        "--maskrcnn-images", 2, "--maskrcnn", "--no-pretrained --width 0.0625 --resolution 64 --rois 8 --device cpu",
        "--spade-images", 2, "--spade", "--batch 2 --channels 2 --hidden 4 --perceptual-net none --device cpu",
    ]  # fmt: skip
    options = [str(each) for each in options]
    main(options)
    steps = "make-shoes convert-annotations train-segmenter segment segment train-spade paint"
    assert " ".join(commands) == steps
    assert "photograph, map by Mask R-CNN, painted by SPADE" in capsys.readouterr().out
    assert read_image(tmp_path / "run" / "sheet.png").shape[1] == 8 * 32 + 7 * 2
    assert len(list((tmp_path / "run" / "painted" / "style0").iterdir())) == 4

    commands.clear()
    main(options)
    assert commands == []  # all is done
    main([*options, "--spade-images", "4", "--style-seed", "1"])
    assert commands == ["train-spade", "paint"]  # goes on


# ---- launch scripts ----

LAUNCH = EXAMPLES / "launch"
TINY = [
    *("--resolution", "16", "--width", "0.004", "--batch", "8", "--mbstd-group", "2"),
    *("--metrics", "none", "--snapshot-kimg", "0.08"),
]


@pytest.fixture(scope="module")
def shoes(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "shoes.zip"
    make_dataset(path, count=24, resolution=32)
    return path


def launch(script, out, shoes, *, kimg, **environment):
    """One of the launch scripts, with a tiny training on the processor."""
    bin = str(Path(sys.executable).parent)
    path = os.pathsep.join([environment.pop("bin", bin), bin, os.environ["PATH"]])
    return subprocess.Popen(
        [
            *(LAUNCH / script, out, "train-stylegan", "--data", shoes, *TINY, "--kimg", str(kimg)),
        ],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    """What they said; all have ended well."""
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(outputs)
    return "\n".join(outputs)


def wait_for_checkpoint(process, out):
    deadline = time.monotonic() + 240
    while latest_checkpoint(out) is None and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()[0]
    assert latest_checkpoint(out) is not None


def images_of(out):
    return load_checkpoint(latest_checkpoint(out))["images"]


@pytest.mark.parametrize("script", sorted(LAUNCH.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_bash_and_say_what_they_need(script):
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    result = subprocess.run([script], capture_output=True, text=True)
    assert result.returncode != 0
    assert "usage: " in result.stderr
    assert "RUN_FOLDER COMMAND" in result.stderr


def test_one_node_goes_on_where_it_was_stopped(shoes, tmp_path):
    out = tmp_path / "run"
    process = launch("one_node.sh", out, shoes, kimg=0.48, NPROC="2")
    wait_for_checkpoint(process, out)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert "2 processes" in output
    assert "saved; go on with --resume" in output
    stopped_at = images_of(out)
    assert stopped_at < 480
    output = finish(launch("one_node.sh", out, shoes, kimg=9, NPROC="2"))  # the run keeps its own length
    assert "2 processes" in output
    assert images_of(out) == 480


def test_several_nodes_meet(shoes, tmp_path, free_port):
    out, where = tmp_path / "no" / "parent" / "run", f"127.0.0.1:{free_port}"
    settings = {"NNODES": "2", "NPROC": "1", "MASTER": where, "ADDRESS": "127.0.0.1"}
    output = finish(*(launch("several_nodes.sh", out, shoes, kimg=0.016, **settings) for _ in range(2)))
    assert "2 processes" in output
    assert output.count("generator: ") == 1
    assert images_of(out) == 16


SRUN = """#!/usr/bin/env bash
# Two tasks, as Slurm starts them; a signal to srun kills them.
while [[ $1 == --* ]]; do shift; done
export SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NODELIST=localhost SLURM_STEP_TASKS_PER_NODE=2
for task in 0 1; do
    SLURM_PROCID=$task SLURM_LOCALID=$task "$@" & echo $! >>"$TASKS"; pids+=($!)
done
trap 'kill -KILL "${pids[@]}"' TERM
for pid in "${pids[@]}"; do wait "$pid" || exit; done
"""
SCANCEL = """#!/usr/bin/env bash
[[ $* == "--signal=TERM $SLURM_JOB_ID" ]] && kill -TERM $(cat "$TASKS")
"""
SCONTROL = """#!/usr/bin/env bash
echo "$@" >>"$SAID"
"""


def test_slurm_saves_before_the_time_is_up_and_queues_again(shoes, tmp_path, free_port):
    """With stand-ins for Slurm's commands, which do what its documentation says."""
    out, said, tasks = tmp_path / "run", tmp_path / "said", tmp_path / "tasks"
    for name, text in (("srun", SRUN), ("scancel", SCANCEL), ("scontrol", SCONTROL)):
        (tmp_path / "bin" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    settings = {
        "bin": str(tmp_path / "bin"), "SAID": str(said), "TASKS": str(tasks), "SLURM_JOB_ID": "7",
        "MASTER_PORT": str(free_port),
    }  # fmt: skip
    process = launch("slurm.sh", out, shoes, kimg=0.48, **settings)
    wait_for_checkpoint(process, out)
    process.send_signal(signal.SIGUSR1)
    output = finish(process)
    assert "2 processes" in output
    assert "saved; go on with --resume" in output
    assert said.read_text() == "requeue 7\n"
    assert images_of(out) < 480

    tasks.unlink()
    finish(launch("slurm.sh", out, shoes, kimg=0.48, **settings))
    assert said.read_text() == "requeue 7\n"  # it was done
    assert images_of(out) == 480


def test_slurm_does_not_queue_again_what_failed(tmp_path, shoes):
    (tmp_path / "srun").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "srun").chmod(0o755)
    process = launch("slurm.sh", tmp_path / "run", shoes, kimg=1, bin=str(tmp_path), SLURM_JOB_ID="7")
    process.communicate(timeout=60)
    assert process.returncode == 3
