"""The metrics by name, and what runs them over a generator's pictures."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from shoegen.errors import ConfigError, DataError
from shoegen.metrics import inception, path_length, swd
from shoegen.metrics.figure import Figure
from shoegen.metrics.pictures import (
    Pictures,
    Sampler,
    chunk_size,
    draw_latents,
    generator_sampler,
    read_pictures,
)
from shoegen.metrics.weights import INCEPTION, VGG, PublishedWeights, find_weights
from shoegen.stylegan.networks import Generator

MAX_SAMPLES = 10_000  # where nobody says how many
MANY_IMAGES = 10_000  # below, FID's bias is larger than what it is to show (arXiv 1801.01401)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One contract for all: what was gathered from (reference, generator, settings) → figures.

    figures: the function. least: pictures of each side that it needs at least. weights: of the network that it sees
    through. compares: with the data; else it looks at the generator alone.
    """

    figures: Callable[[Gathered], list[Figure]]
    least: int = 2
    weights: PublishedWeights | None = None
    compares: bool = True


def evaluate(
    source: Generator | nn.Module | Sampler,
    dataset: Pictures,
    metrics: Sequence[str] | None = None,
    *,
    samples: int | None = None,
    psi: float = 1.0,
    seed: int = 0,
    weights: str | os.PathLike[str] | None = None,
    classes: Sequence[int] | None = None,
    device: torch.device | str | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Figure]:
    """Measures a generator once. See `Evaluator` for the arguments and errors."""
    evaluator = Evaluator(
        dataset, metrics, samples=samples, seed=seed, weights=weights, classes=classes, device=device, say=say
    )
    return evaluator.evaluate(source, psi=psi)


def default_metrics(images: int, weights: str | os.PathLike[str] | None = None) -> list[str]:
    """What to measure where nobody says: KID for less than 10,000 images, else FID; SWD without Inception.

    Args:
        images: in the data set.
        weights: see `find_weights`.
    """
    if not inception.installed() or find_weights(INCEPTION, weights) is None:
        return ["swd"]
    return ["kid"] if images < MANY_IMAGES else ["fid"]


class Evaluator:
    """Measures generators against one data set.

    All that can go wrong with the arguments, the data and the weights does so on construction: make one before
    a training starts. What Inception saw of the data is kept from one call to the next (8 kB a picture).
    The global random state is neither used nor changed.

    Args:
        dataset: pictures as large as the generator's, `ImageDataset` or alike. All are the reference, save for SWD,
            which takes as many of both.
        metrics: names of METRICS; None: `default_metrics`.
        samples: pictures to draw; None: as many as the data has, at most 10,000. PPL walks as many paths.
        seed: of latents, places, axes and subsets.
        weights: folder or file of the networks' weights, see `find_weights`. A metric whose weights are nowhere is
            skipped with one line.
        classes: the class of each picture of the data, for conditional generators.
        device: of the networks; None: where the generator is.
        say: takes notes of one line; None: printed on stderr.

    Attributes:
        skipped: of each metric left out, by its name, the reason.
        work: how many pictures a call goes through, as `progress` counts them.

    Raises:
        ConfigError: unknown metrics, too few samples, or nothing at `weights`.
        DataError: too few pictures.
        FileFormatError: damaged weights.
    """

    def __init__(
        self,
        dataset: Pictures,
        metrics: Sequence[str] | None = None,
        *,
        samples: int | None = None,
        seed: int = 0,
        weights: str | os.PathLike[str] | None = None,
        classes: Sequence[int] | None = None,
        device: torch.device | str | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        check_request(metrics, samples=samples, seed=seed, weights=weights)
        say = say or _print_note
        names = list(dict.fromkeys(default_metrics(len(dataset), weights) if metrics is None else metrics))
        self.samples = min(len(dataset), MAX_SAMPLES) if samples is None else samples
        for name in names:
            _check_counts(name, len(dataset), self.samples)
        self.skipped = {name: reason for name in names if (reason := _reason_to_skip(METRICS[name], weights))}
        self.names = [name for name in names if name not in self.skipped]
        for name, reason in self.skipped.items():
            say(f"{name} skipped: {reason}")

        self.dataset, self.seed, self.classes, self.device = dataset, seed, classes, device
        used = {METRICS[name].weights for name in self.names}
        self._inception = _load(inception.Inception, INCEPTION, weights, say) if INCEPTION in used else None
        self._distance = _load(path_length.PerceptualDistance, VGG, weights, say) if VGG in used else None
        self._compares = any(
            METRICS[name].weights is INCEPTION and METRICS[name].compares for name in self.names
        )
        self._reference: inception.Features | None = None

    @property
    def work(self) -> int:
        first = len(self.dataset) if self._compares and self._reference is None else 0
        drawn = self.samples if self._inception or "swd" in self.names else 0
        patches = min(self.samples, len(self.dataset)) if "swd" in self.names else 0
        return first + drawn + patches + (self.samples if self._distance else 0)

    def evaluate(
        self,
        source: Generator | nn.Module | Sampler,
        *,
        psi: float = 1.0,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[Figure]:
        """The figures of one generator, in the order of the metrics.

        Args:
            source: a generator, a module that has one (`shoegen.load(…)`), or a function n → the next n pictures,
                uint8 (n, C, H, W).
            psi: truncation; a function does its own.
            progress: is told how many pictures are done, of `work`.

        Raises:
            ConfigError: PPL of a function, or a conditional generator and no classes.
            DataError: the generator's pictures have another size or other channels than the data's.
        """
        generator: Any = getattr(source, "generator", source)
        is_generator = isinstance(generator, Generator)
        if self._distance and not is_generator:
            raise ConfigError("ppl walks through W: got a function that draws pictures, expected a generator")
        device = self.device or (next(generator.parameters()).device if is_generator else "cpu")
        gathered = Gathered(
            generator=generator if is_generator else None,
            psi=psi,
            seed=self.seed,
            samples=self.samples,
            classes=self.classes,
            device=device,
            distance=self._distance,
            progress=_Counter(progress),
        )
        if self._inception and self._compares:
            if self._reference is None:
                reference = inception.Features(self._inception, device)
                indices = range(len(self.dataset))
                gathered.take(read_pictures(self.dataset, indices), [reference])
                self._reference = reference
            gathered.reference = self._reference
        consumers: list[Consumer] = []
        if "swd" in self.names:
            consumers.append(self._gather_patches(gathered))
        if self._inception:
            gathered.generated = inception.Features(self._inception, device)
            consumers.append(gathered.generated)
        if consumers:
            gathered.take(self._draw(generator, psi), consumers)
        return [figure for name in self.names for figure in METRICS[name].figures(gathered)]

    def _gather_patches(self, gathered: Gathered) -> Consumer:
        """Takes patches of the data; returns what takes as many of the generator's pictures."""
        count = min(self.samples, len(self.dataset))
        order = torch.randperm(len(self.dataset), generator=torch.Generator().manual_seed(self.seed))
        real = swd.Patches(count, seed=self.seed, device=gathered.device)
        gathered.take(read_pictures(self.dataset, sorted(order[:count].tolist())), [real])
        fake = swd.Patches(count, seed=self.seed + 1, device=gathered.device)
        gathered.patches = count, real, fake
        return _First(count, fake)

    def _draw(self, source: Any, psi: float) -> Iterable[Tensor]:
        sampler = source
        if isinstance(source, Generator):
            latents = draw_latents(source, self.samples, seed=self.seed, classes=self.classes)
            sampler = generator_sampler(source, latents, psi)
        expected = tuple(self.dataset.image_shape)
        size = chunk_size(*expected[1:])
        for first in range(0, self.samples, size):
            count = min(size, self.samples - first)
            pictures = sampler(count)
            if pictures.dtype != torch.uint8 or tuple(pictures.shape) != (count, *expected):
                raise DataError(
                    f"the generator draws {tuple(pictures.shape)} of {pictures.dtype}, the data holds {expected}; "
                    f"expected {(count, *expected)} of torch.uint8: read the data at the generator's resolution"
                )
            yield pictures


class Consumer(Protocol):
    """What pictures, uint8 (n, C, H, W), are handed to, chunk by chunk."""

    def add(self, pictures: Tensor, /) -> None: ...


@dataclass(kw_only=True)
class Gathered:
    """What the metrics compute their figures from."""

    generator: Generator | None
    psi: float
    seed: int
    samples: int
    classes: Sequence[int] | None
    device: torch.device | str
    distance: path_length.PerceptualDistance | None
    progress: Callable[[int], None]
    reference: inception.Features | None = None
    generated: inception.Features | None = None
    patches: tuple[int, swd.Patches, swd.Patches] | None = None  # pictures of each; real, generated

    def take(self, pictures: Iterable[Tensor], consumers: Sequence[Consumer]) -> None:
        for chunk in pictures:
            for consumer in consumers:
                consumer.add(chunk)
            self.progress(len(chunk))

    def features(self) -> tuple[Tensor, Tensor]:
        """What Inception saw: (N_ref, 2048) and (N_gen, 2048)."""
        assert self.reference is not None
        assert self.generated is not None
        return self.reference.features, self.generated.features

    def inception_figure(
        self, name: str, value: float, spread: float | None = None, n_ref: int | None = None, **extra: Any
    ) -> Figure:
        assert self.generated is not None
        if n_ref is None:
            assert self.reference is not None
            n_ref = len(self.reference.features)
        return Figure(
            name=name,
            value=value,
            spread=spread,
            n_ref=n_ref,
            n_gen=self.samples,
            resize=inception.RESIZE,
            extra={**extra, "weights_sha256": self.generated.network.sha256},
        )


@dataclass
class _First:
    """Hands on the first `count` pictures."""

    count: int
    consumer: Consumer

    def add(self, pictures: Tensor) -> None:
        taken = pictures[: self.count]
        self.count -= len(taken)
        if len(taken):
            self.consumer.add(taken)


@dataclass
class _Counter:
    """Turns counts of single steps into the count of all."""

    report: Callable[[int], None]
    done: int = field(default=0)

    def __call__(self, pictures: int) -> None:
        self.done += pictures
        self.report(self.done)


# ---- the metrics ----


def _swd(gathered: Gathered) -> list[Figure]:
    assert gathered.patches is not None
    count, real, fake = gathered.patches
    levels = swd.sliced_wasserstein(real, fake, seed=gathered.seed, device=gathered.device)
    figure = Figure(
        name="swd",
        value=math.fsum(levels.values()) / len(levels),
        unit="×10⁻³",
        parts={f"{name} px": value for name, value in levels.items()},
        n_ref=count,
        n_gen=count,
        resize="none",
        extra={
            "patch": swd.PATCH,
            "patches_per_picture": real.per_picture,
            "projections": swd.PROJECTIONS,
        },
    )
    return [figure]


def _kid(gathered: Gathered) -> list[Figure]:
    value, spread, settings = inception.kernel_distance(*gathered.features(), seed=gathered.seed)
    return [gathered.inception_figure("kid", value, spread, **settings)]


def _fid(gathered: Gathered) -> list[Figure]:
    return [gathered.inception_figure("fid", inception.frechet_distance(*gathered.features()))]


def _precision_recall(gathered: Gathered) -> list[Figure]:
    values = inception.precision_recall(*gathered.features())
    return [
        gathered.inception_figure(name, value, neighbours=inception.NEIGHBOURS)
        for name, value in zip(("precision", "recall"), values)
    ]


def _inception_score(gathered: Gathered) -> list[Figure]:
    assert gathered.generated is not None
    value, spread, settings = inception.inception_score(gathered.generated.logits, seed=gathered.seed)
    return [gathered.inception_figure("is", value, spread, n_ref=0, **settings)]


def _path_length(gathered: Gathered) -> list[Figure]:
    assert gathered.generator is not None
    assert gathered.distance is not None
    value = path_length.path_length(
        gathered.generator,
        gathered.distance,
        gathered.samples,
        psi=gathered.psi,
        seed=gathered.seed,
        classes=gathered.classes,
        progress=gathered.progress,
    )
    extra = {"epsilon": path_length.EPSILON, "space": "W", "weights_sha256": gathered.distance.sha256}
    return [
        Figure(
            name="ppl", value=value, n_ref=0, n_gen=gathered.samples, resize=path_length.RESIZE, extra=extra
        )
    ]


METRICS: dict[str, Metric] = {
    "swd": Metric(figures=_swd),
    "kid": Metric(figures=_kid, weights=INCEPTION),
    "fid": Metric(figures=_fid, weights=INCEPTION),
    "pr": Metric(figures=_precision_recall, weights=INCEPTION, least=inception.NEIGHBOURS + 1),
    "is": Metric(figures=_inception_score, weights=INCEPTION, compares=False),
    "ppl": Metric(figures=_path_length, weights=VGG, compares=False),
}


# ---- checks ----


def check_request(
    metrics: Sequence[str] | None,
    *,
    samples: int | None = None,
    seed: int = 0,
    weights: str | os.PathLike[str] | None = None,
) -> None:
    """Refuses what can be refused before the data is read; see `Evaluator`."""
    unknown = [name for name in metrics or () if name not in METRICS]
    if unknown or (metrics is not None and not metrics):
        got = ", ".join(map(repr, unknown)) or "none"
        raise ConfigError(f"metrics: got {got}, expected some of {', '.join(METRICS)}")
    if samples is not None and samples < 2:
        raise ConfigError(f"samples: got {samples}, expected at least 2")
    if not 0 <= seed < 2**32 - 1:
        raise ConfigError(f"seed: got {seed}, expected a whole number from 0 to 2³² − 2")
    find_weights(INCEPTION, weights)


def _check_counts(name: str, images: int, samples: int) -> None:
    metric = METRICS[name]
    if metric.compares and images < metric.least:
        raise DataError(f"{name} needs at least {metric.least} pictures, the data has {images}")
    if samples < metric.least:
        raise ConfigError(f"samples: got {samples}, {name} needs at least {metric.least}")


def _reason_to_skip(metric: Metric, weights: str | os.PathLike[str] | None) -> str | None:
    if metric.weights is None:
        return None
    if metric.weights is INCEPTION and not inception.installed():
        return "torch-fidelity is not installed; pip install 'shoegen[metrics]'"
    return None if find_weights(metric.weights, weights) else metric.weights.missing


def _load(
    network: Callable[[Any], Any],
    published: PublishedWeights,
    weights: str | os.PathLike[str] | None,
    say: Callable[[str], None],
) -> Any:
    path = find_weights(published, weights)
    loaded = network(path)
    if not loaded.is_published:
        say(
            f"note: {path} is not the published {published.network} (its SHA-256 begins with {loaded.sha256[:8]}, "
            f"not {published.sha256}); its figures compare with one another only"
        )
    return loaded


def _print_note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
