import pytest

from shoegen.ops import build
from shoegen.ops.dispatch import native_problem


def skip_without_native(device="cpu"):
    """Where they could have been built and were not, that is a failure."""
    problem = native_problem(device)
    if problem and device == "cpu" and build.find_compiler() and build.find_ninja():
        pytest.fail(f"native ops: {problem}")
    if problem:
        pytest.skip(f"native ops: {problem}")


@pytest.fixture
def native():
    skip_without_native()


@pytest.fixture(params=["reference", "native"])
def impl(request):
    if request.param == "native":
        skip_without_native()
    return request.param
