"""Data sets of synthetic shoes: pictures, part maps and true attributes in one zip; alone or worn."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from shoegen.data.images import encode_part_map
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.data.synthetic.parameters import STYLES, ShoeParameters
from shoegen.data.synthetic.render import RenderedShoe, check_resolution, render_shoe
from shoegen.data.synthetic.scenes import Backgrounds, render_in_scene
from shoegen.data.synthetic.wearers import Wearer
from shoegen.data.synthetic.worn import Stage
from shoegen.errors import ConfigError, ShoegenError
from shoegen.torch_utils.files import atomic_write

CHUNK = 16  # shoes per task given to a worker
SILHOUETTE = LabelMap(("background", "shoe"), ((255, 255, 255), (66, 133, 200)))
SCENE_DRAWS = 1  # the stream of random numbers of a shoe's surroundings
WEARER_DRAWS = 2  # and of who wears it


def sample_parameters(seed: int, index: int, styles: Sequence[str] = STYLES) -> ShoeParameters:
    """The parameters of the `index`-th shoe of `seed`; no other shoe has a say in them."""
    return ShoeParameters.sample(np.random.default_rng([seed, index]), styles)


def sample_wearer(seed: int, index: int) -> Wearer:
    """Who wears the `index`-th shoe of `seed`, and where; the shoe has no say in it."""
    return Wearer.sample(np.random.default_rng([seed, index, WEARER_DRAWS]))


def render(
    seed: int,
    index: int,
    resolution: int,
    *,
    styles: Sequence[str] = STYLES,
    backgrounds: Backgrounds | None = None,
) -> RenderedShoe:
    """The `index`-th shoe of `seed` at (resolution, resolution), as `make_dataset` writes it."""
    return _render(sample_parameters(seed, index, styles), seed, index, resolution, backgrounds)


def _render(
    parameters: ShoeParameters, seed: int, index: int, resolution: int, backgrounds: Backgrounds | None
) -> RenderedShoe:
    if backgrounds is None:
        return render_shoe(parameters, resolution)
    # Chance of its own, so that the shoes are those before paper.
    rng = np.random.default_rng([seed, index, SCENE_DRAWS])
    return render_in_scene(parameters, resolution, backgrounds, rng)


def make_dataset(
    path: str | os.PathLike[str],
    *,
    count: int,
    resolution: int = 128,
    seed: int = 0,
    workers: int = 1,
    styles: Sequence[str] = STYLES,
    backgrounds: str | Path | None = None,
    silhouettes: bool = False,
    worn: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Writes `count` shoes as a zip: images/%08d.png, masks/%08d.png, labels.json and attributes.json.

    attributes.json is {"unit": "mm", "attributes": {image: {attribute: mm}}, "metadata": {image: {…}}}.
    The same arguments give the same bytes, whatever `workers` is. `progress` hears how many shoes are done. `styles`
    are those that shoes are drawn from. `backgrounds` is a folder or zip file of photographs: each shoe then stands
    somewhere before a random crop of one of them. `silhouettes`: the part maps tell but shoe and background, as those
    do that a network for cut-outs learns from fastest.

    Raises:
        ConfigError: count or workers below 1, a negative seed, a resolution outside 32–1024, or unknown styles.
        DataError: backgrounds that cannot be read.
        OutputError: the path cannot be written; nothing is left there.
    """
    check_resolution(resolution)
    for name, value, low in (("count", count, 2 if worn else 1), ("workers", workers, 1), ("seed", seed, 0)):
        if value < low:
            raise ConfigError(f"{name} is {value}, expected {low} or more; choose a larger {name}")
    unknown = [style for style in styles if style not in STYLES]
    if unknown or not styles:
        raise ConfigError(f"styles: got {', '.join(unknown) or 'none'}, expected some of {', '.join(STYLES)}")
    behind = None if backgrounds is None else Backgrounds(backgrounds)
    labels = SILHOUETTE if silhouettes else SHOE_PARTS
    made = partial(_encode_worn, count=count) if worn else _encode
    draw = partial(
        made, seed=seed, resolution=resolution, styles=tuple(styles), backgrounds=behind, labels=labels
    )
    attributes: dict[str, dict[str, float]] = {}
    metadata: dict[str, dict[str, Any]] = {}
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for index, (pictures, measures, make) in enumerate(_shoes(count, draw, workers)):
            for folder, content in pictures.items():
                _write(archive, _name(folder, index), content)
            name = _name(next(iter(pictures)), index)
            attributes[name], metadata[name] = measures, make
            progress(index + 1)
        _write(archive, "labels.json", json.dumps(labels.to_json()).encode())
        described = {"unit": "mm", "attributes": attributes, "metadata": metadata}
        _write(archive, "attributes.json", json.dumps(described).encode())
        if worn:
            _write(archive, "pairs.csv", _pairs(count).encode())


def _name(folder: str, index: int) -> str:
    return f"{folder}/{index:08d}.png"


def _other(index: int, count: int) -> int:
    """Whose shoe the wearer of the `index`-th puts on: each is put on once."""
    return (index + 1) % count


def _pairs(count: int) -> str:
    rows = (
        (_name("photos", i), _name("articles", i), _name("articles", _other(i, count)), _name("truth", i))
        for i in range(count)
    )
    return "".join(",".join(row) + "\n" for row in [("photo", "article", "other", "truth"), *rows])


Encoded = tuple[dict[str, bytes], dict[str, float], dict[str, Any]]
"""A shoe's PNGs by their folder, its measures and its make."""


def _shoes(count: int, draw: Callable[[int], Encoded], workers: int) -> Iterator[Encoded]:
    """Encoded shoes in order, made here or by a pool of processes."""
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    make = partial(_make_chunk, draw=draw)
    if workers == 1:
        for chunk in chunks:
            yield from make(chunk)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of whoever calls
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
            pending: deque[Future[list[Encoded]]] = deque()
            try:
                for chunk in chunks:
                    pending.append(pool.submit(make, chunk))
                    # Enough to keep them busy; more would only fill the memory.
                    if len(pending) > 2 * workers:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()
    except BrokenProcessPool as error:
        raise ShoegenError(
            "a drawing process ended unexpectedly, perhaps for want of memory; try fewer workers"
        ) from error


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make_chunk(indices: range, *, draw: Callable[[int], Encoded]) -> list[Encoded]:
    return [draw(index) for index in indices]


def _encode(
    index: int,
    *,
    seed: int,
    resolution: int,
    styles: tuple[str, ...],
    backgrounds: Backgrounds | None,
    labels: LabelMap,
) -> Encoded:
    parameters = sample_parameters(seed, index, styles)
    shoe = _render(parameters, seed, index, resolution, backgrounds)
    pictures = {"images": _encode_image(shoe.image), "masks": _encode_mask(shoe.part_map, labels)}
    return pictures, _rounded(shoe.attributes), parameters.metadata


def _encode_worn(
    index: int,
    *,
    count: int,
    seed: int,
    resolution: int,
    styles: tuple[str, ...],
    backgrounds: Backgrounds | None,
    labels: LabelMap,
) -> Encoded:
    parameters, other = (sample_parameters(seed, i, styles) for i in (index, _other(index, count)))
    wearer = sample_wearer(seed, index)
    stage = Stage(wearer, resolution, backgrounds)
    photo, part_map = stage.photograph(parameters)
    pictures = {
        "photos": _encode_image(photo),
        "masks": _encode_mask(part_map, labels),
        "articles": _encode_image(render_shoe(parameters, resolution).image),
        "truth": _encode_image(stage.photograph(other)[0]),
    }
    return pictures, _rounded(parameters.attributes), parameters.metadata | {"wearer": wearer.metadata}


def _encode_image(image: np.ndarray) -> bytes:
    _, content = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return content.tobytes()


def _encode_mask(part_map: np.ndarray, labels: LabelMap) -> bytes:
    return encode_part_map(np.minimum(part_map, len(labels) - 1), labels, compress_level=1)


def _rounded(attributes: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in attributes.items()}


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(
        name, date_time=(1980, 1, 1, 0, 0, 0)
    )  # no clock: the same shoes are the same bytes
    entry.external_attr = 0o644 << 16
    if name.endswith(".json"):
        entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
