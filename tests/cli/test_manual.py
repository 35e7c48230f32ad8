import re
import subprocess
from pathlib import Path
from shutil import which

import pytest
from click.testing import CliRunner

import shoegen
from shoegen.cli import main
from shoegen.cli._manual import VARIABLES, read_pages, to_man, to_markdown
from tests.cli.command_lines import command_lines, parse

PAGES = list(read_pages(main).all())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.file)
def test_each_help_has_examples_that_the_command_understands(page):
    lines = list(command_lines("\n".join(page.examples)))
    own = page.name.split()[1:]
    assert any(line[: len(own)] == own for line in lines), page.examples
    for line in lines:
        if line[0] != "COMMAND":
            parse(line)


def test_a_page_for_each_command(tmp_path):
    result = CliRunner().invoke(main, ["manual", "--out", str(tmp_path / "man1")])
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "man1").iterdir()}
    assert names == {f"{page.file}.1" for page in PAGES}
    assert {"shoegen.1", "shoegen-edit.1", "shoegen-latents-list.1", "shoegen-manual.1"} <= names
    result = CliRunner().invoke(main, ["manual", "--format", "markdown", "--out", str(tmp_path / "pages")])
    assert result.output == f"{tmp_path / 'pages'}: {len(PAGES)} pages\n"
    assert (tmp_path / "pages" / "shoegen-edit.md").read_text("utf-8").startswith("# shoegen edit\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.file)
def test_pages_hold_all_of_the_help(page):
    # Pages break lines elsewhere, roff writes hyphens otherwise, Markdown escapes what would be formatting.
    man = to_man(page).replace("\\-", "-").replace("\\&", "")
    markdown = to_markdown(page).replace("\\", "")
    for option, text in page.options:
        assert f".B {option}\n{text}\n" in man
        assert f"`{option}`\n:   {text}" in markdown
    for line in page.examples:
        assert line in man
        assert line in markdown
    names = [option for param in page.command.params for option in param.opts if option.startswith("--")]
    assert all(any(name in option for option, _ in page.options) for name in names)


@pytest.mark.skipif(not which("groff"), reason="groff is not installed")
def test_groff_has_nothing_to_complain_about():
    everything = "".join(map(to_man, PAGES))
    run = ["groff", "-man", "-ww", "-z", "-Tutf8", "-k"]
    done = subprocess.run(run, input=everything.encode(), capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_the_environment_is_described():
    root = Path(shoegen.__file__).parents[1]
    code = "".join(
        path.read_text("utf-8") for name in ("shoegen", "ops") for path in (root / name).rglob("*.py")
    )
    read = set(re.findall(r"""(?:environ(?:\.get)?[(\[]|getenv\(|envvar=)["'](SHOEGEN_\w+)""", code))
    assert {"SHOEGEN_OPS", "SHOEGEN_ASSETS"} <= read
    assert read <= {name for name, _ in VARIABLES}


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["manual", "--out", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert result.output.startswith("error: cannot make the folder ")
