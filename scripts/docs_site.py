"""What the site has beside docs/: a hook of mkdocs (see mkdocs.yml) that writes those pages while it builds.

README, CONTRIBUTING, CHANGELOG and the model card as they are; the notebooks of examples/ with their outputs; a page
for each command, from click; a page for each package, whose docstrings mkdocstrings reads. Nothing of it is kept twice.
"""

import base64
import posixpath
import re
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from shoegen.cli import SECTIONS, main
from shoegen.cli._manual import read_pages, to_markdown

ROOT = Path(__file__).resolve().parents[1]
TREE = ROOT / "build" / "types" / "shoegen"
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "notebooks/index.md",
    "shoegen/assets/MODEL_CARD.md": "model_card.md",
}
STANDS_FOR = PAGES | {"examples/launch": "many_gpus.md", "examples": "notebooks/index.md"}
COMMANDS, MODULES, EXAMPLES = "commands", "python", "notebooks"  # folders of the site
ESCAPES = re.compile("\x1b" + r"\[[0-9;]*m")  # colours of a terminal
NO_PAGES = {"cli", "app", "assets"}  # packages that nobody imports from
ORDER = [
    "editing",
    "inversion",
    "directions",
    "measure",
    "segmentation",
    "spade",
    "cagan",
    "stylegan",
    "metrics",
]


def on_config(config: MkDocsConfig) -> None:
    if not TREE.is_dir():
        raise PluginError(
            "build/types is not there, which shows the package as it is installed: run `make docs`"
        )
    config.nav = [_entry(each) for each in config.nav or []]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    texts: dict[str, str | bytes] = {page: _adapt(source, page) for source, page in PAGES.items()}
    for page in read_pages(main).all():
        texts[f"{COMMANDS}/{page.file}.md"] = to_markdown(page)
    for name in _packages():
        texts[f"{MODULES}/{name}.md"] = _package_page(name)
    for path in _notebooks():
        texts |= _notebook_pages(path)
    texts |= {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in _scripts()}
    for name, content in texts.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page, config: MkDocsConfig, files: Files) -> str:
    path = ROOT / "docs" / page.file.src_uri
    return _relink(markdown, path) if path.is_file() else markdown


def _entry(entry):
    """An entry of the navigation, with what stands for "@…"."""
    if not isinstance(entry, dict):
        return entry
    ((title, value),) = entry.items()
    if isinstance(value, list):
        return {title: [_entry(each) for each in value]}
    if value == "@commands":
        whole = read_pages(main)
        pages = {child.name.split()[1]: child.all() for child in whole.children}
        sections = {
            section: [{page.name: f"{COMMANDS}/{page.file}.md"} for name in names for page in pages[name]]
            for section, names in SECTIONS.items()
        }
        return {title: [f"{COMMANDS}/{whole.file}.md", *({name: links} for name, links in sections.items())]}
    if value == "@modules":
        return {title: [{name: f"{MODULES}/{name}.md"} for name in _packages()]}
    if value == "@examples":
        return {title: [f"{EXAMPLES}/index.md", *(f"{EXAMPLES}/{path.stem}.md" for path in _notebooks())]}
    return {title: PAGES[value[1:]] if value.startswith("@") else value}


# ---- pages that stand elsewhere ----


def _adapt(source: str, page: str) -> str:
    text = _relink((ROOT / source).read_text("utf-8"), ROOT / source)
    return _up(text) if "/" in page else text


def _relink(markdown: str, path: Path) -> str:
    """Links of a file of the repository, as the site has them."""

    def relink(match: re.Match[str]) -> str:
        target, _, anchor = match[1].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        source = posixpath.normpath(posixpath.join(path.parent.relative_to(ROOT).as_posix(), target))
        if source in STANDS_FOR:
            found = STANDS_FOR[source]
        elif source.startswith("examples/") and source.endswith(".ipynb"):
            found = f"{EXAMPLES}/{Path(source).stem}.md"
        elif ROOT / source in _scripts():
            found = source
        elif source.startswith("docs/"):
            found = source.removeprefix("docs/")
        else:
            raise PluginError(f"{path.relative_to(ROOT)}: {target} is no page of the site")
        return f"]({found}{'#' * bool(anchor)}{anchor})"

    return re.sub(r"\]\(([^)\s]+)\)", relink, markdown)


def _scripts() -> list[Path]:
    """Examples that are not pages: the site keeps them as they are."""
    return sorted(path for path in (ROOT / "examples").rglob("*") if path.suffix in (".py", ".sh"))


# ---- notebooks ----


def _notebooks() -> list[Path]:
    return sorted((ROOT / "examples").glob("*.ipynb"))


def _notebook_pages(path: Path) -> dict[str, str | bytes]:
    """A notebook's page, and the pictures in its outputs."""
    parts, files = [], {}
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "markdown":
            parts.append(_up(_relink(cell.source, path)))
            continue
        shell = cell.source.lstrip().startswith(("!", "%%bash", "%%sh"))
        parts.append(f"```{'sh' if shell else 'python'}\n{cell.source}\n```")
        for count, output in enumerate(cell.outputs):
            data = output.get("data", {})
            kind = next((kind for kind in ("image/png", "image/jpeg") if kind in data), None)
            if kind:
                name = f"{path.stem}_{number}_{count}.{kind.removeprefix('image/')}"
                files[f"{EXAMPLES}/{name}"] = base64.b64decode(data[kind])
                parts.append(f"![]({name})")
            elif text := output.get("text") or data.get("text/plain"):
                parts.append(f"```text\n{ESCAPES.sub('', text).rstrip()}\n```")
    source = f"*This is examples/{path.name} as it was run.*"
    parts.insert(1, source)
    return {f"{EXAMPLES}/{path.stem}.md": "\n\n".join(parts) + "\n", **files}


def _up(markdown: str) -> str:
    """Links of a page that lies a folder deeper than `_relink` takes it to be."""
    return re.sub(r"\]\((?![a-z]+:|#)([^)\s]+)\)", r"](../\1)", markdown)


# ---- docstrings ----


def _packages() -> list[str]:
    """shoegen itself, then its packages and those modules that belong to none."""
    found = {path.parent.name for path in TREE.glob("*/__init__.py")} - NO_PAGES
    found |= {path.stem for path in TREE.glob("*.py")} - {"__init__", "__main__"}
    found.discard("shoegen")
    return ["shoegen", *(f"shoegen.{name}" for name in [*ORDER, *sorted(found - {*ORDER})])]


def _package_page(name: str) -> str:
    if name == "shoegen":
        import shoegen

        members = [each for each in shoegen.__all__ if each != "__version__"]
        return "# shoegen\n\n" + "\n\n".join(f"::: shoegen.{each}" for each in members) + "\n"
    return (
        f"# {name}\n\n::: {name}\n    options:\n      show_root_heading: false\n      show_submodules: true\n"
    )
