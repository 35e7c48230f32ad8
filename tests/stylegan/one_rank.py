"""One process of `test_processes_add_up_to_one`: leaves its averaged gradients in the folder that it is given."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from shoegen.torch_utils.distributed import join_world
from tests.stylegan.test_trainer import gradients_of_a_step, small_config

torch.set_num_threads(1)
with join_world("cpu", start_seconds=120) as world:
    phases, _ = gradients_of_a_step(small_config(mbstd_group=2), world)
    torch.save(phases, Path(sys.argv[1]) / f"{world.rank}.pt")
