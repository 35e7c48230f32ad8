from click.testing import CliRunner

import shoegen
from shoegen.cli import main


def test_a_damaged_file_in_a_folder_is_named(tmp_path):
    shoe = shoegen.load("default", device="cpu").sample(3)
    shoe.save_latent(tmp_path / "good.safetensors", name="mine")
    content = (tmp_path / "good.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    result = CliRunner().invoke(main, ["latents", "list", str(tmp_path)])
    assert result.exit_code == 0
    assert "good.safetensors: mine" in result.stdout
    assert "cut.safetensors" not in result.stdout
    assert result.stderr.startswith("note: damaged, or of another program:")
    assert "cut.safetensors" in result.stderr
