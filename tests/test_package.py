import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_shoegen_alone_and_whole(tmp_path):
    source = tmp_path / "source"
    for name in ("shoegen", "ops", "torch_utils"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"shoegen"}
    assert {
        "shoegen/ops/bias_act.py",
        "shoegen/torch_utils/files.py",
        "shoegen/assets/generator.safetensors",
        "shoegen/assets/segmenter.safetensors",
        "shoegen/assets/directions/heel.safetensors",
        "shoegen/assets/MODEL_CARD.md",
        "shoegen/py.typed",
    } <= set(names)
