"""`ops/` and `torch_utils/` live at the top of the repository and are installed inside the package.

Installed under their own names they would collide with other projects' top-level modules.
Everything else is declared in pyproject.toml.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["shoegen", "shoegen.*"]),
        "shoegen.assets",  # files only, which find_packages passes over
        "shoegen.assets.directions",
        *(f"shoegen.{name}" for name in find_packages(include=["ops*", "torch_utils*"])),
    ],
    package_dir={"shoegen": "shoegen", "shoegen.ops": "ops", "shoegen.torch_utils": "torch_utils"},
)
