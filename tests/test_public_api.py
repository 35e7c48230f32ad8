import resource
import subprocess
import sys

import pytest

import shoegen
from shoegen.cli import SECTIONS, main

NAMES = [
    "Direction",
    "InstanceSegmenter",
    "Painter",
    "Painting",
    "PartSegmenter",
    "Sheet",
    "Shoe",
    "ShoeModel",
    "ShoegenError",
    "Strip",
    "Swapper",
    "__version__",
    "cutout",
    "inpaint",
    "invert",
    "load",
    "load_segmenter",
    "load_shoe",
    "paint",
    "sheet",
    "swap",
]
COMMANDS = [
    "app",
    "build-ops",
    "compare-segmenters",
    "completion",
    "convert-annotations",
    "convert-direction",
    "convert-model",
    "cutout",
    "discover-directions",
    "doctor",
    "edit",
    "evaluate",
    "export",
    "fit-direction",
    "generate",
    "inpaint",
    "inspect",
    "interpolate",
    "latents",
    "make-shoes",
    "manual",
    "measure",
    "paint",
    "prepare",
    "project",
    "segment",
    "style-mix",
    "swap",
    "train-cagan",
    "train-encoder",
    "train-segmenter",
    "train-spade",
    "train-stylegan",
]


def test_public_names():
    assert sorted(shoegen.__all__) == NAMES
    assert set(NAMES) <= set(dir(shoegen))
    for name in NAMES:
        assert getattr(shoegen, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'shoes'"):
        _ = shoegen.shoes


def run(*arguments):
    """The output of a Python process and the CPU seconds it took; a busy machine does not add to these."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.check_output([sys.executable, *arguments], text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_import_is_light():
    code = "import sys, shoegen; assert not {'torch', 'numpy', 'PIL', 'click'} & set(sys.modules)"
    _, seconds = run("-c", code)
    assert seconds < 0.3


def test_commands():
    assert main.list_commands(None) == COMMANDS
    assert sorted(name for names in SECTIONS.values() for name in names) == COMMANDS


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_fast(command):
    output, seconds = run("-m", "shoegen", *command, "--help")
    assert output.startswith("Usage: ")
    assert seconds < 0.5
