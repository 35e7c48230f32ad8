"""The page on a port, with what keeps visitors apart and everything else in."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoegen.app.options import MEGABYTE, Options
from shoegen.errors import ConfigError, FileFormatError

if TYPE_CHECKING:
    from shoegen.app.studio import Studio

SPARE = 2 * MEGABYTE  # of a request, beside a file; a drawing is some kilobytes
WRONG_PASSWORD = 1.0  # seconds that an answer takes
# What the page asks for. All else of Gradio's is closed: other people's URLs fetched through `file=`, its API pages.
OPEN = (
    "/assets/", "/static/", "/svelte/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt",
    "/login", "/logout", "/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/heartbeat/",
    "/gradio_api/startup-events",
)  # fmt: skip


class Server:
    """A page that is served until it is told to stop.

    The port is taken at once, so that one that is taken is known before anything is loaded.

    Attributes: options, address ("http://127.0.0.1:7860").

    Raises:
        ConfigError: the port or host cannot be had.
        FileFormatError: nothing is where a model is said to be.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        for path in (options.model, options.painter, options.swapper):
            if path != "default" and not Path(path).exists():
                raise FileFormatError(f"no model at {path}; give a file, a run folder, or `default`")
        self._socket = _listen(options)
        host, port = self._socket.getsockname()[:2]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{port}"
        self._uvicorn: Any = None
        self._front: Front | None = None

    def run(self, on_listening: Callable[[], object] = lambda: None) -> None:
        """Serves in this thread; `on_listening` is called as soon as a browser gets an answer.

        Raises:
            ConfigError: the extra is not installed, or there is no such device.
            FileFormatError: a model that is none.
        """
        try:
            import uvicorn
        except ImportError as error:
            self._socket.close()
            raise missing() from error
        with tempfile.TemporaryDirectory(prefix="shoegen-app-") as folder:
            self._front = Front(self.options, Path(folder), self.stop)
            config = uvicorn.Config(
                self._front, log_level="warning", access_log=False, timeout_graceful_shutdown=1, ws="none",
                server_header=False, lifespan="on",
            )  # fmt: skip
            self._uvicorn = uvicorn.Server(config)
            started, shut_down = self._uvicorn.startup, self._uvicorn.shutdown

            async def startup(sockets: Any = None) -> None:
                await started(sockets)
                on_listening()

            async def shutdown(sockets: Any = None) -> None:
                # Open pages always have a stream that is cut off here: no error.
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
                await shut_down(sockets)

            self._uvicorn.startup, self._uvicorn.shutdown = startup, shutdown
            try:
                self._uvicorn.run(sockets=[self._socket])
            finally:
                self._socket.close()
        if self._front.error is not None:
            raise self._front.error

    def stop(self) -> None:
        """Ends `run` soon, from another thread."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True

    @property
    def is_up(self) -> bool:
        """Whether all of the page is there."""
        return self._front is not None and self._front.is_ready


def missing() -> ConfigError:
    """What to say where Gradio is not installed."""
    return ConfigError("the page needs Gradio, which is not installed; pip install 'shoegen[app]'")


@contextlib.contextmanager
def serve(options: Options | None = None, **settings: Any) -> Iterator[str]:
    """The page in a thread of this process, for as long as the block lasts; gives its address.

        with shoegen.app.serve(port=0) as address:
            ...

    Raises:
        ConfigError, FileFormatError: as `Server`.
    """
    server = Server(options or Options(**settings))
    failed: list[BaseException] = []

    def run() -> None:
        try:
            server.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True, name="shoegen app")
    thread.start()
    try:
        while not server.is_up:
            if failed:
                raise failed[0]
            time.sleep(0.02)
        yield server.address
    finally:
        server.stop()
        thread.join(20)


def application(options: Options, folder: Path, studio: Studio | None = None) -> Any:
    """The page as an ASGI application, without `Guard`. folder: for uploads, which nobody else may read.

    Raises:
        ConfigError: Gradio is not installed.
        FileFormatError: no such model.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        import fastapi
        import gradio as gr
    except ImportError as error:
        raise missing() from error
    from shoegen.app.page import ANSWERS, STYLE, build
    from shoegen.app.theme import theme

    page = build(options, studio=studio)
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app = gr.mount_gradio_app(
        app,
        page,
        "/",
        server_name=options.host,
        server_port=options.port,
        footer_links=[],
        run_history=False,
        auth=_check(options.password) if options.password is not None else None,
        auth_message="Any name will do, but give one; the password is the one that you were given.",
        allowed_paths=[],
        show_error=True,
        max_file_size=options.max_upload,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css_paths=[STYLE],
        head=f"<script>{ANSWERS.read_text()}</script>",
        app_kwargs={"openapi_url": None, "docs_url": None, "redoc_url": None},
    )
    return app


def _check(password: str) -> Any:
    async def check(user: str, given: str) -> bool:
        if secrets.compare_digest(given.encode(), password.encode()):
            return True
        await asyncio.sleep(WRONG_PASSWORD)  # so that few can be tried
        return False

    return check


class Front:
    """What answers: first with the shoes of the first wall, then, once Gradio is loaded too, with the page.

    PyTorch and Gradio take seconds each. A browser that comes before is shown the first pictures as soon as PyTorch has
    drawn them; whoever asks for anything else waits.

    Attributes: is_ready; error, why there will be no page.
    """

    def __init__(self, options: Options, folder: Path, stop: Callable[[], None]) -> None:
        self._options, self._folder, self._stop = options, folder, stop
        self._page: Any = None
        self._studio: Studio | None = None
        self._pictures = ""
        self._ready, self._closing = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None

    @property
    def is_ready(self) -> bool:
        return self._page is not None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if not self.is_ready:
            if scope["path"] == "/" and b"text/html" in dict(scope["headers"]).get(b"accept", b""):
                await _answer(send, 200, _starting_page(), "text/html")
                return
            if scope["path"] != "/starting":
                await self._ready.wait()
        if scope["path"] == "/starting":
            said = {"ready": self.is_ready, "pictures": self._pictures}
            await _answer(send, 200, json.dumps(said), "application/json")
            return
        await self._page(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()  # startup
        loading = asyncio.create_task(self._load())
        await send({"type": "lifespan.startup.complete"})
        await receive()  # shutdown
        self._closing.set()
        if self._studio is not None:
            self._studio.closing.set()
        await loading
        await send({"type": "lifespan.shutdown.complete"})

    async def _load(self) -> None:
        try:
            gc.disable()  # while so much is loaded, nothing of it is garbage
            studio = await asyncio.to_thread(self._open)
            if self._closing.is_set():
                return
            app = await asyncio.to_thread(application, self._options, self._folder, studio)
            gc.freeze()
            gc.enable()
            async with app.router.lifespan_context(app):
                self._page = Guard(app, self._options.max_upload)
                self._ready.set()
                # Waited for at the end too: a process that ends while PyTorch computes is aborted.
                await asyncio.gather(asyncio.to_thread(studio.warm_up), self._closing.wait())
        except Exception as error:
            self.error = error
            self._stop()
        finally:
            gc.enable()

    def _open(self) -> Studio:
        from shoegen.app.studio import Studio

        studio = self._studio = Studio(self._options)
        if self._options.password is None:
            from shoegen.app.first_wall import first_wall

            self._pictures = first_wall(studio)
        return studio


def _starting_page() -> str:
    here = Path(__file__).parent
    return (here / "starting.html").read_text().replace("STYLE", (here / "page.css").read_text())


class Guard:
    """Lets through what the page itself asks for, up to a size, and nothing else."""

    def __init__(self, app: Any, max_upload: int) -> None:
        self._app = app
        self._most = round(max_upload * 4 / 3) + SPARE  # files come in base64

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path != "/" and not any(path == each or path.startswith(each) for each in OPEN):
            await _answer(send, 404, "There is nothing here.")
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most:
            await _answer(send, 413, "This is too large.")
            return
        seen = 0

        async def counted() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:  # it said less, or nothing
                return {"type": "http.disconnect"}
            return message

        async def headed(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        try:
            await self._app(scope, counted, headed)
        except (RuntimeError, KeyError) as error:
            # Gradio raises these in the middle of an answer to a page that was closed meanwhile.
            is_gone = isinstance(error, KeyError) or getattr(error.__cause__, "status_code", None) == 404
            if path != "/gradio_api/queue/data" or not is_gone:
                raise
            await send({"type": "http.response.body", "body": b""})


HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    # The browser itself keeps everything on this server.
    (
        b"content-security-policy",
        b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'self'; frame-ancestors 'none'",
    ),
]


async def _answer(send: Any, status: int, text: str, kind: str = "text/plain") -> None:
    headers = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"cache-control", b"no-store"),
        *HEADERS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def _listen(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except OSError as error:
        listener.close()
        if options.port and error.errno in (98, 48, 10048):  # Linux, macOS, Windows
            raise ConfigError(
                f"--port: {options.port} is taken by another program; give another, or 0 for any that is free"
            ) from error
        raise ConfigError(
            f"cannot listen at {options.host}:{options.port}: {error.strerror or error}; give another --host or --port"
        ) from error
    return listener
