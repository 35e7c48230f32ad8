"""What the server lets through, and how it is started."""

import signal
import socket
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

import shoegen.app
from shoegen.app import Options
from shoegen.cli import main
from shoegen.editing.model import ASSETS
from shoegen.errors import ConfigError, FileFormatError

httpx = pytest.importorskip("httpx")


@pytest.fixture(scope="module")
def client(address):
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=http://127.0.0.1/",
        "/file=/etc/passwd",
        "/static/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/assets/%2e%2e/%2e%2e/%2e%2e/package.json",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/openapi.json",
        "/docs",
        "/gradio_api/proxy=http://huggingface.co/",
        "/gradio_api/upload",
        "/gradio_api/call/search",
        "//etc/passwd",
    ],
)
def test_no_file_and_nothing_else_of_gradios_can_be_read(client, path):
    answer = client.get(path)
    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text


def fields(client, elem_id, event):
    """The number of the event's function, and how many inputs it takes."""
    config = client.get("/config").json()
    (component,) = [each["id"] for each in config["components"] if each["props"].get("elem_id") == elem_id]
    (found,) = [each for each in config["dependencies"] if [component, event] in each["targets"]]
    return found["id"], len(found["inputs"])


def call(client, function, data, session):
    joined = client.post(
        "/gradio_api/queue/join", json={"data": data, "fn_index": function, "session_hash": session}
    )
    assert joined.status_code == 200
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        return next(line for line in stream.iter_lines() if "process_completed" in line)


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:9/", "https://example.com/a.png"])
def test_no_file_is_opened_because_a_visitor_names_it(client, path):
    function, count = fields(client, "photo-file", "upload")
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    for value in (file, {"name": "a.png", "data": file}):
        told = call(client, function, [None, value, *["find out"] * (count - 2)], f"s{hash(path)}")
        assert "This page takes no files in this way." in told
        assert "root:" not in told


@pytest.mark.parametrize("value", [None, 7, "a.png", [], {}, {"name": 3}, {"name": "a", "data": "%%%"}])
def test_a_file_that_did_not_arrive(client, value):
    function, count = fields(client, "photo-file", "upload")
    told = call(client, function, [None, value, *["find out"] * (count - 2)], "broken")
    assert "did not arrive whole; choose it again" in told or "page has been asleep" in told


def test_requests_have_a_limit(client):
    too_much = bytes(30_000_000)
    assert client.post("/gradio_api/queue/join", content=too_much).status_code == 413
    lied = client.post("/gradio_api/queue/join", content=(bytes(1_000_000) for _ in range(40)))
    assert lied.status_code >= 400


def test_answers_are_for_this_page_alone(client):
    headers = client.get("/").headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]


def test_in_this_process():
    with shoegen.app.serve(port=0, password="sole") as address, httpx.Client(base_url=address) as client:
        assert client.get("/config").status_code == 401
        assert client.post("/login", data={"username": "a", "password": "heel"}).status_code == 400
        assert client.post("/login", data={"username": "a", "password": "sole"}).status_code == 200
        assert client.get("/config").json()["title"] == "shoegen"
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_a_port_that_is_taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        result = CliRunner().invoke(main, ["app", "--no-open", "--port", port])
    assert result.exit_code == 1
    assert result.output == (
        f"error: --port: {port} is taken by another program; give another, or 0 for any that is free\n"
    )


def test_a_file_of_another_kind_is_refused_before_anyone_has_come():
    for option, model, wanted in (("--painter", "cagan", "spade"), ("--swapper", "spade", "cagan")):
        path = str(ASSETS / f"{model}.safetensors")
        result = CliRunner().invoke(main, ["app", "--no-open", "--port", "0", option, path])
        assert result.exit_code == 1
        assert result.output.endswith(f"error: {path}: got a file of kind {model!r}, expected {wanted!r}\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "nowhere"], "no model at nowhere; give a file"),
        (["--painter", "nowhere"], "no model at nowhere; give a file"),
        (["--host", "203.0.113.1"], "cannot listen at 203.0.113.1:"),
        (["--port", "70000"], "--port: got 70000, expected 0 to 65535"),
        (["--max-upload", "nan"], "--max-upload: got nan, expected 0.001 to 1000 megabytes"),
    ],
)
def test_refused(options, said):
    result = CliRunner().invoke(main, ["app", "--no-open", "--port", "0", *options])
    assert result.exit_code == 1
    assert result.output.startswith(f"error: {said}")
    assert result.output.count("\n") == 1


def test_a_model_that_is_none(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    page = shoegen.app.serve(port=0, model=str(tmp_path / "broken.safetensors"))
    with pytest.raises(FileFormatError, match=r"broken\.safetensors"), page:
        pass


@pytest.mark.parametrize("delay", [0.2, 2.0])
def test_it_can_be_ended_while_it_starts(delay):
    command = [sys.executable, "-m", "shoegen", "app", "--port", "0", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")


def test_without_the_extra():
    code = "import sys; sys.modules['uvicorn'] = None; from shoegen.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "app", "--port", "0", "--no-open"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "error: the page needs Gradio, which is not installed; pip install 'shoegen[app]'\n"


def test_a_password_is_not_echoed(monkeypatch):
    taken = []

    def run(self, on_listening):
        taken.append(self.options.password)
        self._socket.close()

    monkeypatch.setattr("shoegen.app.server.Server.run", run)
    result = CliRunner().invoke(
        main, ["app", "--no-open", "--port", "0", "--password"], input="secret\nsecret\n"
    )
    assert result.exit_code == 0, result.output
    assert taken == ["secret"]
    assert "secret" not in result.output
    with pytest.raises(ConfigError, match="got an empty one"):
        Options(password="")
