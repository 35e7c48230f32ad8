import subprocess
import sys

import pytest
import torch

from shoegen.errors import ConfigError
from shoegen.ops import bias_act, dispatch, setup_filter, upfirdn2d


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    monkeypatch.setitem(dispatch._state, "impl", "auto")
    monkeypatch.setattr(dispatch, "_said", set())


@pytest.fixture
def not_built(monkeypatch):
    monkeypatch.setitem(dispatch._problems, "cpu", "not built; run `shoegen build-ops`")


def calls_native(impl="auto", x=None):
    return dispatch.use_native("bias_act", torch.zeros(2, 2) if x is None else x, impl)


def test_auto_takes_native_where_it_can(native):
    assert calls_native()
    assert not calls_native("reference")
    assert calls_native("native")
    assert not calls_native(x=torch.zeros(2, dtype=torch.float16))
    assert not calls_native(x=torch.zeros(2, dtype=torch.complex64))
    assert not calls_native(x=torch.zeros(2, device="meta"))


def test_auto_means_what_the_process_says(native, monkeypatch):
    dispatch.set_impl("reference")
    assert dispatch.get_impl() == "reference"
    assert not calls_native()
    assert calls_native("native")
    dispatch.set_impl("native")
    assert not calls_native("reference")
    assert calls_native()
    half = torch.zeros(2, dtype=torch.float16)  # which no native op is for on a CPU
    assert not calls_native(x=half)
    with pytest.raises(ConfigError, match=r"torch\.float16 on cpu"):
        calls_native("native", half)


def test_a_process_that_wants_native_ops_wants_their_library(not_built):
    dispatch.set_impl("native")
    with pytest.raises(ConfigError, match="not built; run `shoegen build-ops`"):
        calls_native()


def test_auto_says_once_that_native_is_missing(not_built, capsys):
    for _ in range(3):
        torch.testing.assert_close(bias_act(torch.ones(1, 2), act="relu", gain=2), torch.full((1, 2), 2.0))
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "native CPU ops: not built; run `shoegen build-ops`" in err


def test_reference_says_nothing(not_built, capsys):
    bias_act(torch.ones(1, 2), impl="reference")
    assert capsys.readouterr().err == ""


def test_native_by_name_raises_where_it_is_missing(not_built):
    for call in (
        lambda: bias_act(torch.ones(1, 2), impl="native"),
        lambda: upfirdn2d(torch.ones(1, 1, 4, 4), setup_filter([1, 1]), impl="native"),
    ):
        with pytest.raises(ConfigError, match="shoegen build-ops"):
            call()


def test_what_native_cannot_do_goes_to_the_reference(native):
    x, f = torch.ones(1, 1, 4, 4), setup_filter([1, 1]).requires_grad_()
    assert torch.autograd.grad(upfirdn2d(x, f).sum(), f)[0].abs().sum() > 0
    with pytest.raises(ConfigError, match="no gradient for the filter"):
        upfirdn2d(x, f, impl="native")
    with pytest.raises(ConfigError, match="gain and alpha must be positive"):
        bias_act(x, act="lrelu", gain=-1, impl="native")
    torch.testing.assert_close(bias_act(x, act="lrelu", gain=-1), -x)


@pytest.mark.parametrize("name", ["", "fast", "Native"])
def test_unknown_names(name):
    with pytest.raises(ConfigError, match="expected one of auto, reference, native"):
        dispatch.set_impl(name)
    with pytest.raises(ConfigError, match="impl: got"):
        bias_act(torch.ones(1, 2), impl=name)


def in_a_new_process(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env={"PATH": "", **environment}, capture_output=True, text=True
    )


def test_the_environment_sets_it():
    code = "import torch; from shoegen.ops import bias_act, get_impl; print(get_impl())"
    assert in_a_new_process(code, SHOEGEN_OPS="reference").stdout == "reference\n"
    done = in_a_new_process(code, SHOEGEN_OPS="fast")
    assert "ConfigError: SHOEGEN_OPS: got 'fast'" in done.stderr
