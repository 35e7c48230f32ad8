"""What the documents say of commands, messages, files and folders is so."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.command_lines import command_lines, parse

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "shoegen" / "assets" / "MODEL_CARD.md", *DOCS]
SOURCES = [path for name in ("shoegen", "torch_utils", "ops") for path in sorted((ROOT / name).rglob("*.py"))]


def blocks(text, *languages):
    """The content of the fenced blocks in these languages."""
    return [
        body
        for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)
        if language in languages
    ]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_commands_are_understood(path):
    for block in blocks(path.read_text("utf-8"), "", "sh"):
        for line in command_lines(block):
            parse(line)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_python_is_python(path):
    for block in blocks(path.read_text("utf-8"), "python"):
        ast.parse(block)


def texts_of_the_code():
    """Every text of the code, as it is put together from literals that stand beside one another; … where values go."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)


def test_the_messages_of_troubleshooting_are_those_of_the_code():
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "troubleshooting.md").read_text("utf-8"), re.M)
    assert len(rows) > 50
    texts = "\n".join(set(texts_of_the_code()))
    missing = []
    for row in rows:
        # A figure in the message's text may be anything but a new message.
        pattern = "[^\n]*".join(re.escape(part) for part in row.replace("'shoegen[export]'", "…").split("…"))
        if not re.search(pattern, texts):
            missing.append(row)
    assert missing == []


def test_every_kind_of_file_is_described():
    text = (ROOT / "docs" / "formats.md").read_text("utf-8")
    code = "\n".join(path.read_text("utf-8") for path in SOURCES)
    trainings = {"stylegan"}  # kinds of run folders, whose config.json says so
    kinds = {
        *re.findall(r'^KIND = "([\w-]+)"', code, re.M),
        *re.findall(r'load_tensors\([^)]*kind="([\w-]+)"', code),
    }
    assert {"generator", "direction", "latents"} <= kinds
    assert [kind for kind in sorted(kinds - trainings) if f"| `{kind}` |" not in text] == []


def test_the_map_of_the_house_names_every_folder():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    not_kept = {"build", "dist", "out", "runs", "__pycache__", "shoegen.egg-info"}  # see .gitignore
    tops = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."} - not_kept
    inside = {path.name for path in (ROOT / "shoegen").iterdir() if path.is_dir()} - not_kept
    assert [name for name in sorted(tops) if f"{name}/" not in text] == []
    assert [name for name in sorted(inside) if not re.search(rf"^  {name}/ ", text, re.M)] == []
    listed = re.findall(r"^  (\w+)/ ", text, re.M)
    assert [name for name in listed if not (ROOT / "shoegen" / name).is_dir()] == []


def test_every_page_is_in_the_navigation():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    pages = re.findall(r"'([\w.]+\.md)'", str(nav))
    assert sorted(pages) == sorted({path.name for path in DOCS})


def test_release():
    from shoegen import __version__

    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert __version__ in heads[:2]  # after what is not released yet
    numbers = [tuple(map(int, head.split("."))) for head in heads if head != "Unreleased"]
    assert numbers == sorted(numbers, reverse=True)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import docs_site

    return docs_site


def test_links_lead_to_pages_of_the_site(site):
    def relink(text):
        return site._relink(text, ROOT / "README.md")

    assert relink("[a](docs/editing.md#amounts)") == "[a](editing.md#amounts)"
    assert relink("![](docs/heel.png) [b](CHANGELOG.md)") == "![](heel.png) [b](changelog.md)"
    assert relink("[c](shoegen/assets/MODEL_CARD.md)") == "[c](model_card.md)"
    assert relink("[d](https://a.org/b.md) [e](#here)") == "[d](https://a.org/b.md) [e](#here)"
    assert relink("[f](examples/a.ipynb)") == "[f](notebooks/a.md)"
    assert relink("[g](examples/mask_rcnn_to_spade.py)") == "[g](examples/mask_rcnn_to_spade.py)"
    with pytest.raises(Exception, match=r"README\.md: setup\.py is no page of the site"):
        relink("[h](setup.py)")


def test_notebooks_become_pages_with_their_outputs(site, tmp_path):
    import base64

    import nbformat.v4 as nb

    shown = [
        nb.new_output("stream", text="\x1b[31mred\x1b[0m\n"),
        nb.new_output(
            "display_data", {"image/png": base64.b64encode(b"png").decode(), "text/plain": "<Image>"}
        ),
    ]
    cells = [
        nb.new_markdown_cell("# First"),
        nb.new_code_cell("a = 1", outputs=shown),
        nb.new_code_cell("!ls"),
    ]
    path = tmp_path / "first.ipynb"
    path.write_text(nb.writes(nb.new_notebook(cells=cells)))
    pages = site._notebook_pages(path)
    assert pages["notebooks/first_1_1.png"] == b"png"
    text = pages["notebooks/first.md"]
    assert "```python\na = 1\n```\n\n```text\nred\n```\n\n![](first_1_1.png)" in text
    assert "```sh\n!ls\n```" in text


def test_parameters_that_share_a_line_get_one_each(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import docs_griffe

    text = "Args:\n    up, down: whole factors,\n        both.\n    x: (N,)."
    expected = (
        "Args:\n    up: whole factors,\n        both.\n    down: whole factors,\n        both.\n    x: (N,)."
    )
    assert docs_griffe._one_each(text, {"up", "down", "x"}) == expected
    assert docs_griffe._one_each(text, {"up", "x"}) == text
    assert (
        docs_griffe._as_list("a, b: one\n    more.\nc: two.", {"a", "b", "c"})
        == "- `a`, `b`: one more.\n- `c`: two."
    )
    assert docs_griffe._as_list("as: it is", {"a"}) == "as: it is"


def test_pre_commit_fetches_nothing():
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-config"], cwd=ROOT, check=True)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert {repo["repo"] for repo in hooks} == {"local"}
    assert {hook["language"] for repo in hooks for hook in repo["hooks"]} == {"system"}


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_needs_no_network(tmp_path):
    tree = ROOT / "build" / "types" / "shoegen"
    if not tree.is_dir():
        pytest.skip("build/types is not there; `make tree` makes it")
    run = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, env={"NO_MKDOCS_2_WARNING": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 60
    fetched = r'<(?:script|img|iframe|source)[^>]+src="?https?:|<link[^>]+rel="?(?:stylesheet|icon|preload)[^>]+https?:'
    assert [page for page in pages if re.search(fetched, page.read_text("utf-8"))] == []
