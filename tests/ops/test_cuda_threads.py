"""The arithmetic of the CUDA upfirdn2d, thread by thread on the CPU: what can be tested of it without a GPU."""

import ctypes
import subprocess
from pathlib import Path

import pytest
import torch

from shoegen.ops import build, setup_filter, upfirdn2d

HERE = Path(__file__).parent
TILED, TILED_FOUR_TAPS, DIRECT, CHANNELS_LAST, CHANNEL_PAIRS = range(5)
PLAIN = torch.tensor([[1.0, 2.0, -1.0], [0.5, 3.0, 2.0]], dtype=torch.float64)
FOUR = setup_filter([1, 3, 3, 1]).double() + torch.arange(16.0).reshape(4, 4) / 100
SEPARABLE = torch.tensor([1.0, 2.0, 5.0, 3.0, 0.5], dtype=torch.float64)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    compiler = build.find_compiler()
    if compiler is None:
        pytest.skip("there is no C++ compiler here")
    library = tmp_path_factory.mktemp("cuda") / "threads.so"
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC", "-I", str(build.HERE / "csrc")]
    subprocess.run([*compiler, *flags, "-o", library, HERE / "cuda_threads.cpp"], check=True)
    return ctypes.CDLL(str(library)).run


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [(3, 2, 1, 4), (-1, 5, 2, -3)])
@pytest.mark.parametrize("size", [(9, 11), (40, 150)], ids=str)
@pytest.mark.parametrize(
    ("kernel", "f", "up", "down"),
    [
        *((TILED, f, up, down) for f in (PLAIN, SEPARABLE) for up, down in [(1, 1), (2, 1), (1, 2)]),
        *((TILED_FOUR_TAPS, FOUR, up, down) for up, down in [(1, 1), (2, 1), (1, 2)]),
        *((kernel, PLAIN, (2, 3), (3, 1)) for kernel in (DIRECT, CHANNELS_LAST, CHANNEL_PAIRS)),
        (CHANNEL_PAIRS, SEPARABLE, 2, 1),
    ],
)
def test_threads_compute_the_reference(run, kernel, f, up, down, size, padding, flip):
    x = torch.randn(2, 4, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    options = {"up": up, "down": down, "padding": padding, "flip_filter": flip, "gain": 1.5}
    expected = upfirdn2d(x, f, impl="reference", **options)
    y = torch.full_like(expected, torch.nan)
    if kernel in (CHANNELS_LAST, CHANNEL_PAIRS):
        x, y = (t.contiguous(memory_format=torch.channels_last) for t in (x, y))
    (up_x, up_y), (down_x, down_y) = (n if isinstance(n, tuple) else (n, n) for n in (up, down))
    numbers = [x.shape[1], *size, *y.shape[2:], up_x, up_y, down_x, down_y, padding[0], padding[2]]
    numbers += [f.shape[-1], f.shape[0], f.ndim == 1, flip]
    run(
        kernel,
        (ctypes.c_int * len(numbers))(*numbers),
        (ctypes.c_int64 * 4)(*x.stride()),
        ctypes.c_double(1.5),
        ctypes.c_void_p(x.data_ptr()),
        ctypes.c_void_p(f.data_ptr()),
        ctypes.c_void_p(y.data_ptr()),
        x.shape[0],
    )
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
