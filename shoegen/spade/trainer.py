"""One training of a SPADE: its networks, optimisers and counters (arXiv 1903.07291)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import cached

from shoegen.data.images import image_grid, write_image
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.parts import PartSegmenter
from shoegen.spade.config import TrainingConfig
from shoegen.spade.data import Batch, SpadeData
from shoegen.spade.loss import draw_style, feature_matching, hinge_loss_d, hinge_loss_g, kl_divergence
from shoegen.spade.networks import (
    Discriminator,
    Generator,
    StyleEncoder,
    load_plain,
    measure_statistics,
    plain,
    plain_state,
    semantics,
)
from shoegen.spade.painting import BEST_FILE, KIND, MODEL_FILE, Painter
from shoegen.spade.perceptual import find_perceptual
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.pixels import from_pixels, to_pixels
from shoegen.torch_utils.run_folder import RunFolder
from shoegen.torch_utils.shared_batch import share_batch
from shoegen.torch_utils.training import Learner, linear_decay, newest_share, set_learning_rate
from shoegen.torch_utils.updates import SafeUpdates

SAMPLES = 8
MEASURED = 128
"""Pictures that the averaged generator's batch normalisation is measured on."""
_ADVICE = "start anew with lower --lr-g and --lr-d, perhaps with --init-from the best so far"


class Trainer(Learner):
    """The networks, optimisers and counters of a run; `train_step` shows the mathematics. See `Learner` too.

    Args:
        config: the run's configuration; its model has as many classes as `labels`.
        labels: what the part maps tell apart.
        device, world: see `Learner`.
        examples: pictures and part maps to measure the averaged generator's batch normalisation on.

    Attributes:
        networks: the "generator" and, where there are styles, the "encoder", which learn together.
        averages: both, averaged over the last steps and `plain`: what is used and kept.
        discriminator: the other side.
        best: of the evaluations: its "distance" and "images"; None before the first.
        note: which network the perceptual loss compares in.
    """

    KIND, MODEL_FILE = KIND, MODEL_FILE
    STATEFUL = ("networks", "averages", "discriminator", "adam_g", "adam_d")
    PLAIN = (*Learner.PLAIN, "best")

    config: TrainingConfig

    def __init__(
        self,
        config: TrainingConfig,
        labels: LabelMap,
        device: torch.device,
        world: World | None = None,
        *,
        examples: Batch,
    ) -> None:
        assert config.model.classes == len(labels)
        super().__init__(config, device, world)
        self.labels, self._examples = labels, examples
        networks: dict[str, nn.Module] = {"generator": Generator(config.model)}
        if config.model.z_dim is not None:
            networks["encoder"] = StyleEncoder(config.model)
        self.networks = nn.ModuleDict(networks).to(device)
        self.averages = nn.ModuleDict({name: plain(each) for name, each in self.networks.items()})  # type: ignore[type-var]
        self.discriminator = Discriminator(config.discriminator, config.model).to(device)
        share_batch(self.networks, self.world)
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), lr=rate, betas=(config.beta1, config.beta2))
            for network, rate in [
                (self.networks, config.learning_rate_g),
                (self.discriminator, config.learning_rate_d),
            ]
        )
        self.updates = [
            SafeUpdates(self.networks, self.adam_g, self.world, advice=_ADVICE),
            SafeUpdates(self.discriminator, self.adam_d, self.world, name="discriminator", advice=_ADVICE),
        ]
        perceptual, self.note = find_perceptual(config.perceptual_net if config.perceptual else "none")
        self.perceptual = None if perceptual is None else perceptual.to(device)
        self.segmenter = PartSegmenter.load(device=device) if labels.names == SHOE_PARTS.names else None
        self.best: dict[str, float] | None = None

    @property
    def generator(self) -> Generator:
        return cast(Generator, self.networks["generator"])

    @property
    def encoder(self) -> StyleEncoder | None:
        return _encoder_of(self.networks)

    # ---- one step ----

    def learn(self, batch: Batch) -> None:
        self.train_step(*self._to_device(batch))

    def train_step(self, real: Tensor, labels: Tensor, edges: Tensor | None = None) -> None:
        """One batch: generator and encoder learn, then the discriminator, then the averages follow.

        Args:
            real: (n, 3, H, W) in [−1, 1], this process's pictures.
            labels: (n, H, W) int64, their part maps.
            edges: (n, 1, H, W), 1 at the boundaries of instances, where the model has them.
        """
        config = self.config
        draws = self.draws("step", real.dtype)
        if config.flip:
            flipped = draws.gate("flip", (len(real),), 0.5).bool()
            real = torch.where(flipped[:, None, None, None], real.flip(3), real)
            labels = torch.where(flipped[:, None, None], labels.flip(2), labels)
            if edges is not None:
                edges = torch.where(flipped[:, None, None, None], edges.flip(3), edges)
        maps = semantics(labels, edges, config.model).to(real.dtype)  # n, classes, H, W

        # Paint the part maps in the pictures' own styles.
        for network in (self.networks, self.discriminator):
            network.train()
        loss, z = torch.zeros((), device=self.device), None
        if self.encoder is not None:
            mean, log_variance = self.encoder(real)
            z = draw_style(mean, log_variance, draws.normal("z", tuple(mean.shape), 1.0))
            loss = loss + config.kl * self._noted("loss_kl", kl_divergence(mean, log_variance))
        painted = self.generator.paint(maps, z)
        if self.perceptual is not None:
            likeness = self._noted("loss_perceptual", self.perceptual(painted, real))
            loss = loss + config.perceptual * likeness

        # Judge them and the pictures, once for both sides.
        with cached():  # the same spectral norms
            on_real, on_painted = self.discriminator(maps, real), self.discriminator(maps, painted)
        adversarial = self._noted("loss_g", hinge_loss_g(on_painted))
        if config.feature_matching:
            matching = self._noted("loss_features", feature_matching(on_painted, on_real))
            adversarial = adversarial + config.feature_matching * matching
        (wish,) = torch.autograd.grad(adversarial, painted, retain_graph=True)

        # Discriminator: tell paintings from pictures.
        loss_d = self._noted("loss_d", torch.stack(hinge_loss_d(on_painted, on_real)).sum())
        loss_d.backward(inputs=list(self.discriminator.parameters()))

        # Generator and encoder: paint what passes for the pictures.
        (loss + (painted * wish).sum()).backward()
        self._step(0, config.learning_rate_g)
        self._step(1, config.learning_rate_d)

        self.count_step()
        self._average()

    def _noted(self, name: str, loss: Tensor) -> Tensor:
        self.means.add(name, loss)
        return loss

    def _step(self, which: int, rate: float) -> None:
        updates = self.updates[which]
        set_learning_rate(updates.optimizer, rate * linear_decay(self.images, self.config.images))
        updates.apply()
        updates.optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _average(self) -> None:
        share = newest_share(self.images, self.config.ema, batch=self.config.batch)
        for name, average in self.averages.items():
            state = plain_state(self.networks[name])
            for key, mean in average.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(state[key], share)
                else:
                    mean.copy_(state[key])

    # ---- use ----

    def painter(self) -> Painter:
        """What the run has learned so far: a copy of the averages."""
        averages: Any = copy.deepcopy(self.averages)
        generator, encoder = averages["generator"], _encoder_of(averages)
        if self.config.model.norm == "batch":
            measure_statistics(generator, self._measured(encoder))
        return Painter(generator, encoder, self.config.model, self.labels)

    @torch.no_grad()
    def _measured(self, encoder: StyleEncoder | None) -> Iterator[tuple[Tensor, Tensor | None]]:
        for start in range(0, len(self._examples.images), 16):
            images, labels, edges = self._to_device(self._examples.part(slice(start, start + 16)))
            z = None if encoder is None else encoder(images)[0]
            yield semantics(labels, edges, self.config.model), z

    def _to_device(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Pictures in [−1, 1], labels, and the edges if there are any."""
        images, part_maps = (
            torch.from_numpy(each).to(self.device) for each in (batch.images, batch.part_maps)
        )
        edges = (
            None if batch.edges is None else torch.from_numpy(batch.edges)[:, None].float().to(self.device)
        )
        return from_pixels(images), part_maps.long(), edges

    def init_from(self, painter: Painter) -> str:
        """Takes the weights of a painter of the same model; the discriminator starts anew."""
        starts: dict[str, nn.Module | None] = {"generator": painter.generator, "encoder": painter.encoder}
        anew = ["the discriminator"]
        for name, network in self.networks.items():
            start = starts[name]
            if start is None:
                anew.append(f"the {name}")
                continue
            load_plain(network, start.state_dict())
            self.averages[name].load_state_dict(plain_state(network))
        return f"taken; {' and '.join(anew)} start{'s' * (len(anew) == 1)} anew"

    # ---- what the loop asks for ----

    @torch.inference_mode()
    def evaluate(self, data: SpadeData, run: RunFolder | None) -> Iterator[str]:
        """How far paintings in a picture's own style are from it, and whether they show the parts that were asked for.

        The latter for random styles, where the labels are those of the shipped segmenter.
        """
        painter = self.painter()
        sums = torch.zeros(3, dtype=torch.float64)  # pictures, differences, perceptual distances
        confusion = ConfusionMatrix(len(self.labels))
        for batch in data.validation(len(self.rows)):
            images, labels, edges = self._to_device(batch)
            done = int(sums[0])
            seeds = [self.world.rank + (done + i) * self.world.size for i in range(len(images))]
            own, other = self._paintings(painter, images, labels, edges, seeds)
            distance = torch.zeros(()) if self.perceptual is None else self.perceptual(own, images)
            difference = (own - images).abs().mean() / 2
            sums += torch.tensor([1.0, float(difference), float(distance)], dtype=torch.float64) * len(images)
            if self.segmenter is not None:
                confusion.update(self.segmenter.segment(other), batch.part_maps)
        count, *totals = self.world.add(sums).tolist()
        self.world.add(torch.from_numpy(confusion.counts))  # in place
        figures = dict(zip(["difference", "perceptual"], (total / count for total in totals)))
        if self.perceptual is None:
            del figures["perceptual"]
        distance = figures.get("perceptual", figures["difference"])
        is_best = self.best is None or distance <= self.best["distance"] or math.isnan(self.best["distance"])
        if is_best:
            self.best = {"distance": distance, "images": self.images}
        assert self.best is not None
        parts = ""
        if self.segmenter is not None:
            figures |= confusion.figures(self.labels)
            parts = (
                f", parts found again: mean IoU {confusion.mean_iou:.3f}, pixel accuracy "
                f"{confusion.pixel_accuracy:.3f}"
            )
        if run is None:
            return
        run.log(self.images, {f"val/{name}": value for name, value in figures.items()})
        write_image(run.path / "samples" / f"{self.images:09d}.png", self._samples(painter, data))
        if is_best:
            painter.save(run.path / BEST_FILE, notes=self._notes())
        shown = ", ".join(
            f"{name} {figures[name]:.4f}" for name in ("difference", "perceptual") if name in figures
        )
        before = (
            "the best so far" if is_best else f"best {self.best['distance']:.4f} at {self.best['images']:.0f}"
        )
        yield f"validation at {self.images} images: from the pictures: {shown} ({before}){parts}"

    def _paintings(
        self, painter: Painter, images: Tensor, labels: Tensor, edges: Tensor | None, seeds: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """(n, 3, H, W) in the pictures' own styles, and in the random ones of seeds."""
        generator, encoder = painter.generator, painter.encoder
        if encoder is None:
            own = generator(labels, None, edges)
            return own, own
        z = torch.stack([painter.random_style(seed) for seed, _ in zip(seeds, images)])
        return generator(labels, encoder(images)[0], edges), generator(labels, z, edges)

    def _samples(self, painter: Painter, data: SpadeData) -> np.ndarray:
        """(H, W, 3) uint8: part map, picture, painted in its style, painted in a random one; two such in a row."""
        batch = data.samples(SAMPLES)
        images, labels, edges = self._to_device(batch)
        own, other = (
            to_pixels(each) for each in self._paintings(painter, images, labels, edges, range(SAMPLES))
        )
        columns = [self.labels.colorize(batch.part_maps), batch.images.transpose(0, 2, 3, 1), own]
        if painter.encoder is not None:
            columns.append(other)
        tiles = [column[i] for i in range(len(own)) for column in columns]
        return image_grid(tiles, columns=2 * len(columns))

    def save(self, run: RunFolder) -> None:
        self.painter().save(run.path / MODEL_FILE, notes=self._notes())

    def _notes(self) -> dict[str, Any]:
        return {"images": self.images, "training": self.config.to_dict(), "best": self.best}

    def kept(self) -> set[int]:
        return {int(self.best["images"])} if self.best else set()

    def describe(self, figures: dict[str, float]) -> str:
        losses = {
            name.removeprefix("loss_"): value for name, value in figures.items() if name.startswith("loss_")
        }
        return "  ".join(f"{name} {value:.3f}" for name, value in losses.items()) or "losses not finite"

    def explain_size(self) -> str:
        height, width = self.config.model.size
        return f"with {len(self.rows)} pictures of {width}x{height} px"


def _encoder_of(networks: nn.ModuleDict) -> StyleEncoder | None:
    return cast(StyleEncoder, networks["encoder"]) if "encoder" in networks else None
