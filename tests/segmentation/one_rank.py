"""One process of `test_processes_add_up_to_one`: leaves its gradients in the folder that it is given."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from shoegen.torch_utils.distributed import join_world
from tests.segmentation.test_trainer import gradients_of_a_step
from tests.segmentation.tiny import CONFIGS

torch.set_num_threads(1)
with join_world("cpu", start_seconds=120) as world:
    found = {name: gradients_of_a_step(name, world) for name in CONFIGS}
    torch.save(found, Path(sys.argv[1]) / f"{world.rank}.pt")
