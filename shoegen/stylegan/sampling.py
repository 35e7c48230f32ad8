"""What a trained generator draws: seeds and classes → W → pictures, mixed styles, and walks from shoe to shoe.

generator = shoegen.load("default").generator
ws = latents(generator, range(8), psi=0.7)       # (8, num_ws, w_dim)
pictures = list(render(generator, ws))           # (H, W, C) uint8 each
frames = interpolate(generator, [1, 5, 9])       # len(frames), and an iterable of pictures
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.errors import ConfigError, FileFormatError
from shoegen.stylegan.networks import DrawNoise, Generator, NoiseMode
from shoegen.torch_utils.files import atomic_write
from shoegen.torch_utils.pixels import to_pixels
from shoegen.torch_utils.tensors import load_tensors, save_tensors

Classes = int | Sequence[int] | Literal["random"] | None
"""One class for all pictures, one for each, or one that follows from each seed; None where there are none."""

Psi = float | Sequence[float] | Tensor
"""Of all pictures, or (N,) of each."""

Space = Literal["w", "z", "noise-loop"]

Mix = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From, to, and the share of the way."""

W_SUFFIXES = (".npz", ".npy", ".safetensors")
MAX_W_BYTES = 2**31

STYLES = {"coarse": range(4), "middle": range(4, 8), "fine": range(8, 100)}
"""The layers that draw at 4 and 8, at 16 and 32, and from 64 pixels on (StyleGAN, arXiv 1812.04948, section 3.1)."""

EASINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda t: t,
    "smooth": lambda t: t * t * (3 - 2 * t),
    "ease-in": lambda t: t**3,
    "ease-out": lambda t: 1 - (1 - t) ** 3,
    "ease-in-out": lambda t: torch.where(t < 0.5, 4 * t**3, 1 - 4 * (1 - t) ** 3),
}
"""Of the way from one shoe to the next, 0..1, how much is done after a share 0..1 of the time."""


# ---- latents ----


def latents(
    generator: Generator,
    seeds: Sequence[int],
    *,
    classes: Classes = None,
    psi: Psi = 0.7,
    cutoff: int | None = None,
) -> Tensor:
    """The latents of seeds; each follows from its seed alone, however many are drawn at once.

    Args:
        generator: maps z to W.
        seeds: N of them, from 0 to 2³² − 1.
        classes: what a conditional generator draws.
        psi: truncation, from −2 to 2: 1 is as varied as trained, 0 the mean shoe, below 0 its opposite.
        cutoff: how many of the first layers are truncated; None for all.

    Returns:
        ws (N, num_ws, w_dim).

    Raises:
        ConfigError: a seed, class, psi or cutoff that there is not.
    """
    with torch.no_grad():
        ws = generator.map(draw_z(generator, seeds), one_hot(generator, classes, seeds))
    return truncate(generator, ws, psi, cutoff)


def draw_z(generator: Generator, seeds: Sequence[int]) -> Tensor:
    """(N, z_dim), standard normal."""
    check_seeds(seeds)
    size = 1, generator.config.z_dim
    rows = [torch.randn(size, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return torch.cat(rows).to(_device(generator))


def one_hot(generator: Generator, classes: Classes, seeds: Sequence[int]) -> Tensor | None:
    """c (N, c_dim) for N seeds; None for a generator without classes.

    Raises:
        ConfigError: classes that the generator does not know, or none though it needs them.
    """
    known = generator.config.c_dim
    if not known:
        if classes is not None:
            raise ConfigError(f"classes: got {classes}, but this generator has none; leave it out")
        return None
    if classes == "random":
        classes = [random_class(generator, seed) for seed in seeds]
    elif isinstance(classes, int | np.integer):
        classes = [int(classes)] * len(seeds)
    wanted = [] if classes is None or isinstance(classes, str) else list(classes)
    if (
        len(wanted) != len(seeds)
        or not all(isinstance(each, Integral) for each in wanted)
        or not all(0 <= each < known for each in wanted)
    ):
        raise ConfigError(
            f"classes: got {'none' if classes is None else classes}, but this generator draws {known} classes; "
            f"choose from 0 to {known - 1}, or random"
        )
    return F.one_hot(torch.tensor(wanted), known).float().to(_device(generator))


def random_class(generator: Generator, seed: int) -> int:
    """The class that follows from a seed."""
    return int(torch.randint(generator.config.c_dim, (), generator=_stream(seed, 1)))


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises ConfigError for what is no seed."""
    for seed in seeds:
        if not isinstance(seed, Integral) or not 0 <= seed < 2**32:
            raise ConfigError(f"seed: got {seed!r}, expected a whole number from 0 to 2³² − 1")


def truncate(generator: Generator, ws: Tensor, psi: Psi, cutoff: int | None = None) -> Tensor:
    """Draws ws (N, num_ws, w_dim) towards the mean of W; see `latents`."""
    check_truncation(generator, psi, cutoff)
    share = torch.as_tensor(psi, dtype=ws.dtype, device=ws.device).reshape(-1, 1, 1)
    truncated = torch.lerp(generator.mapping.w_avg.to(ws), ws[:, :cutoff], share)
    return truncated if cutoff is None else torch.cat([truncated, ws[:, cutoff:]], dim=1)


def check_truncation(generator: Generator, psi: Psi, cutoff: int | None) -> None:
    """Refuses numbers without a meaning; what is in a tensor is not looked at.

    Raises:
        ConfigError: a psi beyond −2 to 2, or more layers than there are.
    """
    for each in [] if isinstance(psi, Tensor) else psi if isinstance(psi, Sequence) else [psi]:
        if not isinstance(each, Real) or not -2 <= each <= 2:
            raise ConfigError(f"psi: got {each!r}, expected a number from -2 to 2 such as 0.7")
    if cutoff is not None and not 0 <= cutoff <= generator.num_ws:
        raise ConfigError(
            f"cutoff: got {cutoff}, expected from 0 to the generator's {generator.num_ws} layers"
        )


def style_layers(generator: Generator, layers: str | Sequence[int]) -> list[int]:
    """ "coarse", "middle" or "fine", or indices, as indices of the layers that this generator has.

    Raises:
        ConfigError: it has none of them.
    """
    named = isinstance(layers, str)
    indices = list(STYLES.get(layers, ()) if isinstance(layers, str) else layers)
    known = [index for index in indices if 0 <= index < generator.num_ws]
    if not known or (not named and len(known) != len(indices)):
        raise ConfigError(
            f"layers: got {layers}, expected layers from 0 to {generator.num_ws - 1}, "
            f"or one of {', '.join(name for name in STYLES if STYLES[name][0] < generator.num_ws)}"
        )
    return known


def style_mix(rows: Tensor, columns: Tensor, layers: Sequence[int]) -> Tensor:
    """Each row's shoe with `layers` of each column's.

    (R, num_ws, w_dim) and (C, num_ws, w_dim) → (R, C, num_ws, w_dim).
    """
    mixed = rows[:, None].repeat(1, len(columns), 1, 1)
    mixed[:, :, list(layers)] = columns[None, :, list(layers)]
    return mixed


# ---- pictures ----


@torch.no_grad()
def render(
    generator: Generator,
    ws: Tensor,
    *,
    noise: NoiseMode = "const",
    seeds: Sequence[int] | None = None,
    batch: int = 8,
) -> Iterator[np.ndarray]:
    """Draws latents, `batch` at a time.

    The batch changes a picture by float32's rounding at most.

    Args:
        generator: draws.
        ws: (N, num_ws, w_dim).
        noise: "const" repeats the same noise, "random" draws it for each picture, "none" leaves it out.
        seeds: N of them, of the random noise; by default 0, 1, 2, …
        batch: pictures at once.

    Yields:
        (H, W, C) uint8.
    """
    if noise not in get_args(NoiseMode):
        raise ConfigError(f"noise: got {noise!r}, expected random, const or none")
    if batch < 1:
        raise ConfigError(f"batch: got {batch}, expected at least 1")
    numbers = range(len(ws)) if seeds is None else seeds
    for first in range(0, len(ws), batch):
        part = slice(first, first + batch)
        draw = _seeded_noise(numbers[part], _device(generator)) if noise == "random" else None
        images = generator.synthesis(ws[part].to(_device(generator)), noise_mode=noise, draw_noise=draw)
        yield from to_pixels(images.clamp(-1, 1))


def _seeded_noise(seeds: Sequence[int], device: torch.device) -> DrawNoise:
    streams = [_stream(seed, 2) for seed in seeds]

    def draw(height: int, width: int) -> Tensor:
        return torch.stack([torch.randn(1, height, width, generator=stream) for stream in streams]).to(device)

    return draw


def _stream(seed: int, purpose: int) -> torch.Generator:
    """Random numbers that follow from a seed, but are others than those of its z."""
    state = np.random.SeedSequence([seed, purpose]).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))


def _device(generator: Generator) -> torch.device:
    return generator.mapping.w_avg.device


# ---- walks ----


@dataclass(frozen=True, eq=False)
class Walk:
    """The frames of a film, drawn while one iterates: (H, W, C) uint8 each.

    generator: draws. count: of the frames. frames: from one shoe to the next. ws_at: positions (N,), 0 at the first
    shoe and 1 at the second, → ws (N, num_ws, w_dim). noise, batch: see `render`.
    """

    generator: Generator
    count: int
    frames: int
    ws_at: Callable[[Tensor], Tensor]
    noise: NoiseMode = "const"
    batch: int = 8

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[np.ndarray]:
        for first in range(0, self.count, self.batch):
            numbers = range(first, min(first + self.batch, self.count))
            ws = self.ws_at(torch.tensor(numbers, dtype=torch.float64) / self.frames)
            yield from render(self.generator, ws, noise=self.noise, seeds=numbers, batch=self.batch)


def interpolate(
    generator: Generator,
    seeds: Sequence[int],
    *,
    frames: int = 60,
    easing: str | None = None,
    space: Space = "w",
    loop: bool = False,
    classes: Classes = None,
    psi: float = 0.7,
    cutoff: int | None = None,
    noise: NoiseMode = "const",
    batch: int = 8,
) -> Walk:
    """A walk from shoe to shoe.

    Args:
        generator: draws.
        seeds: of the shoes, two or more; for "noise-loop" one.
        frames: from one shoe to the next; of the whole loop for "noise-loop".
        easing: a name in `EASINGS`; by default "smooth", for "noise-loop" "linear".
        space: "w" goes straight in W; "z" along great circles of the normal z (slerp); "noise-loop" leaves a shoe
            on a random circle in z that comes back to it.
        loop: from the last shoe back to the first, so that the film repeats without a jump; a "noise-loop" always does.
        classes, psi, cutoff: see `latents`.
        noise, batch: see `render`.

    Returns:
        `frames` for each step, and where it does not loop the last shoe.

    Raises:
        ConfigError: an option that cannot be followed.
    """
    if easing is None:
        easing = "linear" if space == "noise-loop" else "smooth"
    _check_walk(len(seeds), frames, easing, space)
    is_open = space != "noise-loop" and not loop
    steps = len(seeds) - is_open
    truncation: dict[str, Any] = {"psi": psi, "cutoff": cutoff}
    keys = latents(generator, seeds, classes=classes, **truncation)  # checks the options, whatever the space
    z, c = draw_z(generator, seeds), one_hot(generator, classes, seeds)

    def between(values: Tensor, positions: Tensor, mix: Mix = torch.lerp) -> Tensor:
        step = positions.floor().long().clamp(max=steps - 1)
        share = EASINGS[easing](positions - step).to(values).reshape(-1, *[1] * (values.ndim - 1))
        return mix(values[step], values[(step + 1) % len(values)], share)

    @torch.no_grad()
    def ws_at(positions: Tensor) -> Tensor:
        if space == "w":
            return between(keys, positions)
        if space == "z":
            z_there = between(z, positions, slerp)
        else:
            angle = (2 * math.pi * EASINGS[easing](positions)).to(z)[:, None]
            other = torch.randn(z.shape, generator=_stream(seeds[0], 3)).to(z)
            z_there = angle.cos() * z + angle.sin() * other
        c_there = None if c is None else between(c, positions)
        return truncate(generator, generator.map(z_there, c_there), **truncation)

    return Walk(generator, steps * frames + is_open, frames, ws_at, noise, batch)


def _check_walk(shoes: int, frames: int, easing: str, space: str) -> None:
    if easing not in EASINGS:
        raise ConfigError(f"easing: got {easing!r}, expected one of {', '.join(EASINGS)}")
    if space not in get_args(Space):
        raise ConfigError(f"space: got {space!r}, expected one of {', '.join(get_args(Space))}")
    if frames < 1:
        raise ConfigError(f"frames: got {frames}, expected at least 1")
    if space == "noise-loop" and shoes != 1:
        raise ConfigError(f"seeds: got {shoes}, expected one for a noise-loop, which leads back to its shoe")
    if space != "noise-loop" and shoes < 2:
        raise ConfigError(f"seeds: got {shoes}, expected at least two to go from one to the other")


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """From a to b, (N, z_dim), along the great circle of their directions; lengths change evenly. share: (N, 1)."""
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    towards_a, towards_b = a / length_a, b / length_b
    angle = (towards_a * towards_b).sum(dim=1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    near = sine < 1e-4  # the same direction: the arc is straight
    weight_a = torch.where(near, 1 - share, ((1 - share) * angle).sin() / sine)
    weight_b = torch.where(near, share, (share * angle).sin() / sine)
    return torch.lerp(length_a, length_b, share) * (weight_a * towards_a + weight_b * towards_b)


# ---- files of latents ----


def save_ws(
    path: str | Path, ws: Tensor, generator: Generator, *, notes: dict[str, Any] | None = None
) -> None:
    """Writes ws (N, num_ws, w_dim): .npz with the key w as published projections have, .npy, or .safetensors.

    Args:
        path: its suffix decides.
        ws: the latents.
        generator: draws them; .safetensors names it.
        notes: where they come from; kept by .safetensors alone.

    Raises:
        ConfigError: another suffix.
        OutputError: the path cannot be written.
    """
    suffix = w_suffix(path)
    if suffix == ".safetensors":
        metadata = {"kind": "latents", "generator_hash": generator.hash(), **(notes or {})}
        save_tensors(path, {"w": ws}, metadata)
        return
    values = ws.detach().cpu().numpy()
    with atomic_write(path) as file:
        if suffix == ".npz":
            np.savez(file, w=values)
        else:
            np.save(file, values, allow_pickle=False)


def load_ws(
    path: str | Path, generator: Generator, *, say: Callable[[str], object] = lambda text: None
) -> Tensor:
    """Reads latents for a generator: what `save_ws` wrote, or an array of others, under the key w in .npz.

    One of (num_ws, w_dim) is one shoe with a w for each layer; (N, w_dim) are N shoes of one w each;
    (N, num_ws, w_dim) and (N, 1, w_dim) are what they say. Nothing is unpickled. `say` is told where the file names
    another generator.

    Returns:
        float32 (N, num_ws, w_dim), on the CPU.

    Raises:
        ConfigError: a suffix of another format.
        FileFormatError: missing, damaged, pickled, not finite, or of other shapes.
    """
    suffix = w_suffix(path)
    if suffix == ".safetensors":
        tensors, notes = load_tensors(path, kind="latents")
        if notes.get("generator_hash", generator.hash()) != generator.hash():
            say(f"note: the latents in {path} were made with another generator")
        if "w" not in tensors:
            raise FileFormatError(
                f"{path}: got {', '.join(tensors) or 'nothing'}, expected latents under the name w"
            )
        values = tensors["w"].float().numpy()
    else:
        values = _load_array(Path(path))
    layers, features = generator.num_ws, generator.config.w_dim
    shape = values.shape
    if values.ndim == 2 and shape == (layers, features):
        values = values[None]
    elif values.ndim == 2:
        values = values[:, None]
    if (
        values.ndim != 3
        or values.shape[1] not in (1, layers)
        or values.shape[2] != features
        or not len(values)
    ):
        raise FileFormatError(
            f"{path}: got latents of shape {shape}; this generator takes (N, {layers}, {features}), "
            f"({layers}, {features}) or (N, {features})"
        )
    if not np.isfinite(values).all():
        raise FileFormatError(f"{path}: has latents that are NaN, infinite or too large; make the file anew")
    return torch.from_numpy(values).expand(-1, layers, -1).contiguous()


def w_suffix(path: str | Path) -> str:
    """The suffix of a file of latents.

    Raises:
        ConfigError: none that is known.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in W_SUFFIXES:
        raise ConfigError(f"{path}: got the suffix {suffix!r} for latents, expected {', '.join(W_SUFFIXES)}")
    return suffix


def _load_array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileFormatError(f"no such file: {path}; expected latents ({', '.join(W_SUFFIXES)})")
    try:
        with path.open("rb") as file:  # NumPy leaves the file of a damaged .npz open
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.lib.npyio.NpzFile):
                content = _unpack(path, content)
    except FileFormatError:
        raise
    except Exception as error:  # NumPy and zipfile raise many types on damaged files
        reason = " ".join(str(error).split())
        raise FileFormatError(
            f"{path}: not a readable array of numbers ({reason}); expected latents"
        ) from error
    if not isinstance(content, np.ndarray) or not np.issubdtype(content.dtype, np.floating):
        got = f"an array of {content.dtype}" if isinstance(content, np.ndarray) else "no array"
        raise FileFormatError(f"{path}: got {got}, expected latents as floating point")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused
        return content.astype(np.float32)


def _unpack(path: Path, content: np.lib.npyio.NpzFile) -> np.ndarray:
    if "w" not in content.files:
        names = ", ".join(content.files[:5]) or "nothing"
        raise FileFormatError(f"{path}: got {names}, expected latents under the name w")
    assert content.zip is not None
    if content.zip.getinfo("w.npy").file_size > MAX_W_BYTES:
        raise FileFormatError(f"{path}: its latents take more than 2 GiB; give fewer at once")
    return content["w"]
