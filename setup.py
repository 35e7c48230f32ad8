"""`ops/` and `torch_utils/` live at the top of the repository and are installed inside the package.

Installed under their own names they would collide with other projects' top-level modules. The native ops are
compiled on the way, where that is possible (ops/build.py). Everything else is declared in pyproject.toml.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def recipe() -> ModuleType:
    """ops/build.py, without the package around it: that needs torch."""
    spec = importlib.util.spec_from_file_location("shoegen_ops_build", ROOT / "ops" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildOps(build_ext):
    """Compiles what can be compiled here; an installation without native ops is a good one."""

    def run(self) -> None:
        in_place = self.inplace or self.editable_mode
        folder = ROOT / "ops" if in_place else Path(self.build_lib).resolve() / "shoegen" / "ops"
        self.built = [str(path) for path in recipe().build_what_can_be(folder)]

    def get_outputs(self) -> list[str]:
        return getattr(self, "built", [])

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Wheel(bdist_wheel):
    """The libraries serve every Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    packages=[
        *find_packages(include=["shoegen", "shoegen.*"]),
        "shoegen.assets",  # files only, which find_packages passes over
        "shoegen.assets.directions",
        "shoegen.ops.csrc",
        "shoegen.ops.csrc.cpu",
        "shoegen.ops.csrc.cuda",
        *(f"shoegen.{name}" for name in find_packages(include=["ops*", "torch_utils*"])),
    ],
    package_dir={"shoegen": "shoegen", "shoegen.ops": "ops", "shoegen.torch_utils": "torch_utils"},
    ext_modules=[Extension("shoegen.ops._native", sources=[])],  # says that there is something to compile
    cmdclass={"build_ext": BuildOps, "bdist_wheel": Wheel},
)
