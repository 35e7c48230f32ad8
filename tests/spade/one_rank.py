"""One process of `test_processes_add_up_to_one`: leaves its gradients in the folder that it is given."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from shoegen.torch_utils.distributed import join_world
from tests.spade.test_trainer import gradients_of_a_step

torch.set_num_threads(1)
with join_world("cpu", start_seconds=120) as world:
    torch.save(gradients_of_a_step(world), Path(sys.argv[1]) / f"{world.rank}.pt")
