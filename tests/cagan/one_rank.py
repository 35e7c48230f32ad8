"""One process of `test_processes_add_up_to_one`: leaves what it learned in the folder that it is given."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from shoegen.torch_utils.distributed import join_world
from tests.cagan.test_trainer import learned_in_steps

torch.set_num_threads(1)
with join_world("cpu", start_seconds=120) as world:
    torch.save(
        {norm: learned_in_steps(norm, world) for norm in ("batch", "spectral")},
        f"{sys.argv[1]}/{world.rank}.pt",
    )
