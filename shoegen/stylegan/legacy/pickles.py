"""A reader of pickles that runs nothing.

A pickle is a program for a small stack machine, two of whose instructions call what the file names. Here they call
functions of ours, from a table; a name that is not in the table is refused. Containers come back as plain lists,
tuples and dicts; nothing is hashed but plain keys, and nothing takes more memory than the file itself.
"""

from __future__ import annotations

import io
import pickletools
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoegen.errors import FileFormatError

Names = Mapping[
    tuple[str, str], Any
]  # (module, name) → what stands for it: a function of ours, or a plain value

MAX_INSTRUCTIONS = 2_000_000  # snapshots of 1024 px have some 50,000
MAX_INTEGER_BITS = 128  # printing much longer ones takes quadratic time

_PLAIN = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_INTEGERS = {"INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4"}
_TEXTS = {
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
}
_SHORT = reprlib.Repr()
_SHORT.maxstring = 80


@dataclass(frozen=True, eq=False)
class Global:
    """A name in a pickle, and what the table has for it."""

    name: str
    value: Any


class Buildable:
    """A value whose state a pickle may set."""

    def build(self, state: Any) -> None:
        """What BUILD does to it."""
        raise NotImplementedError


def read_pickle(content: bytes, names: Names, start: int = 0) -> tuple[Any, int]:
    """The value of the pickle that starts at `start`, and where the pickle ends.

    Byte strings come as views of `content`.

    Raises:
        FileFormatError: damaged, or asks for anything that `names` does not list. Says no file name.
    """
    return _run(_Machine(content, names, start))


def check_pickle(content: bytes, start: int = 0) -> int:
    """Goes through a pickle that another restricted reader is to read, and returns where it ends.

    Names are left to that reader; what is refused are endless work and mappings that take it, see `read_pickle`.

    Raises:
        FileFormatError: damaged, or refused.
    """
    return _run(_DryRun(content, {}, start))[1]


def _run(machine: _Machine) -> tuple[Any, int]:
    try:
        return machine.run(), machine.stream.tell()
    except FileFormatError:
        raise
    except Exception as error:  # damaged programs fail in any way that these instructions can
        raise FileFormatError(
            f"not a whole pickle ({type(error).__name__} at byte {machine.stream.tell()})"
        ) from error


def show(value: Any) -> str:
    """A short text for what a file holds; nested lists could be endless."""
    if isinstance(value, (str, int, float, type(None))):
        return _SHORT.repr(value)
    if isinstance(value, list) and all(isinstance(item, (int, float)) for item in value):
        return _SHORT.repr(value)
    return f"a {type(value).__name__}"


class _Machine:
    def __init__(self, content: bytes, names: Names, start: int) -> None:
        self.content = memoryview(content)
        self.stream = io.BytesIO(content)
        self.stream.seek(start)
        self.names = names
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(self.stream)):
            if count >= MAX_INSTRUCTIONS:
                raise FileFormatError(f"refused: more than {MAX_INSTRUCTIONS:,} instructions")
            if instruction.name == "STOP":
                return self.stack.pop()
            self.step(instruction.name, argument)
        raise AssertionError("genops ends with STOP or raises")

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case _ if name in _PLAIN:
                stack.append(_PLAIN[name])
            case _ if name in _TEXTS or name in ("FLOAT", "BINFLOAT"):
                stack.append(argument)
            case _ if name in _INTEGERS:
                if argument.bit_length() > MAX_INTEGER_BITS:
                    raise FileFormatError(f"refused: an integer of {argument.bit_length():,} bits")
                stack.append(argument)
            case "SHORT_BINBYTES" | "BINBYTES" | "BINBYTES8":
                end = self.stream.tell()
                stack.append(self.content[end - len(argument) : end])
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack[-int(name[-1]) :] = [tuple(stack[-int(name[-1]) :])]
            case "MARK":
                self.marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(self.pop_to_mark()))
            case "LIST" | "FROZENSET":
                stack.append(self.pop_to_mark())
            case "DICT":
                items = self.pop_to_mark()
                stack.append({})
                self.set_items(items)
            case "APPEND":
                self.extend([stack.pop()])
            case "APPENDS" | "ADDITEMS":
                self.extend(self.pop_to_mark())
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self.set_items([key, value])
            case "SETITEMS":
                self.set_items(self.pop_to_mark())
            case "POP":
                stack.pop()
            case "POP_MARK":
                self.pop_to_mark()
            case "DUP":
                stack.append(stack[-1])
            case "GLOBAL":
                stack.append(self.find(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(self.find(module, attribute))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(self.call(function, arguments))
            case "BINPERSID":
                stack.append(self.call(self.find("", "persistent_load"), (stack.pop(),)))
            case "BUILD":
                state = stack.pop()
                self.build(stack[-1], state)
            case "INST":
                self.find(*argument.split(" ", 1))
                raise FileFormatError("refused: the instruction INST")
            case _:
                raise FileFormatError(f"refused: the instruction {name}")

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise FileFormatError(f"refused: it appends to a {type(target).__name__}")
        target.extend(values)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise FileFormatError(f"refused: it sets items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # The hash of tuples within tuples can take exponential time.
            if not isinstance(key, (str, int, float, type(None))):
                raise FileFormatError(f"refused: a mapping with a {type(key).__name__} as key")
            target[key] = value

    def build(self, target: Any, state: Any) -> None:
        if not isinstance(target, Buildable):
            raise FileFormatError(f"refused: it sets the state of a {type(target).__name__}")
        target.build(state)

    def find(self, module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise FileFormatError("refused: it asks for a name that is no text")
        full = f"{module}.{name}"
        if (module, name) not in self.names:
            if module.startswith("dnnlib.tflib"):
                raise FileFormatError(
                    "a pickle of the TensorFlow versions of StyleGAN; convert it with the legacy.py of "
                    "stylegan2-ada-pytorch first"
                )
            raise FileFormatError(f"refused: it asks for {show(full)}, which no network needs")
        return Global(full, self.names[module, name])

    def call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Global) or not callable(function.value) or type(arguments) is not tuple:
            raise FileFormatError(f"refused: it calls a {type(function).__name__}")
        try:
            return function.value(*arguments)
        except FileFormatError:
            raise
        except Exception as error:
            raise FileFormatError(f"refused: it calls {function.name} with odd arguments") from error


class _DryRun(_Machine):
    """Every name stands for a function that gives an empty mapping."""

    def build(self, target: Any, state: Any) -> None:
        pass

    def find(self, module: Any, name: Any) -> Global:
        return Global("", None)

    def call(self, function: Any, arguments: Any) -> Any:
        return {}
