import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import shoegen
from shoegen.cli import main
from shoegen.cli._manual import read_pages

HEEL = Path(shoegen.__file__).parent / "assets" / "directions" / "heel.safetensors"


def offered(*words):
    """What is offered for the last of the words, as (value, kind)."""
    *before, incomplete = words
    completion = ShellComplete(main, {}, "shoegen", "_SHOEGEN_COMPLETE")
    return [(item.value, item.type) for item in completion.get_completions(before, incomplete)]


def test_commands_options_and_choices():
    assert offered("train-s") == [(f"train-s{each}", "plain") for each in ("egmenter", "pade", "tylegan")]
    assert ("--strengths", "plain") in offered("edit", "--str")
    assert offered("edit", "--quality", "b") == [("balanced", "plain"), ("best", "plain")]
    assert offered("train-stylegan", "--data", "ph") == [("ph", "file")]


def test_models():
    assert offered("edit", "--model", "") == [("", "file"), ("default", "plain")]
    assert offered("paint", "map.png", "--model", "ru") == [("ru", "file")]


def test_directions_are_those_beside_the_model(tmp_path):
    assert ("heel", "plain") in offered("edit", "--direction", "")
    (tmp_path / "directions").mkdir()
    shutil.copy(HEEL, tmp_path / "directions" / "mine.safetensors")
    assert offered("edit", "--model", str(tmp_path), "--direction", "m") == [("m", "file"), ("mine", "plain")]
    run = ["edit", "--model", str(tmp_path / "generator.safetensors"), "--direction", "heel"]
    assert offered(*run) == [("heel", "file")]


def test_attributes_one_after_the_other():
    assert offered("edit", "--keep", "heel,toe_r") == [("heel,toe_roundness", "plain")]
    assert ("all", "plain") in offered("fit-direction", "heel", "--orthogonal-to", "")
    assert ("heel_width", "plain") in offered("fit-direction", "shaft", "heel_w")


def test_every_option_that_names_a_model_offers_them():
    silent = [
        (page.name, param.opts[0])
        for page in read_pages(main).all()
        for param in page.command.params
        if param.opts[0] in ("--model", "--init-from", "--encoder", "--segmenter")
        and not param.shell_complete(page.command.make_context("x", [], resilient_parsing=True), "def")
    ]
    assert silent == [("shoegen train-segmenter", "--encoder")]  # a name of another library


def test_bash_completes(tmp_path):
    script = CliRunner().invoke(main, ["completion", "bash"]).output
    (tmp_path / "shoegen").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shoegen "$@"\n')
    (tmp_path / "shoegen").chmod(0o755)
    asked = "COMP_WORDS=(shoegen edit --direction he); COMP_CWORD=3; _shoegen_completion shoegen; "
    asked += 'echo "${COMPREPLY[@]}"'
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    # `complete` and `compopt` are for shells with a prompt.
    quiet = "compopt() { :; }; complete() { :; }\n"
    said = subprocess.check_output(
        ["bash", "-c", quiet + script + asked], env=os.environ | {"PATH": path}, text=True
    )
    assert said == "heel\n"


@pytest.mark.parametrize(("shell", "says"), [("zsh", "#compdef shoegen"), ("fish", "complete --no-files")])
def test_other_shells(shell, says):
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert says in result.output


def test_completing_loads_no_torch():
    code = (
        "import sys\nfrom click.shell_completion import ShellComplete\nfrom shoegen.cli import main\n"
        "c = ShellComplete(main, {}, 'shoegen', 'X')\n"
        "assert c.get_completions(['edit', '--keep'], 'to') and c.get_completions(['edit', '--direction'], 'h')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
