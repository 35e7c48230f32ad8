"""Official network files: pickles of StyleGAN2-ADA, and state dicts with its tensor names, which are also ours.

The pickles carry the source code of their classes. It is never run: what counts are the tensors, whose names and
shapes tell the architecture, and the arguments that the networks were made with.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from shoegen.errors import FileFormatError
from shoegen.stylegan.legacy.pickles import Buildable, Global, read_pickle, show

KEYS = {"g_ema": "G_ema", "g": "G", "d": "D"}  # of the networks in a file, by their names in `read_network`
CLASSES = {
    *("Generator", "MappingNetwork", "SynthesisNetwork", "SynthesisBlock", "SynthesisLayer", "ToRGBLayer"),
    *("FullyConnectedLayer", "Conv2dLayer"),
    *("Discriminator", "DiscriminatorBlock", "MinibatchStdLayer", "DiscriminatorEpilogue"),
}
MAX_DEPTH = 8  # of modules within modules
MAX_MODULES = 1000
MAX_PART = 1000  # entries of one module's mapping

# Options that change what a network computes but not its tensors, and the only value that is supported here.
FIXED: dict[str, Any] = {
    "activation": "lrelu",
    "resample_filter": [1, 3, 3, 1],
    "use_noise": True,
    "lr_multiplier": 0.01,
    "mbstd_num_channels": 1,
}
# The options of these follow from those of what they are in.
LAYERS = {"SynthesisLayer", "ToRGBLayer", "FullyConnectedLayer", "Conv2dLayer"}


def read_official(content: bytes, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of one network in an official pickle, and the settings that it was made with.

    Raises:
        FileFormatError: not such a file, damaged, or one that asks for more than networks need.
    """
    data, _ = read_pickle(content, _NAMES)
    networks = (
        {name: value for name, value in data.items() if isinstance(value, _Module)}
        if type(data) is dict
        else {}
    )
    if not networks:
        raise FileFormatError(
            f"a pickle of {show(data)}, not of networks; expected a dict with G, D and G_ema"
        )
    if key not in networks:
        raise FileFormatError(f"no {key} in it, only {', '.join(map(show, list(networks)[:8]))}")
    modules = dict(_walk(networks[key], "", 0))
    return _state(modules, len(content)), _settings(modules)


@dataclass(frozen=True, eq=False)
class _Storage:
    dtype: torch.dtype
    data: memoryview

    def read(self) -> Tensor:
        """(elements,), with memory of its own."""
        if not len(self.data):
            return torch.empty(0, dtype=self.dtype)
        return torch.frombuffer(bytearray(self.data), dtype=self.dtype)

    @property
    def elements(self) -> int:
        return len(self.data) // self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class _StoredTensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.size, *self.stride)
        if not isinstance(self.storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError
        if len(self.size) != len(self.stride) or prod(self.size) > self.storage.elements:
            raise ValueError  # repeating elements could make a tensor of any size

    @property
    def bytes(self) -> int:
        return prod(self.size) * self.storage.dtype.itemsize

    def read(self) -> Tensor:
        """Of its `size` and type."""
        try:
            return torch.as_strided(self.storage.read(), self.size, self.stride, self.offset)
        except RuntimeError as error:
            raise FileFormatError(f"a tensor of shape {self.size} reaches beyond its data") from error


class _Module:
    """A network or layer: its class, and the `__dict__` it had."""

    def __init__(self, meta: Any) -> None:
        self.class_name = meta["class_name"]
        self.state = meta["state"]
        if meta["type"] != "class" or not isinstance(self.class_name, str) or type(self.state) is not dict:
            raise ValueError

    def part(self, name: str) -> dict[str, Any]:
        """A mapping in its state, such as `_parameters`."""
        part = self.state.get(name, {})
        if type(part) is not dict or len(part) > MAX_PART or not all(isinstance(key, str) for key in part):
            raise FileFormatError(f"{name} of a {show(self.class_name)} is no short mapping of names")
        return part


_FORMATS = {"f2": "e", "f4": "f", "f8": "d", "i4": "i", "i8": "q", "b1": "?"}


class _NumberType(Buildable):
    """A NumPy type of scalars."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        self.format = "<" + _FORMATS[code]

    def build(self, state: Any) -> None:
        """The byte order is all that matters for a scalar."""
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|", "="):
            raise FileFormatError("refused: a NumPy type that no network needs")


def _scalar(kind: Any, data: Any) -> Any:
    if not isinstance(kind, _NumberType):
        raise ValueError
    return struct.unpack(kind.format, data)[0]


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError
    return text.encode("latin1")


def _storage(content: Any) -> _Storage:
    """What `torch.save` wrote for a storage before it wrote zip files: five small pickles, then the elements.

    PyTorch would unpickle them; here the reader of the file around them does, with fewer names still.
    """
    content = memoryview(content)
    head, end = bytes(content[:4096]), 0
    values = []
    for _ in ("magic number", "protocol", "system", "storage", "keys"):
        value, end = read_pickle(head, _STORAGE_NAMES, end)
        values.append(value)
    magic, protocol, system, (_, kind, key, _, elements, view, *_), keys = values
    if (magic, protocol) != (0x1950A86A20F9469CFC6C, 1001) or system["little_endian"] is not True:
        raise ValueError
    if keys != [key] or view is not None or not isinstance(kind, Global) or type(elements) is not int:
        raise ValueError
    data = content[end + 8 :]
    if (
        int.from_bytes(content[end : end + 8], "little") != elements
        or len(data) != elements * kind.value.itemsize
    ):
        raise FileFormatError("a tensor is cut short")
    return _Storage(kind.value, data)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _StoredTensor:
    return _StoredTensor(storage, offset, size, stride)


_STORAGE_NAMES = {
    ("", "persistent_load"): lambda value: value,
    **{
        ("torch", f"{name}Storage"): dtype
        for name, dtype in {
            "Float": torch.float32,
            "Half": torch.float16,
            "BFloat16": torch.bfloat16,
            "Double": torch.float64,
            "Long": torch.int64,
            "Int": torch.int32,
            "Byte": torch.uint8,
            "Bool": torch.bool,
        }.items()
    },
}

_NAMES: dict[tuple[str, str], Any] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _Module,
    ("dnnlib.util", "EasyDict"): lambda: {},
    ("collections", "OrderedDict"): lambda: {},
    ("torch._utils", "_rebuild_parameter"): lambda data, requires_grad, hooks: data,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("numpy", "dtype"): _NumberType,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _encode,  # bytes in the older protocols
    ("builtins", "set"): list,
    ("__builtin__", "set"): list,
}


def _walk(
    module: _Module, path: str, depth: int, budget: list[int] | None = None
) -> Iterator[tuple[str, _Module]]:
    """All modules by their paths, "" for the network itself."""
    budget = budget if budget is not None else [MAX_MODULES]
    budget[0] -= 1
    if depth > MAX_DEPTH or budget[0] < 0:
        raise FileFormatError("refused: its modules go deeper, or are more, than any network's")
    if module.class_name not in CLASSES:
        hint = "; StyleGAN3's networks are not supported" if module.class_name == "SynthesisInput" else ""
        raise FileFormatError(
            f"{show(path or 'the network')} is a {show(module.class_name)}, unknown here{hint}"
        )
    yield path, module
    for name, child in module.part("_modules").items():
        if isinstance(child, _Module):
            yield from _walk(child, f"{path}.{name}".lstrip("."), depth + 1, budget)
        elif child is not None:
            raise FileFormatError(f"{show(name)} in _modules is {show(child)}, no module")


def _state(modules: dict[str, _Module], limit: int) -> dict[str, Tensor]:
    """The tensors by their names in a state dict; all of them together take no more than `limit` bytes."""
    stored: dict[str, _StoredTensor] = {}
    for path, module in modules.items():
        for name, value in [*module.part("_parameters").items(), *module.part("_buffers").items()]:
            if isinstance(value, _StoredTensor):
                stored[f"{path}.{name}".lstrip(".")] = value
            elif value is not None:
                raise FileFormatError(f"{show(name)} of {show(path)} is {show(value)}, no tensor")
    if sum(tensor.bytes for tensor in stored.values()) > limit:
        raise FileFormatError("refused: its tensors are larger than the file")
    return {name: tensor.read() for name, tensor in stored.items()}


def _settings(modules: dict[str, _Module]) -> dict[str, Any]:
    """The constructor's options, in the published names.

    They come in either of two styles: those of the parts in `synthesis_kwargs` and the like, or beside the others.
    Where they are silent, the parts may tell.
    """
    for path, module in modules.items():
        given = {} if module.class_name in LAYERS else _options(module)
        if module.class_name == "SynthesisLayer" or path.rpartition(".")[2] in ("conv0", "conv1", "conv"):
            given |= {
                name: module.state[name] for name in ("activation", "use_noise") if name in module.state
            }
        for name, value in given.items():
            value = list(value) if isinstance(value, tuple) else value
            if name in FIXED and value != FIXED[name]:
                raise FileFormatError(f"{name} is {show(value)}, only {FIXED[name]!r} is supported")
    settings = _options(modules[""])
    if "mbstd_group_size" in settings and settings["mbstd_group_size"] is None:
        raise FileFormatError("mbstd_group_size is None, the whole batch, which is not supported")
    if "num_fp16_res" not in settings:
        settings["num_fp16_res"] = sum(module.state.get("use_fp16") is True for module in modules.values())
    clamps = [module.state["conv_clamp"] for module in modules.values() if module.state.get("conv_clamp")]
    if clamps:
        settings.setdefault("conv_clamp", clamps[0])
    if "b4.mbstd" in modules and "group_size" in modules["b4.mbstd"].state:
        settings.setdefault("mbstd_group_size", modules["b4.mbstd"].state["group_size"])
    return settings


def _options(module: _Module) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in module.part("_init_kwargs").items():
        options |= value if type(value) is dict else {name: value}
    return options
