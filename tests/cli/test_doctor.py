import importlib.metadata

import pytest
import torch
from click.testing import CliRunner

from shoegen.cli import main
from shoegen.ops import build, dispatch


@pytest.fixture
def doctor(monkeypatch):
    monkeypatch.setitem(dispatch._state, "impl", "auto")
    return lambda: CliRunner().invoke(main, ["doctor"])


def test_it_shows_the_installation(doctor):
    result = doctor()
    assert result.exit_code == 0, result.output
    for name in ("shoegen", "python", "torch", "GPU", "compiler", "nvcc", "ninja", "ops", "what to do"):
        assert f"\n{name}" in "\n" + result.output
    assert torch.__version__ in result.output


def test_it_runs_the_native_ops(doctor):
    if dispatch.native_problem("cpu"):
        pytest.skip(dispatch.native_problem("cpu"))
    output = doctor().output
    assert f"active: {build.library('cpu').name}" in output
    for op in ("bias_act", "upfirdn2d", "epilogue", "conv_layer"):
        assert f"    {op:<11}native; differs from plain PyTorch by " in output


def test_missing_native_ops_are_no_failure_unless_they_were_asked_for(doctor, monkeypatch):
    monkeypatch.setitem(dispatch._problems, "cpu", "not built; run `shoegen build-ops`")
    result = doctor()
    assert result.exit_code == 0
    assert "what to do     native CPU ops: not built; run `shoegen build-ops`\n" in result.output
    monkeypatch.setitem(dispatch._state, "impl", "native")
    assert doctor().exit_code == 1


def test_a_wrong_op_is_found(doctor, monkeypatch):
    if dispatch.native_problem("cpu"):
        pytest.skip(dispatch.native_problem("cpu"))
    from shoegen.cli import doctor as module

    wrong = {"bias_act": lambda x, impl: x + (impl == "native")}
    monkeypatch.setattr(module, "_checks", lambda: wrong)
    result = doctor()
    assert result.exit_code == 1
    assert "bias_act is wrong on cpu: set SHOEGEN_OPS=reference" in result.output


def test_an_unknown_choice_is_one_line(doctor, monkeypatch):
    monkeypatch.setitem(dispatch._state, "impl", "fast")
    result = doctor()
    assert result.exit_code == 1
    assert "error: SHOEGEN_OPS: got 'fast', expected one of auto, reference, native" in result.output


def test_missing_extras_and_tools_are_named(doctor, monkeypatch):
    requirements = ["torch>=2.11", "unheard-of>=1; extra == 'app'", 'click>=8; extra == "app"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requirements)
    monkeypatch.setattr(build, "find_compiler", lambda: None)
    monkeypatch.setattr(build, "find_nvcc", lambda: None)
    output = doctor().output
    assert "[app] lacks unheard-of\n" in output
    assert "pip install 'shoegen[app]'" in output
    assert "compiler       none" in output
