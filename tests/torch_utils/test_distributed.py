import subprocess
import sys
import threading

import pytest
import torch

from shoegen.errors import ConfigError
from shoegen.torch_utils.distributed import World, first_host, join_world


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node1", "node1"),
        ("gpu[03-05,9],login", "gpu03"),
        ("a-1,b-2", "a-1"),
        ("rack2-n[10,12]", "rack2-n10"),
    ],
)
def test_the_first_of_slurms_nodes(nodes, first):
    assert first_host(nodes) == first


def test_alone_everything_is_its_own(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with join_world("cpu") as world:
        assert world == World()
        assert torch.equal(world.add(torch.ones(2)), torch.ones(2))
        assert world.any(True, False) == [True, False]
        assert world.share("x") == "x"


def test_a_launcher_that_says_half_is_refused(monkeypatch):
    for name, value in [("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1")]:
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with pytest.raises(ConfigError, match="RANK=1, but lacks MASTER_PORT"), join_world("cpu"):
        pass


CODE = """
import sys
from shoegen.errors import ShoegenError
from shoegen.torch_utils.distributed import join_world
try:
    with join_world("cpu", start_seconds=float(sys.argv[1])):
        print("met")
except ShoegenError as error:
    print(error)
"""


def run_ranks(port, ranks, *, size, seconds):
    """What each of these processes of `size` prints."""

    def run(rank):
        environment = {
            "RANK": str(rank),
            "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        command = [sys.executable, "-c", CODE, str(seconds)]
        outputs[rank] = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120
        ).stdout.strip()

    outputs = {}
    threads = [threading.Thread(target=run, args=[rank]) for rank in ranks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outputs


def test_those_who_come_meet(free_port):
    assert run_ranks(free_port, [0, 1], size=2, seconds=60) == {0: "met", 1: "met"}


def test_who_is_missing_is_named(free_port):
    (message,) = run_ranks(free_port, [0], size=2, seconds=2).values()
    assert message.startswith("rank 0 of 2 waited 2 s at 127.0.0.1:")
    assert "for rank 1; present are those of" in message


def test_no_answer_is_said(free_port):
    (message,) = run_ranks(free_port, [1], size=2, seconds=2).values()
    assert message.startswith(f"rank 1 of 2 cannot join the others at 127.0.0.1:{free_port}")
