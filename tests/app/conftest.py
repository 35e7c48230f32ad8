"""A page that is served, and a browser."""

import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from shoegen.data.images import write_image
from shoegen.data.synthetic import render_shoe, sample_parameters

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytest.importorskip("gradio", reason="the page needs the extra `app`")


@contextmanager
def serving(*options, **environment):
    """The address of a page that the command serves."""
    import os

    process = subprocess.Popen(
        [sys.executable, "-m", "shoegen", "app", "--port", "0", "--no-open", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert line.startswith("shoegen is at http://127.0.0.1:"), line + process.communicate(timeout=60)[1]
        yield line.split()[3]
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert "Traceback" not in said, said


@pytest.fixture(scope="session")
def address():
    with serving() as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The page in a browser of its own, with the addresses that it asked for; nothing may fail in it."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(90_000)
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    open_page(page, address)
    yield page
    assert not failed
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    context.close()


def open_page(page, address):
    page.goto(address)
    page.wait_for_selector("#wall img")


@pytest.fixture(scope="session")
def photo(tmp_path_factory):
    """The file of a shoe's picture."""
    path = tmp_path_factory.mktemp("photos") / "pump.png"
    write_image(path, render_shoe(sample_parameters(5, 4), 256).image)
    return path
