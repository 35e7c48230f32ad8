"""What is measured of each segmenter, always on the same pictures."""

from __future__ import annotations

import contextlib
import math
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from shoegen.data.images import fit_image, resize_part_map
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError
from shoegen.segmentation.comparison.classes import CommonClasses
from shoegen.segmentation.comparison.pictures import LabelledPictures
from shoegen.segmentation.instances.config import ARCHITECTURE
from shoegen.segmentation.loading import AnySegmenter
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.parts import DEFAULT_PATH, MODEL_FILE, PartSegmenter
from shoegen.torch_utils.memory import explain_out_of_memory, measure_peak, release_freed_memory

EXAMPLE_SIDE = 1280  # of a picture that is kept to be shown


@dataclass(frozen=True)
class Candidate:
    """A segmenter, what it is called in the report, and where it comes from: a file, a run folder or "default"."""

    name: str
    path: str
    segmenter: AnySegmenter

    @property
    def file(self) -> Path:
        path = DEFAULT_PATH if self.path == "default" else Path(self.path)
        return path / MODEL_FILE if path.is_dir() else path


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """A segmenter's figures.

    confusion: over all pixels of all pictures. scores: (pictures,), see `picture_score`. resolution: (height, width)
    that pictures are scaled into. file_bytes: of its file; parameters: numbers learned.
    seconds: of each picture, from the picture in memory to the part map of its size; network_seconds: of these inside
    the network, 0 where it cannot be told. peak_bytes: held at most beyond what was held before, on the largest
    picture.
    """

    name: str
    path: str
    architecture: str
    resolution: tuple[int, int]
    parameters: int
    file_bytes: int
    confusion: ConfusionMatrix
    scores: np.ndarray
    seconds: list[float]
    network_seconds: list[float]
    peak_bytes: int

    @property
    def ms(self) -> float:
        """Median over the pictures."""
        return statistics.median(self.seconds) * 1e3

    @property
    def network_ms(self) -> float:
        """Median over the pictures; NaN where it cannot be told."""
        return statistics.median(self.network_seconds) * 1e3 if all(self.network_seconds) else math.nan


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture to look at: image (H, W, 3), true part map (H, W), and each model's, in the order of the models."""

    name: str
    kind: str  # "worst" or "typical"
    image: np.ndarray
    true: np.ndarray
    predicted: list[np.ndarray]
    scores: list[float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` found.

    models: best mean IoU first. labels: the common classes. pictures: names, as the models' scores. worst_first:
    the pictures' indices by their mean score over the models. machine: what was measured on. notes: what else a
    reader should know.
    """

    data: str
    labels: LabelMap
    pictures: list[str]
    models: list[ModelFigures]
    worst_first: list[int]
    examples: list[Example]
    machine: str
    notes: list[str] = field(default_factory=list)


def compare(
    data: LabelledPictures,
    candidates: Sequence[Candidate],
    *,
    classes: CommonClasses | None = None,
    worst: int = 6,
    typical: int = 4,
    notes: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Segments every picture in its own size with every model and compares it with the true part map there.

    Args:
        data: the pictures.
        candidates: the models.
        classes: the common classes; None: the data's.
        worst, typical: how many examples to keep: those of the lowest mean scores, and those around the median.
        notes: for the report.
        progress: called with the number of part maps made, and how many there will be.

    Raises:
        ConfigError: no models, or one of other classes.
        TrainingError: memory does not suffice.
    """
    if not candidates:
        raise ConfigError("no models to compare; name run folders, files or `default`, or some with --train")
    classes = classes or CommonClasses(data.labels)
    classes.check_names([each.segmenter.labels for each in candidates])
    true_table = classes.table(data.labels, f"the data {data.path}")
    tables = [classes.table(each.segmenter.labels, each.path) for each in candidates]
    total = len(data) * len(candidates)

    def step(model: int) -> Callable[[int], None]:
        return lambda done: progress(model * len(data) + done, total)

    found = [
        _measure(data, each, table, true_table, len(classes.labels), step(i))
        for i, (each, table) in enumerate(zip(candidates, tables))
    ]
    ranks = sorted(range(len(found)), key=lambda i: _low_if_nan(found[i].confusion.mean_iou), reverse=True)
    models = [found[i] for i in ranks]
    means = np.mean([model.scores for model in models], axis=0)
    worst_first = np.argsort(means, kind="stable").tolist()
    chosen = dict.fromkeys(worst_first[:worst], "worst")
    middle = len(worst_first) // 2
    by_rank = sorted(range(len(worst_first)), key=lambda rank: abs(rank - middle))
    rest = [rank for rank in by_rank if worst_first[rank] not in chosen][:typical]
    chosen |= {worst_first[rank]: "typical" for rank in sorted(rest)}
    examples = [
        _example(data, index, kind, [(candidates[i], tables[i]) for i in ranks], true_table, models)
        for index, kind in chosen.items()
    ]
    return Comparison(
        data=str(data.path),
        labels=classes.labels,
        pictures=list(data.names),
        models=models,
        worst_first=worst_first,
        examples=examples,
        machine=describe_machine({each.segmenter.device for each in candidates}),
        notes=[*data.notes, *notes],
    )


def picture_score(confusion: ConfusionMatrix) -> float:
    """The mean IoU of the classes but class 0, the background, that are in a picture or predicted; 1 without any."""
    iou = confusion.iou[1:]
    return float(np.nanmean(iou)) if not np.isnan(iou).all() else 1.0


def describe_machine(devices: set[torch.device]) -> str:
    """What a time was measured on: "AMD EPYC 9V74, 2 threads, torch 2.11.0"."""
    names = [torch.cuda.get_device_name(each) if each.type == "cuda" else _cpu_name() for each in devices]
    threads = torch.get_num_threads()
    return (
        f"{' and '.join(sorted(names))}, {threads} CPU thread{'s' * (threads > 1)}, torch {torch.__version__}"
    )


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _measure(
    data: LabelledPictures,
    candidate: Candidate,
    table: np.ndarray,
    true_table: np.ndarray,
    classes: int,
    progress: Callable[[int], None],
) -> ModelFigures:
    segmenter = candidate.segmenter
    device = segmenter.device
    largest = max(range(len(data)), key=lambda i: math.prod(data.sizes[i]))
    with _explain_memory(candidate):
        # The first passes prepare kernels and memory; later ones are what a user has.
        image, _ = data[largest]
        for _ in range(2):
            segmenter.segment(image)
        release_freed_memory()
        with measure_peak(device) as peak:
            segmenter.segment(image)

        overall = ConfusionMatrix(classes)
        scores, seconds, network_seconds = [], [], []
        with _NetworkClock(segmenter) as clock:
            for index in range(len(data)):
                image, true = data[index]
                clock.seconds = 0.0
                started = clock.now()
                part_map = segmenter.segment(image)
                seconds.append(clock.now() - started)
                network_seconds.append(clock.seconds)
                own = ConfusionMatrix(classes)
                own.update(table[part_map], true_table[true])
                overall.counts += own.counts
                scores.append(picture_score(own))
                progress(index + 1)
    return ModelFigures(
        name=candidate.name,
        path=candidate.path,
        architecture=_architecture(segmenter),
        resolution=segmenter.config.size,
        parameters=sum(each.numel() for each in segmenter.net.parameters()),
        file_bytes=candidate.file.stat().st_size if candidate.file.is_file() else 0,
        confusion=overall,
        scores=np.array(scores),
        seconds=seconds,
        network_seconds=network_seconds,
        peak_bytes=max(peak.bytes, 0),
    )


class _NetworkClock:
    """Adds up in `seconds` what the network's own forward passes take of a segmenter's time."""

    def __init__(self, segmenter: AnySegmenter):
        self.seconds = 0.0
        self._device, self._net = segmenter.device, segmenter.net
        self._started = 0.0

    def now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def __enter__(self) -> _NetworkClock:
        self._hooks = [
            self._net.register_forward_pre_hook(lambda *_: self._start()),
            self._net.register_forward_hook(lambda *_: self._stop()),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _start(self) -> None:
        self._started = self.now()

    def _stop(self) -> None:
        self.seconds += self.now() - self._started


def _example(
    data: LabelledPictures,
    index: int,
    kind: str,
    candidates: list[tuple[Candidate, np.ndarray]],
    true_table: np.ndarray,
    models: list[ModelFigures],
) -> Example:
    image, true = data[index]
    predicted = []
    for candidate, table in candidates:
        with _explain_memory(candidate):
            predicted.append(table[candidate.segmenter.segment(image)])
    factor = min(1.0, EXAMPLE_SIDE / max(true.shape))
    size = max(1, round(true.shape[0] * factor)), max(1, round(true.shape[1] * factor))
    return Example(
        name=data.names[index],
        kind=kind,
        image=fit_image(image, size),
        true=resize_part_map(true_table[true], size),
        predicted=[resize_part_map(each, size) for each in predicted],
        scores=[float(model.scores[index]) for model in models],
    )


def _architecture(segmenter: AnySegmenter) -> str:
    if isinstance(segmenter, PartSegmenter):
        return segmenter.config.architecture
    return f"{ARCHITECTURE} ({segmenter.config.engine})"


def _low_if_nan(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def _explain_memory(candidate: Candidate) -> contextlib.AbstractContextManager[None]:
    return explain_out_of_memory(
        f"with {candidate.path} on {candidate.segmenter.device}; choose another --device, or leave the model out"
    )
