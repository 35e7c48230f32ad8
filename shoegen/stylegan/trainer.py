"""One training: its networks, optimisers and counters (arXiv 1912.04958, 2006.06676)."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shoegen.data.images import image_grid, write_image
from shoegen.errors import ConfigError
from shoegen.stylegan.augment import AugmentControl, AugmentPipe
from shoegen.stylegan.config import TrainingConfig
from shoegen.stylegan.loss import generator_loss, loss_on_fake, loss_on_real, path_lengths, r1_penalty
from shoegen.stylegan.networks import Discriminator, Generator, NoiseMode
from shoegen.stylegan.transfer import TransferReport, transfer
from shoegen.stylegan.watch import Watch
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.draws import BatchDraws
from shoegen.torch_utils.pixels import as_rgb, from_pixels, to_pixels
from shoegen.torch_utils.run_folder import RunFolder
from shoegen.torch_utils.training import Learner, moving_average
from shoegen.torch_utils.updates import SafeUpdates

KIND = "stylegan"
MODEL_FILE = "generator.safetensors"
BEST_FILE = "best.safetensors"
SAMPLES = 32
Evaluate = Callable[[Generator], dict[str, float]]
"""Quality figures of a generator; the first is the one whose least value counts as best."""
_ADVICE = (
    "start anew with a lower --lr or a higher --gamma, perhaps with --init-from the last checkpoint, which is from "
    "before"
)


@dataclass(frozen=True)
class Pass:
    """Images that go through the networks together.

    Attributes:
        rows: which of the batch's images they are; whole groups of the minibatch deviation, in its order.
        place: which of the images that this process gets.
    """

    rows: list[int]
    place: slice


def divide_batch(config: TrainingConfig, world: World) -> list[Pass]:
    """The passes that make up one process's share of the batch.

    Image i belongs to the deviation group i mod (batch / group): a pass takes every image of its groups, so that a
    batch gives the same gradients however it is divided.
    """
    count = config.check_batch(world.size)
    groups = config.batch // min(config.discriminator.mbstd_group, config.batch)
    per_pass = groups * count // config.batch
    passes = config.batch // count // world.size
    result = []
    for i in range(passes):
        first = (world.rank * passes + i) * per_pass
        rows = [row for row in range(config.batch) if first <= row % groups < first + per_pass]
        result.append(Pass(rows, slice(i * count, (i + 1) * count)))
    return result


class Trainer(Learner):
    """The networks, optimisers and counters of a run; `train_step` shows the mathematics. See `Learner` too.

    Args:
        config, device, world: as there.
        class_counts: pictures of each class.
        evaluate: measures the averaged generator, in the first process.
    """

    KIND, MODEL_FILE, UNIT = KIND, MODEL_FILE, ("kimg", 1000)
    STATEFUL = (
        "generator",
        "discriminator",
        "generator_ema",
        "generator_adam",
        "discriminator_adam",
        "augment_control",
    )
    PLAIN = (*Learner.PLAIN, "path_length_mean", "best")

    config: TrainingConfig

    def __init__(
        self,
        config: TrainingConfig,
        device: torch.device,
        world: World | None = None,
        *,
        class_counts: Sequence[int] = (),
        evaluate: Evaluate | None = None,
    ) -> None:
        super().__init__(config, device, world)
        self.class_counts = list(class_counts)
        self.measure, self.keep = evaluate, config.keep
        self.best: dict[str, Any] | None = None  # evaluation: metric, value, images
        self.watch = Watch(config.augment)
        self.generator = self._place(Generator(config.generator))
        self.discriminator = self._place(Discriminator(config.discriminator))
        if config.precision != "float32":
            half = getattr(torch, config.precision)
            self.generator.synthesis.half_dtype = self.discriminator.half_dtype = half
        self.generator_ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.generator_adam = _lazy_adam(self.generator, config.learning_rate, config.path_length_interval)
        self.discriminator_adam = _lazy_adam(self.discriminator, config.learning_rate, config.r1_interval)
        self.updates = [
            SafeUpdates(self.generator, self.generator_adam, self.world, name="generator", advice=_ADVICE),
            SafeUpdates(
                self.discriminator, self.discriminator_adam, self.world, name="discriminator", advice=_ADVICE
            ),
        ]
        self._frozen = {
            id(each)
            for layer in _first_layers(self.discriminator, config.freeze_d)
            for each in layer.parameters()
        }
        pipe = AugmentPipe(config.augment.pipe).to(device)
        self.augment = pipe if config.augment.mode != "none" else None
        if self.augment:
            self.augment.p = config.augment.p
        self.augment_control = AugmentControl(config.augment)
        self.noise_mode: NoiseMode = "random" if config.noise else "none"
        self.path_length_mean = torch.zeros([], device=device)

    def divide_batch(self) -> list[int]:
        self.passes = divide_batch(self.config, self.world)
        return [row for each in self.passes for row in each.rows]

    def _place(self, network: Any) -> Any:
        # channels_last: what convolutions are fastest in, on CPU and on tensor cores.
        layout = torch.channels_last if self.config.channels_last else torch.contiguous_format
        return network.to(self.device).to(memory_format=layout)

    # ---- one step ----

    def learn(self, batch: tuple[np.ndarray, np.ndarray | None]) -> None:
        images, classes = batch
        real = from_pixels(torch.from_numpy(images).to(self.device))
        c = None
        if classes is not None:
            c = F.one_hot(torch.from_numpy(classes), self.config.generator.c_dim).float().to(self.device)
        self.train_step(real, c)

    def train_step(self, real: Tensor, c: Tensor | None = None) -> None:
        """One batch of real images: both networks learn, the average follows.

        Args:
            real: (n, channels, H, W) in [−1, 1], this process's images, in the order of `passes`.
            c: (n, c_dim) their one-hot classes, for conditional training.
        """
        config = self.config
        share = 1 / len(self.passes)

        # Generator: make fakes that pass for real.
        with self._update(self.generator):
            w_means = []
            for rows, images_c in self._divide(c):
                draws = self._draws("generator", rows)
                ws = self._mixed_ws(draws, len(rows), images_c)
                w_means.append(ws[:, 0].detach().mean(dim=0))
                fake_logits = self._discriminate(self._synthesize(ws, draws), images_c, draws)
                loss = generator_loss(fake_logits)
                (loss * share).backward()
                self.means.add("loss_g", loss)
                del ws, fake_logits, loss  # so that the next pass finds their memory free
        w_mean = self.world.add(torch.stack(w_means).mean(dim=0)) / self.world.size
        self.generator.mapping.track(w_mean[None])

        # Generator, now and then: a step in W should move the image by a constant length.
        if config.path_length_weight and self.steps % config.path_length_interval == 0:
            self._path_length_step()

        # Discriminator: tell real from fake.
        signs = torch.zeros([], device=self.device)
        with self._update(self.discriminator):
            for i, (rows, images_c) in enumerate(self._divide(c)):
                draws = self._draws("discriminator", rows)
                with torch.no_grad():
                    fake = self._synthesize(self._mixed_ws(draws, len(rows), images_c), draws)
                # One after the other: the gradients add up, and half the memory does.
                on_fake = loss_on_fake(self._discriminate(fake, images_c, draws))
                (on_fake * share).backward()
                logits = self._discriminate(real[self.passes[i].place], images_c, draws)
                on_real = loss_on_real(logits)
                (on_real * share).backward()
                signs += logits.detach().sign().sum()
                self.means.add("loss_d", on_real + on_fake)
                self.means.add("r_t", logits.sign())
                del fake, logits, on_fake, on_real
        self.augment_control.observe(self.world.add(signs), config.batch)

        # Discriminator, now and then: be flat around real images.
        if config.r1_gamma and self.steps % config.r1_interval == 0:
            with self._update(self.discriminator):
                for i, (rows, images_c) in enumerate(self._divide(c)):
                    images = real[self.passes[i].place].detach().requires_grad_()
                    logits = self._discriminate(images, images_c, self._draws("r1", rows))
                    penalty = r1_penalty(logits, images).mean()
                    (penalty * (config.r1_gamma / 2) * config.r1_interval * share).backward()
                    self.means.add("r1_penalty", penalty)
                    del images, logits, penalty

        self.count_step()
        half_life = config.ema_kimg * 1000
        moving_average(
            self.generator_ema,
            self.generator,
            self.images,
            half_life,
            batch=config.batch,
            ramp=config.ema_rampup,
        )
        if self.augment:
            self.augment.p = self.augment_control.adjust(self.steps, config.batch)

    def _path_length_step(self) -> None:
        """Takes fewer images than the batch has.

        Lengths are compared with the mean of the steps before, which does not depend on how the batch is divided; the
        published code moves the mean first, by a hundredth of the difference.
        """
        config = self.config
        whole = max(config.batch // config.path_length_batch_shrink, 1)
        weight = config.path_length_weight * config.path_length_interval * self.world.size / whole
        with self._update(self.generator):
            total = torch.zeros_like(self.path_length_mean)
            for index in range(len(self.passes)):
                rows = _part(
                    whole, self.world.rank * len(self.passes) + index, self.world.size * len(self.passes)
                )
                count = len(rows)
                if not count:
                    continue
                draws = self._draws("path length", rows, whole)
                c = self._random_classes(draws, count)
                ws = self.generator.broadcast(self.generator.mapping(self._latents(draws, count), c))
                images = self._synthesize(ws, draws)
                noise = draws.normal("direction", tuple(images.shape), 1.0)
                noise = noise / math.sqrt(images.shape[2] * images.shape[3])
                lengths = path_lengths(images, ws, noise)
                penalties = (lengths - self.path_length_mean).square()
                (penalties.sum() * weight).backward()
                total += lengths.detach().sum()
                self.means.add("path_length_penalty", penalties)
                del ws, images, lengths, penalties
        mean = self.world.add(total) / whole
        if mean.isfinite():
            self.path_length_mean = self.path_length_mean.lerp(mean, config.path_length_decay)
        self.means.add("path_length", self.path_length_mean)

    def _divide(self, c: Tensor | None) -> Iterator[tuple[list[int], Tensor | None]]:
        """Rows and classes of each pass."""
        for each in self.passes:
            yield each.rows, None if c is None else c[each.place]

    def _draws(self, what_for: str, rows: list[int], total: int | None = None) -> BatchDraws:
        return self.draws(what_for, self.path_length_mean.dtype, rows, total)

    def _latents(self, draws: BatchDraws, count: int) -> Tensor:
        return draws.normal("z", (count, self.config.generator.z_dim), 1.0)

    def _random_classes(self, draws: BatchDraws, count: int) -> Tensor | None:
        """As frequent as in the data."""
        classes = self.config.generator.c_dim
        if not classes:
            return None
        shares = torch.tensor(self.class_counts or [1] * classes, dtype=torch.float64).cumsum(dim=0)
        places = draws.uniform("class", (count,), 0, 1).double().cpu() * shares[-1]
        picked = torch.searchsorted(shares, places, right=True).clamp(max=classes - 1)
        return F.one_hot(picked, classes).to(self.device, draws.dtype)

    def _mixed_ws(self, draws: BatchDraws, count: int, c: Tensor | None) -> Tensor:
        """ws of random latents; some change to those of a second latent at a random layer (style mixing)."""
        generator = self.generator
        ws = generator.broadcast(generator.mapping(self._latents(draws, count), c))
        if self.config.style_mixing:
            second = generator.broadcast(generator.mapping(self._latents(draws, count), c))
            layers = torch.arange(generator.num_ws, device=self.device)
            start = draws.uniform("mixed from", (count,), 1, generator.num_ws).floor()
            is_mixed = draws.gate("is mixed", (count,), self.config.style_mixing).bool()
            ws = torch.where((is_mixed[:, None] & (layers >= start[:, None]))[:, :, None], second, ws)
        return ws

    def _synthesize(self, ws: Tensor, draws: BatchDraws) -> Tensor:
        def noise(height: int, width: int) -> Tensor:
            return draws.normal("noise", (len(ws), 1, height, width), 1.0)

        return self.generator.synthesis(ws, noise_mode=self.noise_mode, draw_noise=noise)

    def _discriminate(self, images: Tensor, c: Tensor | None, draws: BatchDraws) -> Tensor:
        return self.discriminator(self.augment(images, draws) if self.augment else images, c)

    @contextlib.contextmanager
    def _update(self, network: nn.Module) -> Iterator[None]:
        """Within, losses are computed and their gradients summed up; then all processes take the network's step."""
        self.generator.requires_grad_(network is self.generator)
        for parameter in self.discriminator.parameters():
            parameter.requires_grad_(network is self.discriminator and id(parameter) not in self._frozen)
        updates = self.updates[network is self.discriminator]
        updates.optimizer.zero_grad(set_to_none=True)
        yield
        updates.apply()

    # ---- what the loop asks for ----

    def figures(self) -> dict[str, float]:
        return {**super().figures(), "augment_p": self.augment_control.p}

    def describe(self, figures: dict[str, float]) -> str:
        def value(name: str, form: str) -> str:
            return format(figures[name], form) if name in figures else "not finite"

        return (
            f"G {value('loss_g', '.3f')}  D {value('loss_d', '.3f')}  r_t {value('r_t', '+.2f')}  "
            f"p {self.augment_control.p:.3f}"
        )

    def advise(self, figures: dict[str, float]) -> Iterator[str]:
        return self.watch.advice(figures)

    def explain_memory(self) -> contextlib.AbstractContextManager[None]:
        from shoegen.stylegan.fitting import explain_memory  # which makes trainers itself

        return explain_memory(self)

    def explain_size(self) -> str:
        return f"with {len(self.passes[0].rows)} images in one pass"

    def begin(self, data: Any, run: RunFolder) -> None:
        dataset = data.dataset
        first = np.stack([dataset[i] for i in range(min(SAMPLES, len(dataset)))])
        _write_samples(run, "reals", from_pixels(torch.from_numpy(first)))

    def evaluate(self, data: Any, run: RunFolder | None) -> Iterator[str]:
        """Logs the figures of the averaged generator and keeps it if it is the best so far; lines to show."""
        if run is None or self.measure is None:
            return
        figures = self.measure(self.generator_ema)
        run.log(self.images, figures)
        yield "  ".join(f"{name} {value:.5g}" for name, value in figures.items())
        yield from self.watch.advice(figures)
        metric, value = next(iter(figures.items()))
        if self.best is None or self.best["metric"] != metric or value < self.best["value"]:
            self.best = {"metric": metric, "value": value, "images": self.images}
            self._save_generator(run, BEST_FILE, {"best": self.best})

    def save(self, run: RunFolder) -> None:
        config = self.config.generator
        z = torch.randn(SAMPLES, config.z_dim, generator=torch.Generator().manual_seed(0)).to(self.device)
        c = F.one_hot(torch.arange(SAMPLES) % config.c_dim, config.c_dim).to(z) if config.c_dim else None
        with torch.no_grad():
            images = [
                self.generator_ema(z[i : i + 8], None if c is None else c[i : i + 8])
                for i in range(0, SAMPLES, 8)
            ]
        _write_samples(run, f"{self.images:09d}", torch.cat(images))
        self._save_generator(run, MODEL_FILE, {})

    def _save_generator(self, run: RunFolder, name: str, notes: dict[str, Any]) -> None:
        notes = {"kimg": self.images / 1000, "training": self.config.to_dict(), **notes}
        self.generator_ema.save(run.path / name, notes=notes)

    def kept(self) -> set[int]:
        return {self.best["images"]} if self.best else set()

    # ---- state ----

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "config": self.config.to_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        config = self.config
        self.path_length_mean = self.path_length_mean.to(self.device)
        # The configuration rules, should somebody have changed it since.
        for adam, fresh in [
            (
                self.generator_adam,
                _lazy_adam(self.generator, config.learning_rate, config.path_length_interval),
            ),
            (
                self.discriminator_adam,
                _lazy_adam(self.discriminator, config.learning_rate, config.r1_interval),
            ),
        ]:
            adam.param_groups[0].update({name: fresh.defaults[name] for name in ("lr", "betas")})
        if self.augment:
            self.augment.p = self.augment_control.p

    def init_from(self, state: dict[str, Any], *, allow_partial: bool = False) -> TransferReport:
        """Takes the weights of another model, see `transfer`."""
        report = transfer(state, self.generator, self.discriminator, allow_partial=allow_partial)
        if not self.config.noise:
            for name, parameter in self.generator.named_parameters():
                if name.endswith("noise_strength"):
                    nn.init.zeros_(parameter)
        self.generator_ema.load_state_dict(self.generator.state_dict())
        return report


def _write_samples(run: RunFolder, name: str, images: Tensor) -> None:
    write_image(run.path / "samples" / f"{name}.png", image_grid(to_pixels(as_rgb(images)), columns=8))


def _part(total: int, index: int, parts: int) -> list[int]:
    """Those of 0 … total − 1 that the part gets; all parts differ by one at most."""
    return list(range(index * total // parts, (index + 1) * total // parts))


def _first_layers(discriminator: Discriminator, count: int) -> list[nn.Module]:
    """The convolutions nearest to the picture."""
    layers = [
        layer
        for block in discriminator.blocks
        for name in ("fromrgb", "conv0", "conv1", "skip")
        if (layer := getattr(block, name, None)) is not None
    ]
    if count > len(layers):
        raise ConfigError(
            f"--freeze-d: got {count}, expected at most the {len(layers)} layers of the discriminator"
        )
    return layers[:count]


def _lazy_adam(network: nn.Module, learning_rate: float, interval: int) -> torch.optim.Adam:
    """Adam whose pace is right although every `interval`-th batch takes one more step (1912.04958, appendix B)."""
    ratio = interval / (interval + 1)
    return torch.optim.Adam(
        network.parameters(), lr=learning_rate * ratio, betas=(0.0, 0.99**ratio), eps=1e-8
    )
