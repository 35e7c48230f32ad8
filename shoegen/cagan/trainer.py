"""One training: both networks, their optimisers, and the average of the generator."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoegen.cagan.config import TrainingConfig
from shoegen.cagan.data import CaganData, Triples
from shoegen.cagan.loss import cycle_loss, discriminator_loss, generator_loss, identity_loss, truth_loss
from shoegen.cagan.networks import Discriminator, Generator
from shoegen.cagan.swapping import KIND, MODEL_FILE, Swapper
from shoegen.data.images import image_grid, write_image
from shoegen.errors import ConfigError
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.pixels import from_pixels, to_pixels
from shoegen.torch_utils.run_folder import RunFolder
from shoegen.torch_utils.shared_batch import share_batch
from shoegen.torch_utils.text import describe_size
from shoegen.torch_utils.training import Learner, linear_decay, moving_average, set_learning_rate
from shoegen.torch_utils.updates import SafeUpdates

SAMPLES = 8  # rows of a sheet
EVALUATED = 256  # photographs at most
CHANGED = 0.05  # a pixel whose colour differs more, on [−1, 1], is another one


class CaganLearner(Learner):
    """See `Learner`; `train_step` shows the mathematics.

    Attributes:
        generator, discriminator: the networks.
        average: of the generator's weights over the last steps, which evaluations and files show; the generator's own
            where `ema` is 0.
    """

    KIND, MODEL_FILE = KIND, MODEL_FILE
    STATEFUL = ("generator", "discriminator", "average", "adam_g", "adam_d")

    config: TrainingConfig

    def __init__(self, config: TrainingConfig, device: torch.device, world: World | None = None) -> None:
        super().__init__(config, device, world)
        self.generator = self._place(Generator(config.model))
        self.discriminator = self._place(Discriminator(config.discriminator))
        share_batch(self.discriminator, self.world)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.adam_g, self.adam_d = (
            torch.optim.Adam(net.parameters(), lr=rate, betas=config.betas)
            for net, rate in (
                (self.generator, config.learning_rate_g),
                (self.discriminator, config.learning_rate_d),
            )
        )
        advice = "start anew with lower --lr-g and --lr-d, perhaps with --init-from the last file"
        self.updates = [
            SafeUpdates(net, adam, self.world, name=name, advice=advice)
            for net, adam, name in (
                (self.generator, self.adam_g, "generator"),
                (self.discriminator, self.adam_d, "discriminator"),
            )
        ]

    def _place(self, network: Any) -> Any:
        return network.to(self.device).to(memory_format=torch.channels_last)

    # ---- one step ----

    def learn(self, batch: Triples) -> None:
        photo, worn, other = (self._pictures(each) for each in (batch.photo, batch.worn, batch.other))
        truth = known = None
        if batch.truth is not None and batch.known is not None:
            truth, known = self._pictures(batch.truth), torch.from_numpy(batch.known).to(self.device)
        if self.config.flip:
            flipped = (
                self.draws("flip").gate("flip", (len(photo),), self.config.flip).bool()[:, None, None, None]
            )
            photo, worn, other = (torch.where(flipped, each.flip(3), each) for each in (photo, worn, other))
            truth = truth if truth is None else torch.where(flipped, truth.flip(3), truth)
        self.train_step(photo, worn, other, truth, known)

    def train_step(
        self,
        photo: Tensor,
        worn: Tensor,
        other: Tensor,
        truth: Tensor | None = None,
        known: Tensor | None = None,
    ) -> None:
        """One batch: both networks learn, the average follows.

        Args:
            photo, worn, other: x_i, y_i, y_j: (n, 3, H, W) in [−1, 1], this process's rows of the batch.
            truth, known: as in `truth_loss`, where its weight is above 0.
        """
        config = self.config
        rate = linear_decay(self.images, config.images, after=1 - config.decay) if config.decay else 1.0
        set_learning_rate(self.adam_g, config.learning_rate_g * rate)
        set_learning_rate(self.adam_d, config.learning_rate_d * rate)
        swapped = self.generator(photo, worn, other)

        # Discriminator: tell a photo of its article from what is made, and from a photo of another one.
        self.discriminator.requires_grad_(True)
        self.adam_d.zero_grad(set_to_none=True)
        loss_d = discriminator_loss(
            self.discriminator(photo, worn),
            self.discriminator(swapped.result.detach(), other),
            self.discriminator(photo, other),
            config.gan_loss,
        )
        loss_d.backward()
        self.updates[1].apply()
        self.means.add("loss_d", loss_d)

        # Generator: pass for real, change little, and be able to go back.
        self.discriminator.requires_grad_(False)
        self.adam_g.zero_grad(set_to_none=True)
        back = self.generator(swapped.result, other, worn)
        terms = {
            "gan": (generator_loss(self.discriminator(swapped.result, other), config.gan_loss), 1.0),
            "identity": (identity_loss(swapped.alpha), config.identity),
            "cycle": (cycle_loss(photo, back.result), config.cycle),
        }
        if config.truth and truth is not None and known is not None:
            terms["truth"] = (truth_loss(swapped.result, truth, known), config.truth)
        loss_g = torch.stack([value * weight for value, weight in terms.values()]).sum()
        loss_g.backward()
        self.updates[0].apply()
        self.means.add("loss_g", loss_g)
        for name, (value, _) in terms.items():
            self.means.add(f"loss_{name}", value)

        self.count_step()
        moving_average(self.average, self.generator, self.images, config.ema, batch=config.batch)

    def _pictures(self, pixels: np.ndarray) -> Tensor:
        pictures = from_pixels(torch.from_numpy(pixels).to(self.device))
        return pictures.contiguous(memory_format=torch.channels_last)

    # ---- reports ----

    def is_due(self, every: int) -> bool:
        """Also after the iterations whose sheets are asked for: report, evaluation and checkpoint come together."""
        return super().is_due(every) or self.steps in self.config.sheets_at

    def describe(self, figures: dict[str, float]) -> str:
        if "loss_g" not in figures or "loss_d" not in figures:
            return "loss not finite"
        terms = ", ".join(
            f"{name.removeprefix('loss_')} {value:.3f}"
            for name, value in figures.items()
            if name.startswith("loss_") and name not in ("loss_g", "loss_d")
        )
        return f"loss G {figures['loss_g']:.3f} ({terms}), D {figures['loss_d']:.3f}"

    def explain_size(self) -> str:
        return f"with {len(self.rows)} pictures of {describe_size(self.config.model.size)}"

    def evaluate(self, data: CaganData, run: RunFolder | None) -> Iterator[str]:
        """Figures and a sheet of the average on triples that are held out."""
        figures = self.validate(data)
        if run is None:
            return
        run.log(self.images, {f"val/{name}": value for name, value in figures.items()})
        write_image(run.path / "samples" / f"{self.images:09d}.png", self.draw_samples(data))
        listed = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in figures.items())
        yield f"validation at {self.images} images, iteration {self.steps}: {listed}"

    @torch.no_grad()
    def validate(self, data: CaganData) -> dict[str, float]:
        """Means over the pictures held out, of all processes.

        mask: of α. cycle: as in the loss. Where the true picture of the swap is known, also, over the pixels in which
        it is another than the photo: truth, the distance |result − truth| on [−1, 1], and photo, that of the photo left
        alone; and kept, the PSNR in dB of the result to the photo over all others.
        """
        sums: dict[str, Tensor] = {
            name: torch.zeros(2, dtype=torch.float64, device=self.device)
            for name in ("mask", "cycle", "truth", "photo", "kept")
        }

        def add(name: str, values: Tensor, weights: Tensor) -> None:
            sums[name] += torch.stack([(values * weights).double().sum(), weights.double().sum()])

        for batch in data.validation(len(self.rows), EVALUATED):
            photo, worn, other = (self._pictures(each) for each in (batch.photo, batch.worn, batch.other))
            swapped = self.average(photo, worn, other)
            back = self.average(swapped.result, other, worn).result
            everywhere = torch.ones_like(swapped.alpha)
            add("mask", swapped.alpha, everywhere)
            add("cycle", (photo - back).abs().mean(1, keepdim=True), everywhere)
            if batch.truth is None or batch.known is None or not batch.known.any():
                continue
            truth, known = self._pictures(batch.truth), torch.from_numpy(batch.known).to(self.device)
            differs = ((photo - truth).abs().amax(1, keepdim=True) > CHANGED).float()
            known = known[:, None, None, None]
            add("truth", (swapped.result - truth).abs().mean(1, keepdim=True), differs * known)
            add("photo", (photo - truth).abs().mean(1, keepdim=True), differs * known)
            add("kept", (swapped.result - photo).square().mean(1, keepdim=True) / 4, (1 - differs) * known)
        figures = {}
        for name, each in sums.items():
            total, weight = self.world.add(each).tolist()
            if weight:
                figures[name] = total / weight
        if "kept" in figures:
            figures["kept"] = float(-10 * np.log10(max(figures["kept"], 1e-10)))
        return figures

    @torch.no_grad()
    def draw_samples(self, data: CaganData) -> np.ndarray:
        """(H, W, 3) uint8: a row for each of some photos: itself, the article worn, the other, α, the result, the way
        back, and the truth, where it is known."""
        triples = data.samples(data.val[:SAMPLES])
        photo, worn, other = (self._pictures(each) for each in (triples.photo, triples.worn, triples.other))
        swapped = self.average(photo, worn, other)
        back = self.average(swapped.result, other, worn).result
        alpha = (swapped.alpha * 2 - 1).expand(-1, 3, -1, -1)
        columns = [to_pixels(each) for each in (photo, worn, other, alpha, swapped.result, back)]
        if triples.truth is not None and triples.known is not None and triples.known.any():
            truth = np.where(triples.known[:, None, None, None] > 0, triples.truth, 255)
            columns.append(truth.astype(np.uint8).transpose(0, 2, 3, 1))
        return image_grid([tile for row in zip(*columns, strict=True) for tile in row], columns=len(columns))

    # ---- files ----

    def save(self, run: RunFolder) -> None:
        self.swapper().save(run.path / self.MODEL_FILE)

    def swapper(self) -> Swapper:
        """A copy of the average as it stands."""
        return Swapper(copy.deepcopy(self.average))

    def init_from(self, start: Swapper) -> None:
        """Takes the weights of another generator.

        Raises:
            ConfigError: it is built in another way.
        """
        own, theirs = self.config.model, start.config
        for name in ("channels", "features", "attention", "head"):
            expected, got = getattr(own, name), getattr(theirs, name)
            if got != expected:
                raise ConfigError(
                    f"--init-from {self.config.init_from} is of another generator: got {name} {got}, expected "
                    f"{expected}; choose the --preset and --channels that it was trained with"
                )
        for net in (self.generator, self.average):
            net.load_state_dict(start.net.state_dict())


def count_parameters(net: nn.Module) -> int:
    return sum(each.numel() for each in net.parameters())
