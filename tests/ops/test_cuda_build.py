"""The CUDA sources compile, link and register; no GPU is needed for that."""

import re
import subprocess
import sys

import pytest

from shoegen.ops import build

REGISTERED = """
import sys, torch, shoegen.ops
torch.ops.load_library(sys.argv[1])
for name in sys.argv[2:]:
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"shoegen::{name}", "CUDA"), name
"""


@pytest.mark.slow
def test_cuda_sources_compile(tmp_path):
    if build.cuda_impossible():
        pytest.skip(build.cuda_impossible())
    path = build.build("cuda", out=tmp_path, architectures=["9.0"])
    implemented = [
        name
        for source in (build.HERE / "csrc" / "cuda").glob("*.cu")
        for name in re.findall(r'm\.impl\("(\w+)"', source.read_text())
    ]
    assert {"bias_act", "bias_act_backward", "upfirdn2d"} <= set(implemented)
    subprocess.run([sys.executable, "-c", REGISTERED, path, *implemented], check=True)
