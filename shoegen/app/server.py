"""The page on a port, with what keeps visitors apart and everything else in."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from shoegen.app.options import MEGABYTE, Options
from shoegen.errors import ConfigError

MAX_BODY = 8 * MEGABYTE  # of what is no upload: a drawing is the largest
WRONG_PASSWORD = 1.0  # seconds that an answer takes
# What the page asks for. All else of Gradio's is closed: other people's URLs fetched through `file=`, its API pages.
OPEN = (
    "/assets/", "/static/", "/svelte/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/login", "/logout",
    "/robots.txt", "/token", "/gradio_api/upload", "/gradio_api/upload_progress", "/gradio_api/queue/join",
    "/gradio_api/queue/data", "/gradio_api/heartbeat/", "/gradio_api/cancel", "/gradio_api/reset",
    "/gradio_api/component_server", "/gradio_api/startup-events", "/gradio_api/app_id", "/gradio_api/login_check",
    "/gradio_api/token", "/gradio_api/logout", "/login_check", "/app_id",
)  # fmt: skip


class Server:
    """A page that is served until it is told to stop.

    The port is taken at once, so that one that is taken is known before anything is loaded.

    Attributes: options, address ("http://127.0.0.1:7860").

    Raises:
        ConfigError: the extra is not installed, or the port or host cannot be had.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._socket = _listen(options)
        host, port = self._socket.getsockname()[:2]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{port}"
        self._uvicorn: Any = None

    def run(self, on_up: Callable[[], object] = lambda: None) -> None:
        """Serves in this thread; `on_up` is called once it answers.

        Raises:
            FileFormatError: no such model.
        """
        try:
            import uvicorn
        except ImportError as error:
            raise missing() from error
        with tempfile.TemporaryDirectory(prefix="shoegen-app-") as folder:
            app = application(self.options, Path(folder))
            config = uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=1,
                ws="none",
                server_header=False,
            )
            self._uvicorn = uvicorn.Server(config)
            started = self._uvicorn.startup

            async def startup(sockets: Any = None) -> None:
                await started(sockets)
                on_up()

            shut_down = self._uvicorn.shutdown

            async def shutdown(sockets: Any = None) -> None:
                # Open pages always have a stream that is cut off here: no error.
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
                await shut_down(sockets)

            self._uvicorn.startup, self._uvicorn.shutdown = startup, shutdown
            try:
                self._uvicorn.run(sockets=[self._socket])
            finally:
                self._socket.close()

    def stop(self) -> None:
        """Ends `run` soon, from another thread."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True

    def close(self) -> None:
        """Gives the port back where `run` was not called."""
        self._socket.close()

    @property
    def is_up(self) -> bool:
        """Whether it answers."""
        return self._uvicorn is not None and self._uvicorn.started


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


def application(options: Options, folder: Path) -> Any:
    """The ASGI application. folder: for uploads, which nobody else may read; they are gone with it.

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
    from shoegen.app.page import STYLE, build
    from shoegen.app.theme import theme

    page = build(options)
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
        auth_message="Any user name will do; the password is the one that you were given.",
        allowed_paths=[],
        show_error=True,
        max_file_size=options.max_upload,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css_paths=[STYLE],
        app_kwargs={"openapi_url": None, "docs_url": None, "redoc_url": None},
    )
    return Guard(app, options.max_upload)


def _check(password: str) -> Any:
    def check(user: str, given: str) -> bool:
        if secrets.compare_digest(given.encode(), password.encode()):
            return True
        time.sleep(WRONG_PASSWORD)  # so that few can be tried
        return False

    return check


class Guard:
    """Lets through what the page itself asks for, up to a size, and nothing else."""

    def __init__(self, app: Any, max_upload: int) -> None:
        self._app, self._max_upload = app, max_upload

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path != "/" and not any(path == each or path.startswith(each) for each in OPEN):
            await _answer(send, 404, "There is nothing here.")
            return
        most = self._max_upload + MEGABYTE if path.startswith("/gradio_api/upload") else MAX_BODY
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            await _answer(send, 413, "This is too large.")
            return
        seen = 0

        async def counted() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:  # it said less, or nothing
                return {"type": "http.disconnect"}
            return message

        async def headed(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self._app(scope, counted, headed)


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


async def _answer(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
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
