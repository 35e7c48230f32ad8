"""Training StyleGAN2-ADA (arXiv 1912.04958, 2006.06676) on one device."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoegen.data.datasets import ImageDataset, infinite_indices
from shoegen.data.images import image_grid, write_image
from shoegen.errors import ConfigError, FileFormatError, TrainingError
from shoegen.stylegan.augment import AugmentControl, AugmentPipe
from shoegen.stylegan.config import TrainingConfig
from shoegen.stylegan.loss import discriminator_loss, generator_loss, path_lengths, r1_penalty
from shoegen.stylegan.networks import Discriminator, Generator, NoiseMode
from shoegen.stylegan.transfer import TransferReport, transfer
from shoegen.torch_utils.checkpoints import load_checkpoint
from shoegen.torch_utils.devices import pick_device
from shoegen.torch_utils.memory import keep_freed_memory, peak_memory_gb
from shoegen.torch_utils.pixels import from_pixels, to_pixels
from shoegen.torch_utils.progress import LiveProgress
from shoegen.torch_utils.run_folder import RunFolder
from shoegen.torch_utils.seeds import rng_state, set_rng_state
from shoegen.torch_utils.statistics import RunningMeans

KIND = "stylegan"
MODEL_FILE = "generator.safetensors"
REPORT_SECONDS = 10.0
_ADVICE = (
    "start anew with a lower --lr or a higher --gamma, perhaps with --init-from the last checkpoint, "
    "which is from before"
)
SAMPLES = 32


class Trainer:
    """The networks, optimisers and counters of a run; `train_step` shows the mathematics.

    Args:
        config: the run's configuration.
        device: where to train.
    """

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = device
        # channels_last: what convolutions are fastest in, on CPU and on tensor cores.
        self.generator = Generator(config.generator).to(device).to(memory_format=torch.channels_last)
        self.discriminator = (
            Discriminator(config.discriminator).to(device).to(memory_format=torch.channels_last)
        )
        self.generator_ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.generator_adam = _lazy_adam(self.generator, config.learning_rate, config.path_length_interval)
        self.discriminator_adam = _lazy_adam(self.discriminator, config.learning_rate, config.r1_interval)
        self.augment = AugmentPipe(config.augment.pipe).to(device) if config.augment.mode != "none" else None
        if self.augment:
            self.augment.p = config.augment.p
        self.augment_control = AugmentControl(config.augment)
        self.noise_mode: NoiseMode = "random" if config.noise else "none"
        self.path_length_mean = torch.zeros([], device=device)
        self.means = RunningMeans()
        self.steps = 0
        self.images = 0

    # ---- one step ----

    def train_step(self, real: Tensor) -> None:
        """One batch (N, 3, R, R) of real images in [−1, 1]: both networks learn, the average follows."""
        config = self.config

        # Generator: make fakes that pass for real.
        self._train_only(self.generator)
        fake_logits = self._discriminate(self._generate(config.batch))
        loss = generator_loss(fake_logits)
        self._update(self.generator_adam, loss)
        self.means.add("loss_g", loss)

        # Generator, now and then: a step in W should move the image by a constant length.
        if config.path_length_weight and self.steps % config.path_length_interval == 0:
            penalty = self._path_length_penalty(max(config.batch // config.path_length_batch_shrink, 1))
            self._update(
                self.generator_adam, penalty * config.path_length_weight * config.path_length_interval
            )
            self.means.add("path_length_penalty", penalty)
            self.means.add("path_length", self.path_length_mean)

        # Discriminator: tell real from fake.
        self._train_only(self.discriminator)
        with torch.no_grad():
            fake = self._generate(config.batch)
        real_logits = self._discriminate(real)
        loss = discriminator_loss(real_logits, self._discriminate(fake))
        self._update(self.discriminator_adam, loss)
        self.augment_control.observe(real_logits.detach())
        self.means.add("loss_d", loss)
        self.means.add("r_t", real_logits.detach().sign())

        # Discriminator, now and then: be flat around real images.
        if config.r1_gamma and self.steps % config.r1_interval == 0:
            real = real.detach().requires_grad_()
            penalty = r1_penalty(self._discriminate(real), real).mean()
            self._update(self.discriminator_adam, penalty * (config.r1_gamma / 2) * config.r1_interval)
            self.means.add("r1_penalty", penalty)

        self.images += config.batch
        self.steps += 1
        self._average_weights()
        if self.augment:
            self.augment.p = self.augment_control.adjust(self.steps, config.batch)

    def _generate(self, count: int) -> Tensor:
        """Images of random latents, styles mixed; moves the running mean of W along."""
        generator = self.generator
        w = generator.mapping(self._latents(count))
        if torch.is_grad_enabled():
            generator.mapping.track(w.detach())
        ws = generator.broadcast(w)
        if self.config.style_mixing and torch.rand([]) < self.config.style_mixing:
            cutoff = int(torch.randint(1, generator.num_ws, []))
            mixed = generator.broadcast(generator.mapping(self._latents(count)))
            ws = torch.cat([ws[:, :cutoff], mixed[:, cutoff:]], dim=1)
        return generator.synthesis(ws, noise_mode=self.noise_mode)

    def _discriminate(self, images: Tensor) -> Tensor:
        return self.discriminator(self.augment(images) if self.augment else images)

    def _path_length_penalty(self, count: int) -> Tensor:
        ws = self.generator.broadcast(self.generator.mapping(self._latents(count)))
        images = self.generator.synthesis(ws, noise_mode=self.noise_mode)
        noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
        lengths = path_lengths(images, ws, noise)
        self.path_length_mean = self.path_length_mean.lerp(
            lengths.detach().mean(), self.config.path_length_decay
        )
        return (lengths - self.path_length_mean).square().mean()

    def _latents(self, count: int) -> Tensor:
        return torch.randn(count, self.config.generator.z_dim, device=self.device)

    def _train_only(self, network: nn.Module) -> None:
        self.generator.requires_grad_(network is self.generator)
        self.discriminator.requires_grad_(network is self.discriminator)

    @staticmethod
    def _update(adam: torch.optim.Adam, loss: Tensor) -> None:
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()

    @torch.no_grad()
    def _average_weights(self) -> None:
        half_life = self.config.ema_kimg * 1000
        if self.config.ema_rampup is not None:
            half_life = min(half_life, self.images * self.config.ema_rampup)
        beta = 0.5 ** (self.config.batch / max(half_life, 1e-8))
        for average, parameter in zip(
            self.generator_ema.parameters(), self.generator.parameters(), strict=True
        ):
            average.lerp_(parameter, 1 - beta)
        for kept, buffer in zip(self.generator_ema.buffers(), self.generator.buffers(), strict=True):
            kept.copy_(buffer)

    # ---- state ----

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, save the data."""
        return {
            "kind": KIND,
            "config": self.config.to_dict(),
            "steps": self.steps,
            "images": self.images,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "generator_ema": self.generator_ema.state_dict(),
            "generator_adam": self.generator_adam.state_dict(),
            "discriminator_adam": self.discriminator_adam.state_dict(),
            "path_length_mean": self.path_length_mean,
            "augment_control": self.augment_control.state_dict(),
            "rng": rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            FileFormatError: the state of another kind of training or of other networks.
        """
        if state.get("kind") != KIND:
            raise FileFormatError(f"got the state of a {state.get('kind')!r} training, expected {KIND!r}")
        try:
            for name in (
                "generator",
                "discriminator",
                "generator_ema",
                "generator_adam",
                "discriminator_adam",
            ):
                getattr(self, name).load_state_dict(state[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise FileFormatError("the checkpoint is of other networks than this configuration's") from error
        self.steps, self.images = state["steps"], state["images"]
        self.path_length_mean = state["path_length_mean"].to(self.device)
        self.augment_control.load_state_dict(state["augment_control"])
        if self.augment:
            self.augment.p = self.augment_control.p
        set_rng_state(state["rng"])

    def init_from(self, state: dict[str, Any]) -> TransferReport:
        """Takes the weights of another run's checkpoint, see `transfer`."""
        if state.get("kind") != KIND:
            raise FileFormatError(f"got the state of a {state.get('kind')!r} training, expected {KIND!r}")
        report = transfer(state, self.generator, self.discriminator)
        if not self.config.noise:
            for name, parameter in self.generator.named_parameters():
                if name.endswith("noise_strength"):
                    nn.init.zeros_(parameter)
        self.generator_ema.load_state_dict(self.generator.state_dict())
        return report


def train(
    config: TrainingConfig,
    out: str | Path,
    *,
    kimg: float,
    snapshot_kimg: float = 4.0,
    device: str = "auto",
) -> Path:
    """Trains a generator in a new run folder until `kimg` thousands of real images have been shown.

    Every `snapshot_kimg`, and at the end, the folder gets a checkpoint, a sample grid (`samples/000012.png`:
    thousands of images) and `generator.safetensors`, whose path is returned.

    Args:
        config: what to train on what; presets are in `shoegen.stylegan.config.PRESETS`.
        out: the run folder.
        kimg: thousands of images.
        snapshot_kimg: thousands of images between two snapshots.
        device: auto, cpu or cuda.

    Raises:
        ConfigError, DataError, FileFormatError, OutputError: before the training starts.
        TrainingError: a loss is NaN or infinite; the last checkpoint is from before.
    """
    _check_lengths(kimg, snapshot_kimg, shown=0)
    trainer = Trainer(config, pick_device(device))
    data = _open_data(config)
    report = _init(trainer)
    with RunFolder.create(out, config.to_dict(), kind=KIND) as run:
        return _train(trainer, data, run, kimg, snapshot_kimg, report)


def resume(out: str | Path, *, kimg: float, snapshot_kimg: float = 4.0, device: str = "auto") -> Path:
    """Goes on with the run in `out` from its newest checkpoint, on CPU bit for bit as if it had not stopped.

    Raises: as `train`.
    """
    with RunFolder.resume(out, kind=KIND) as run:
        config = TrainingConfig.from_dict(run.config)
        trainer = Trainer(config, pick_device(device))
        data = _open_data(config)
        report = None
        if run.state:
            trainer.load_state_dict(run.state)
        else:
            report = _init(trainer)
        _check_lengths(kimg, snapshot_kimg, shown=trainer.images / 1000)
        return _train(trainer, data, run, kimg, snapshot_kimg, report)


def _init(trainer: Trainer) -> TransferReport | None:
    path = trainer.config.init_from
    return trainer.init_from(load_checkpoint(path)) if path else None


def _check_lengths(kimg: float, snapshot_kimg: float, *, shown: float) -> None:
    if not shown < kimg < math.inf or not snapshot_kimg > 0:
        raise ConfigError(
            f"--kimg {kimg:g}, --snapshot-kimg {snapshot_kimg:g}: expected more than the {shown:g} kimg that the run "
            "has shown, and snapshots more than 0 apart"
        )


def _open_data(config: TrainingConfig) -> ImageDataset:
    return ImageDataset(
        config.data,
        resolution=config.generator.resolution,
        fit=config.fit,
        skip_bad=config.skip_bad,
        mirror=config.mirror,
    )


def _train(
    trainer: Trainer,
    data: ImageDataset,
    run: RunFolder,
    kimg: float,
    snapshot_kimg: float,
    transferred: TransferReport | None,
) -> Path:
    config, total, snapshot = trainer.config, kimg * 1000, snapshot_kimg * 1000
    keep_freed_memory()
    with LiveProgress("training", kimg, unit="kimg", done=trainer.images / 1000) as progress:
        for note in data.notes:
            progress.message(f"note: {note}")
        if transferred is not None:
            progress.message(f"{config.init_from}: {transferred}")
        progress.message(
            f"{len(data)} pictures at {config.generator.resolution} px, batch {config.batch}, on {trainer.device}"
        )
        if trainer.images == 0:
            first = [data[i].transpose(1, 2, 0) for i in range(min(SAMPLES, len(data)))]
            _write_samples(run, "reals", np.stack(first))
        reported, reported_images = time.monotonic(), trainer.images
        snapshots = trainer.images // snapshot
        for real in _batches(data, config, trainer.images, trainer.device):
            # Learn.
            trainer.train_step(real)
            done = trainer.images >= total

            # Report.
            elapsed = time.monotonic() - reported
            if done or elapsed >= REPORT_SECONDS:
                figures = _figures(trainer)
                figures["images_per_second"] = (trainer.images - reported_images) / elapsed
                run.log(trainer.images, figures)
                progress.update(trainer.images / 1000, _describe(figures))
                reported, reported_images = time.monotonic(), trainer.images

            # Save.
            if done or trainer.images // snapshot > snapshots:
                snapshots = trainer.images // snapshot
                _check_finite(trainer)
                _save(trainer, run)

            # Done?
            if done:
                break
    return run.path / MODEL_FILE


def _batches(
    data: ImageDataset, config: TrainingConfig, start: int, device: torch.device
) -> Iterator[Tensor]:
    """Endless batches (N, 3, R, R) in [−1, 1]; the next one is read while the present one is used."""
    indices = infinite_indices(len(data), config.seed, start)

    def read(batch: list[int]) -> np.ndarray:
        return np.stack([data[i] for i in batch])

    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(read, [next(indices) for _ in range(config.batch)])
        while True:
            images = following.result()
            following = reader.submit(read, [next(indices) for _ in range(config.batch)])
            yield from_pixels(torch.from_numpy(images).to(device))


def _figures(trainer: Trainer) -> dict[str, float]:
    """What happened since the last report."""
    _check_finite(trainer)
    figures = trainer.means.take()
    figures["augment_p"] = trainer.augment_control.p
    figures["peak_memory_gb"] = peak_memory_gb()
    return figures


def _check_finite(trainer: Trainer) -> None:
    bad = [name for name, value in trainer.means.peek().items() if not math.isfinite(value)]
    if bad:
        raise TrainingError(f"{', '.join(bad)} became NaN or infinite; {_ADVICE}")


def _describe(figures: dict[str, float]) -> str:
    return (
        f"{figures['images_per_second']:.1f} images/s  G {figures['loss_g']:.3f}  D {figures['loss_d']:.3f}  "
        f"r_t {figures['r_t']:+.2f}  p {figures['augment_p']:.3f}"
    )


def _save(trainer: Trainer, run: RunFolder) -> None:
    for name, parameter in trainer.generator.named_parameters():
        if not parameter.isfinite().all():
            raise TrainingError(f"the generator's {name} became NaN or infinite; {_ADVICE}")
    z = torch.randn(SAMPLES, trainer.config.generator.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        images = trainer.generator_ema(z.to(trainer.device))
    _write_samples(run, f"{trainer.images // 1000:06d}", to_pixels(images))
    notes = {"kimg": trainer.images / 1000, "training": trainer.config.to_dict()}
    trainer.generator_ema.save(run.path / MODEL_FILE, notes=notes)
    run.save_checkpoint(trainer.images, trainer.state_dict())  # last: once it is there, so is the rest


def _write_samples(run: RunFolder, name: str, images: np.ndarray) -> None:
    write_image(run.path / "samples" / f"{name}.png", image_grid(images, columns=8))


def _lazy_adam(network: nn.Module, learning_rate: float, interval: int) -> torch.optim.Adam:
    """Adam whose pace is right although every `interval`-th batch takes one more step (1912.04958, appendix B)."""
    ratio = interval / (interval + 1)
    return torch.optim.Adam(
        network.parameters(), lr=learning_rate * ratio, betas=(0.0, 0.99**ratio), eps=1e-8
    )
