"""Pickles in the official format, made of tensors by their official names.

While pickling, modules of the official names stand in sys.modules, as where the official files come from.
"""

import collections
import contextlib
import pickle
import sys
import types

import torch

SOURCE = "import os\nos.system('touch module_src_was_run')\n"


class EasyDict(dict):
    """Named as the official one."""


def _reconstruct_persistent_obj(meta):
    raise AssertionError("the official function; nothing here calls it")


EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class Module:
    """Pickles like an official module with this state."""

    def __init__(self, class_name, init_kwargs, **attributes):
        self.class_name = class_name
        self.state = {
            "training": False,
            "_parameters": collections.OrderedDict(),
            "_buffers": collections.OrderedDict(),
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": collections.OrderedDict(),
            "_modules": collections.OrderedDict(),
            "_init_args": (),
            "_init_kwargs": EasyDict(init_kwargs),
            **attributes,
        }

    def __reduce__(self):
        meta = EasyDict(
            type="class", version=6, module_src=SOURCE, class_name=self.class_name, state=self.state
        )
        return _reconstruct_persistent_obj, (meta,)

    def add(self, path, tensor):
        """Puts a tensor at its place, with the modules on the way."""
        name, _, rest = path.partition(".")
        if rest:
            modules = self.state["_modules"]
            if name not in modules:
                modules[name] = Module(_class_of(self.class_name, name), {})
            modules[name].add(rest, tensor)
        elif name in ("resample_filter", "noise_const", "w_avg"):
            self.state["_buffers"][name] = tensor.clone()
        else:
            self.state["_parameters"][name] = torch.nn.Parameter(tensor.clone(), requires_grad=False)


def _class_of(parent, name):
    if name in ("mapping", "synthesis"):
        return {"mapping": "MappingNetwork", "synthesis": "SynthesisNetwork"}[name]
    if name.startswith("b"):
        top = "SynthesisBlock" if parent == "SynthesisNetwork" else "DiscriminatorBlock"
        return "DiscriminatorEpilogue" if (parent, name) == ("Discriminator", "b4") else top
    if name in ("affine", "embed", "out") or name.startswith("fc"):
        return "FullyConnectedLayer"
    if name == "torgb":
        return "ToRGBLayer"
    if parent == "SynthesisBlock" and name.startswith("conv"):
        return "SynthesisLayer"
    return "Conv2dLayer"


def module_of(class_name, state, init_kwargs):
    """A whole official network."""
    network = Module(class_name, init_kwargs)
    for path, tensor in state.items():
        network.add(path, tensor)
    return network


def dumps(value, protocol=4):
    """The pickle of a dict of networks."""
    with _official_names():
        return pickle.dumps(value, protocol=protocol)


@contextlib.contextmanager
def _official_names():
    names = {
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": EasyDict},
    }
    assert not names.keys() & sys.modules.keys()
    for name, content in names.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
