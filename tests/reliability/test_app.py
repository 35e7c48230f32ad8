"""The page under load and under attack."""

import asyncio
import io
import json
import re
import signal
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoegen.data.synthetic.dataset import render

pytest.importorskip("gradio", reason="the page needs the extra `app`")
pytest.importorskip("httpx")

from shoegen.app.first_wall import COUNT

from .test_trainings import wait_until
from .visitors import Visitor, together

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def server(commands):
    """The command that serves the page; it ends when it is asked to."""
    command = commands.start("app", "--port", 0, "--no-open", "--max-upload", 2)
    wait_until(lambda: "shoegen is at http://" in command.text, command)
    yield command
    command.send(signal.SIGTERM)
    assert command.wait() in (0, 128 + signal.SIGTERM), command.text


@pytest.fixture
def address(server):
    assert server.runs
    return re.search(r"http://[0-9.:]+", server.text)[0]


def memory(server):
    """MB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())[1]) / 1000


def visit(coroutine, seconds=600):
    """In a thread of its own: in this one Playwright's loop may be running."""

    async def limited():
        return await asyncio.wait_for(coroutine, seconds)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, limited()).result()


def png(size=(96, 96)):
    buffer = io.BytesIO()
    Image.fromarray(render(5, 3, size[0]).image).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(side=60_000):
    """A PNG of some kilobytes that says it has billions of pixels, and has many."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(200)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"
ATTACKS = {
    "svg": (SVG, "a.svg"),
    "svg as png": (SVG, "a.png"),
    "html": (HTML, "a.html"),
    "html as jpg": (HTML, "../../../a.jpg"),
    "bomb": (bomb(), "bomb.png"),
    "gif bomb": (b"GIF89a\xff\xff\xff\xff\x80\x00\x00" + bytes(100), "a.gif"),
    "empty": (b"", "a.png"),
    "truncated": (png()[:500], "a.png"),
    "zip": (b"PK\x03\x04" + bytes(200), "a.png"),
    "too large": (bytes(2_100_000), "a.png"),
    "no base64": ("!!!", "a.png"),
    "no text": ([1, 2], "a.png"),
    "pickle": (b"\x80\x04cposix\nsystem\n(S'touch pwned'\ntR.", "a.pkl"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n", "a.eps"),
    "script in its name": (b"no picture", "<img src=x onerror=alert(1)>.png"),
    "long name": (b"no picture", "x" * 100_000),
    "no name": (b"no picture", None),
    "nul in its name": (b"no picture", "a\0.png"),
}
PATHS = [
    "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../../../etc/passwd", "/file=/etc/passwd", "/file/etc/passwd",
    "/gradio_api/file=http://127.0.0.1:1/x", "/gradio_api/proxy=http://127.0.0.1:1/x", "/gradio_api/upload_progress",
    "/static/../../../../etc/passwd", "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/static/..%2f..%2fetc/passwd",
    "/assets/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd", "/assets//etc/passwd", "/svelte/..%2f..%2f..%2fetc/passwd",
    "/svelte/%2e%2e/%2e%2e/routes.py", "/static/..\\..\\etc\\passwd", "/gradio_api/info", "/openapi.json", "/docs",
    "/gradio_api/stream/a/b/c/playlist.m3u8", "/gradio_api/app_id", "/monitoring", "/gradio_api/monitoring/summary",
    "/custom_component/x/client/component/../../../../etc/passwd", "/theme.css/../../etc/passwd",
    "/gradio_api/queue/data/../../file=/etc/passwd", "/gradio_api/vibe-code", "/gradio_api/deep_link", "//etc/passwd",
]  # fmt: skip


def test_no_file_of_the_machine_can_be_read(address, tally):
    """As the client sends them: nothing tidies the paths up on the way."""
    import http.client

    host = address.removeprefix("http://")
    for path in PATHS:
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.putrequest("GET", path, skip_host=False)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status >= 300, path
        assert b"root:" not in body, path
        assert b"Traceback" not in body, path
    for path, body in (
        ("/gradio_api/upload", b"x"),
        ("/upload", b"x"),
        ("/gradio_api/component_server", b"{}"),
    ):
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("POST", path, body, {"content-type": "multipart/form-data; boundary=x"})
        assert connection.getresponse().status >= 400, path
        connection.close()
    tally("page: paths that lead out, and closed doors", len(PATHS) + 3)


def test_files_are_not_taken_by_their_path(address, tally):
    """Gradio opens what a value calls a file; here no value may."""

    async def attack():
        visitor = await Visitor.open(address)
        count = 0
        for path in ("/etc/passwd", "http://127.0.0.1:1/", "../../../etc/passwd"):
            file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
            for name, event in (
                ("photo-file", "upload"), ("paint-map", "upload"), ("paint-style", "upload"), ("swap-photo", "upload"),
                ("canvas", "input"),
            ):  # fmt: skip
                said = json.dumps(await visitor.does(name, event, **{name: file}))
                assert "root:" not in said
                count += 1
        assert "seed 3" in await visitor.picks(3)
        await visitor.leaves()
        return count

    tally("page: files named by their path", visit(attack()))


PLACES = ("photo-file", "paint-map", "paint-style", "swap-photo")


@pytest.mark.parametrize(
    "places", [PLACES[:2], pytest.param(PLACES, marks=pytest.mark.soak)], ids=["some", "all"]
)
def test_malicious_uploads_are_refused_where_they_happen_and_the_work_stays(places, server, address, tally):
    async def attack():
        visitor = await Visitor.open(address)
        before = memory(server)
        await visitor.picks(7)
        story = await visitor.drags(80)
        for what, (content, name) in ATTACKS.items():
            for place in places:
                said = await visitor.uploads(content, name, place)
                assert 'class=\\"refusal\\"' in said or "status 413" in said, (
                    f"{what} to {place}: {said[:300]}"
                )
                assert "Error)" not in said, f"{what} to {place}: {said[-600:]}"
                assert "<img src=x" not in said
                assert "<script" not in said
                assert len(said) < 3000, f"{what} to {place}: {said[:300]}"
        for value, toe in (
            (None, "find out"),
            ("text", "find out"),
            ({}, "find out"),
            ([], {}),
            (7, "nowhere"),
        ):
            said = json.dumps(await visitor.does("photo-file", "upload", photo_file=value, photo_toe=toe))
            assert "Traceback" not in said
        assert await visitor.looks() == story
        assert memory(server) < before + 800  # a bomb would take gigabytes; models take some hundred MB
        await visitor.leaves()
        return len(places) * len(ATTACKS) + 5

    tally("page: malicious and oversized uploads", visit(attack()))


def test_a_picture_that_is_a_page_too_loses_what_it_hides(address, tally):
    """Behind a picture's end anything may stand; what the page shows is drawn anew from the pixels."""

    async def attack():
        visitor = await Visitor.open(address)
        said = await visitor.uploads(png() + HTML, "both.png")
        assert "<figure>" in said
        assert "script" not in said
        await visitor.leaves()

    visit(attack())
    tally("page: a picture that is HTML too", 1)


ODD = [None, 10**30, [], "NaN", {"__type__": "update"}, "", "x" * 10_000, -1, 1e308, {}, [[]], True]


@pytest.mark.parametrize("odd", [ODD[:3], pytest.param(ODD, marks=pytest.mark.soak)], ids=["some", "all"])
def test_odd_values_change_nothing(odd, address, tally):
    """What a browser would not send."""

    async def attack():
        visitor = await Visitor.open(address)
        await visitor.picks(5)
        before = await visitor.looks()
        for value in odd:
            for name, event, values in (
                ("shoes-slider-heel", "input", {"shoes-slider-heel": value}),
                ("shoes-slider-heel", "input", {"shoes-slider-heel": -50, "shoes-keep": value}),
                ("shoes-slider-heel", "input", {"shoes-slider-heel": -50, "shoes-scale": value}),
                ("shoes-view", "input", {"shoes-view": value}),
                ("photo-which", "input", {"photo-which": value}),
                ("canvas", "input", {"canvas": value}),
                ("wall-psi", "input", {"wall-psi": value}),
            ):
                said = json.dumps(await visitor.does(name, event, **values))
                assert "Traceback" not in said
        now = await visitor.looks()
        for event in (*({"index": index} for index in (-1, 10**9, "x", None, [1])), None, "index", {}):
            said = json.dumps(await visitor.does("wall", "click", event))
            assert "none of the pictures" in said or "index" not in (event or {})
        assert await visitor.looks() == now
        assert re.match("<b>seed ", now)
        assert before.startswith("<b>seed 5")
        await visitor.leaves()

    visit(attack())
    tally("page: values that no browser sends", 7 * len(odd) + 8)


@pytest.mark.parametrize("count", [4, pytest.param(50, marks=pytest.mark.soak)])
def test_many_at_once_each_with_their_own(count, address, tally):
    """All pick, drag and look at the same time; everybody finds their own shoe, also after loading the page anew."""
    waits = []

    async def one(number):
        visitor = await Visitor.open(address)
        started = time.monotonic()
        assert f"<b>seed {number % COUNT}</b>" in await visitor.picks(number % COUNT)
        for value in (40 + number % 7, 60 + number % 11):
            story = await visitor.drags(value)
            assert f"seed {number % COUNT}<" in story
            assert f"to {value} mm" in story or "heel" in story, story
        waits.append((time.monotonic() - started) / 3)
        mine = await visitor.looks()
        again = await Visitor.open(address, visitor.key)  # a reload
        assert again.key == visitor.key
        assert await again.looks() == mine == story
        stranger = await Visitor.open(address, "x" * 32)  # a key that nobody has
        assert stranger.key not in ("x" * 32, visitor.key)
        assert await stranger.looks() == ""
        for each in (visitor, again, stranger):
            await each.leaves()
        return visitor.key

    started = time.monotonic()
    keys = visit(together([one(number) for number in range(count)]))
    assert len(set(keys)) == count
    tally(
        f"page: visitors at once ({count})", count * 3,
        f"an action took {np.mean(waits):.1f} s on average, {np.max(waits):.1f} s at most; {3 * count} actions in "
        f"{time.monotonic() - started:.0f} s",
    )  # fmt: skip


@pytest.mark.soak
def test_the_pages_memory_stays_level(server, address, tally):
    """Over a thousand edits of five visitors."""

    async def edit(visitor, count):
        for number in range(count):
            await visitor.drags(40 + number % 30)
            if number % 25 == 24:
                await visitor.picks(number % COUNT)

    async def all_edit():
        visitors = [await Visitor.open(address) for _ in range(5)]
        for visitor in visitors:
            await visitor.picks(7)
        await together([edit(visitor, 50) for visitor in visitors])
        before = memory(server)
        await together([edit(visitor, 200) for visitor in visitors])
        after = memory(server)
        for visitor in visitors:
            await visitor.leaves()
        return before, after

    before, after = visit(all_edit(), 3600)
    tally("page: edits with level memory", 1000, f"{before:.0f} MB before, {after:.0f} MB after")
    assert after < before + 100
