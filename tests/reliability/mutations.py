"""What can be wrong with a file: damage by chance, and values that its writer would not have put there.

Every mutation is a function (random.Random, content) → content. pytest collects nothing here.
"""

from __future__ import annotations

import io
import json
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable

Mutation = Callable[[random.Random, bytes], bytes]

CANARY = "canary-that-must-not-be"
PAYLOAD = f"cposix\nsystem\n(S'touch {CANARY}'\ntR".encode()  # leaves the result on the stack

ODD = (
    None, True, -1, 0, 1, 7, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, -1e-300, float("nan"), float("inf"), "",
    " ", "\x1b[2J\x07", "../../etc/passwd", "/dev/zero", "x" * 5000, "ü\u202e\ud800", "1e999", "default", [], {}, [[]],
    [1, 2, 3], {"a": 1}, [[[[[[[[[[0]]]]]]]]]],
)  # fmt: skip


# ---- bytes ----


def flip(rng: random.Random, content: bytes) -> bytes:
    """Some bits."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def truncate(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.choice((0, 1, 7, rng.randrange(len(content)), len(content) - 1))]


def splice(rng: random.Random, content: bytes) -> bytes:
    """A piece is taken out, comes twice, or stands elsewhere."""
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    piece, rest = content[start:end], content[:start] + content[end:]
    at = rng.randrange(len(rest) + 1)
    return rng.choice((rest, content[:end] + piece + content[end:], rest[:at] + piece + rest[at:]))


def noise(rng: random.Random, content: bytes) -> bytes:
    """A piece becomes noise, zeros or ones; or noise comes behind."""
    start = rng.randrange(len(content))
    size = min(rng.choice((1, 4, 16, 256)), len(content) - start)
    piece = rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size))
    return rng.choice((content[:start] + piece + content[start + size :], content + rng.randbytes(100)))


def huge(rng: random.Random, content: bytes) -> bytes:
    """Numbers near the start become huge."""
    found = bytearray(content)
    at = rng.randrange(min(64, len(found)))
    number = rng.choice(
        (b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x00\x00\x00\x80", b"\xff\xff")
    )
    found[at : at + len(number)] = number
    return bytes(found)


BYTES = (flip, truncate, splice, noise, huge)


# ---- values ----


def odd(rng: random.Random, value: object, depth: int = 0) -> object:
    """One value somewhere in it is odd, missing, double, or another's."""
    if isinstance(value, dict) and value and (depth == 0 or rng.random() < 0.8):
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: each for name, each in value.items() if name != key}
        if rng.random() < 0.1:
            return {**value, rng.choice(("", "x", "kind", "\x1b[31m", "__proto__")): rng.choice(ODD)}
        return {**value, key: odd(rng, value[key], depth + 1)}
    if isinstance(value, list) and value and (depth == 0 or rng.random() < 0.8):
        at = rng.randrange(len(value))
        if rng.random() < 0.2:
            return rng.choice((value[:at], value + [value[at]], value[:at] + value[at + 1 :]))
        return [*value[:at], odd(rng, value[at], depth + 1), *value[at + 1 :]]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.3:
        return rng.choice((-value, value * 1000, value + 1, value / 3, str(value), [value]))
    return rng.choice(ODD)


def json_values(rng: random.Random, content: bytes) -> bytes:
    return json.dumps(odd(rng, json.loads(content))).encode()


def json_line_values(rng: random.Random, content: bytes) -> bytes:
    """Of one line of many."""
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = json_values(rng, lines[at])
    return b"\n".join(lines)


def cells(rng: random.Random, content: bytes) -> bytes:
    """Of a CSV file."""
    lines = content.decode().split("\n")
    at = rng.randrange(len(lines))
    row = lines[at].split(",")
    row[rng.randrange(len(row))] = str(rng.choice(ODD)).encode("utf-8", "replace").decode()
    if rng.random() < 0.2:
        row = row[:-1] if rng.random() < 0.5 else [*row, "1"]
    lines[at] = ",".join(row)
    return "\n".join(lines).encode()


# ---- files of files ----


def members(inner: Callable[[str], tuple[Mutation, ...]]) -> Mutation:
    """Of a zip: a member is damaged, missing, double, or has another's name."""

    def mutate(rng: random.Random, content: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = [(info.filename, archive.read(info)) for info in archive.infolist()]
        at = rng.randrange(len(files))
        name, data = files[at]
        kind = rng.randrange(8)
        if kind == 0:
            del files[at]
        elif kind == 1:
            new = (
                "../../" + name,
                "/" + name,
                name.upper(),
                name + "\x1b[31m.png",
                "a" * 300 + ".png",
                name + "/",
            )
            files[at] = (rng.choice(new), data)
        elif kind == 2:
            files[at] = (name, rng.choice(files)[1])
        elif data:
            files[at] = (name, rng.choice(inner(name))(rng, data))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name, data in files:
                archive.writestr(zipfile.ZipInfo(name), data)
        return buffer.getvalue()

    return mutate


def tensors_header(rng: random.Random, content: bytes) -> bytes:
    """Of a safetensors file: what it says of its tensors, its configuration, or how long that is."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    kind = rng.randrange(4)
    if kind == 0:
        return (
            struct.pack("<Q", rng.choice((0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1))) + content[8:]
        )
    if kind == 1:
        header = odd(rng, header)
    else:
        config = odd(rng, json.loads(header["__metadata__"]["shoegen"]))
        header["__metadata__"]["shoegen"] = json.dumps(config)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def tensors_values(rng: random.Random, content: bytes) -> bytes:
    """Of a safetensors file: a tensor of another shape or type, missing, or not finite."""
    from safetensors.torch import load, save

    size = struct.unpack("<Q", content[:8])[0]
    notes = json.loads(content[8 : 8 + size])["__metadata__"]
    return save(odd_tensors(rng, load(content)), metadata=notes)


def odd_tensors(rng: random.Random, tensors: dict) -> dict:
    import torch

    tensors = dict(tensors)
    name = rng.choice(sorted(tensors))
    one = tensors.pop(name)
    if rng.random() < 0.15:
        return tensors or {name: one}
    changes = (
        lambda: one.flatten(), lambda: one[:0] if one.ndim else one, lambda: torch.full_like(one, float("nan")),
        lambda: torch.full_like(one, float("inf")), lambda: one.to(torch.int64), lambda: one.double(),
        lambda: torch.cat([one, one]) if one.ndim else one.reshape(1), lambda: one[None], lambda: torch.zeros(()),
        lambda: torch.full_like(one, 3e38),
    )  # fmt: skip
    try:
        tensors[name if rng.random() < 0.9 else name + ".x"] = rng.choice(changes)().contiguous().clone()
    except (RuntimeError, TypeError):  # an integer has no NaN
        tensors[name] = torch.zeros(0)
    return tensors


def state_values(rng: random.Random, content: bytes) -> bytes:
    """Of a .pt: one value somewhere in the state."""
    import torch

    state = torch.load(io.BytesIO(content), weights_only=True)

    def change(value: object) -> object:
        if (
            isinstance(value, dict)
            and value
            and all(isinstance(each, torch.Tensor) for each in value.values())
        ):
            return odd_tensors(rng, value)
        if isinstance(value, dict) and value:
            key = rng.choice(list(value))
            if rng.random() < 0.1:
                return {name: each for name, each in value.items() if name != key}
            return {**value, key: change(value[key])}
        if isinstance(value, torch.Tensor):
            return odd_tensors(rng, {"x": value}).get("x", 0)
        return odd(rng, value)

    buffer = io.BytesIO()
    torch.save(change(state), buffer)
    return buffer.getvalue()


def pickled_payload(rng: random.Random, content: bytes) -> bytes:
    """Code that would run, between two of a pickle's operations."""
    places = [at for _, _, at in pickletools.genops(content)]
    at = rng.choice(places[1:])
    return content[:at] + PAYLOAD + rng.choice((b"", b"0")) + content[at:]


def zipped_payload(rng: random.Random, content: bytes) -> bytes:
    """The same in the pickle of a .pt."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(buffer, "w") as out:
        for info in archive.infolist():
            data = archive.read(info)
            out.writestr(
                info.filename, pickled_payload(rng, data) if info.filename.endswith("data.pkl") else data
            )
    return buffer.getvalue()
