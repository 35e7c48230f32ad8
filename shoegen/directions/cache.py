"""Samples that were measured before are not measured again."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import shoegen
from shoegen import measure as measuring
from shoegen.directions.sampling import Samples, draw_samples, draw_w, measure_ws
from shoegen.directions.stopwatch import Stopwatch
from shoegen.errors import FileFormatError
from shoegen.measure import ATTRIBUTES
from shoegen.segmentation.parts import PartSegmenter
from shoegen.stylegan.networks import Generator
from shoegen.torch_utils.tensors import tensors_hash

PAUSE = 20.0  # seconds between two writings of what is there so far


def user_cache() -> Path:
    """The folder for what can be made again: `$XDG_CACHE_HOME/shoegen`, or ~/.cache/shoegen."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shoegen"


def cached_samples(
    generator: Generator,
    segmenter: PartSegmenter,
    count: int,
    *,
    psi: float = 0.7,
    seed: int = 0,
    ranges: tuple[tuple[int, ...], ...] = (),
    folder: str | Path | None,
    progress: Callable[[int], None] = lambda done: None,
    say: Callable[[str], None] = lambda line: None,
    watch: Stopwatch | None = None,
) -> Samples:
    """Samples of a generator, measured now or before; an interrupted measuring goes on where it was.

    Args:
        generator, segmenter: what draws and what measures.
        count, psi, seed, ranges: of the latents; see `draw_samples`.
        folder: where samples are kept; None keeps none.
        progress: is told how many are done.
        say: takes lines about what goes on.
        watch: is told how long each stage took.

    Raises:
        ConfigError: no such psi, seed or count.
        OutputError: the folder cannot be written.
    """
    draw_w(generator, 1 if count > 0 else count, psi=psi, seed=seed)  # refuses before anything is hashed
    measure = partial(measure_ws, generator, segmenter, whole=False, watch=watch)
    if folder is None:
        return draw_samples(generator, measure, count, psi=psi, seed=seed, ranges=ranges, progress=progress)
    origin = origin_of(generator, segmenter, count, psi=psi, seed=seed, ranges=ranges)
    digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
    path = Path(folder) / f"samples-{digest[:16]}.safetensors"
    started = _find(path, origin)
    if started is not None:
        say(f"{len(started.w)} of {count} samples are known from {path}")
        if len(started.w) == count:
            return started

    kept, newest = time.monotonic(), started

    def keep(samples: Samples) -> None:
        nonlocal kept, newest
        newest = samples
        if time.monotonic() - kept >= PAUSE:
            _save(samples)
            kept = time.monotonic()

    def _save(samples: Samples) -> None:
        replace(samples, origin=origin).save(path)

    try:
        samples = draw_samples(
            generator,
            measure,
            count,
            psi=psi,
            seed=seed,
            ranges=ranges,
            progress=progress,
            started=started,
            keep=keep,
        )
    finally:
        if newest is not None:
            _save(newest)
    return samples


def origin_of(
    generator: Generator,
    segmenter: PartSegmenter,
    count: int,
    *,
    psi: float,
    seed: int,
    ranges: tuple[tuple[int, ...], ...] = (),
) -> dict[str, Any]:
    """All that samples depend on."""
    return {
        "generator": generator.hash(),
        "segmenter": tensors_hash(segmenter.net.state_dict()),
        "psi": float(psi),
        "seed": int(seed),
        "count": int(count),
        "ranges": [list(layers) for layers in ranges],
        "attributes": sorted(ATTRIBUTES),
        "definitions": definitions_hash(),
        "shoegen": shoegen.__version__,
    }


def definitions_hash() -> str:
    """SHA-256 (hex) over the source of what measures, a user's own attributes among it."""
    package = Path(inspect.getfile(measuring))
    files = set(package.parent.glob("*.py")) if package.name == "__init__.py" else {package}
    for attribute in ATTRIBUTES.values():
        with contextlib.suppress(TypeError):  # a callable that is no function has no file
            files.add(Path(inspect.getfile(inspect.unwrap(attribute.function))))
    return _hash(sorted(files))


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with contextlib.suppress(OSError):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _find(path: Path, origin: dict[str, Any]) -> Samples | None:
    """Those in the file, all of `origin`; None where it has none that can be used."""
    if not path.is_file():
        return None
    try:
        samples = Samples.load(path)
    except FileFormatError:  # it is written anew
        return None
    whole = samples.origin == origin and set(samples.attributes) == set(origin["attributes"])
    return samples if whole and 0 < len(samples.w) <= origin["count"] else None
