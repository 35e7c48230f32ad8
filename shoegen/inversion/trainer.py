"""One training: the encoder, its optimiser, and its average."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.data.images import image_grid, write_image
from shoegen.inversion.config import EncoderConfig, TrainingConfig
from shoegen.inversion.data import SampleData, draw_ws
from shoegen.inversion.encoder import KIND, MODEL_FILE, Encoder
from shoegen.inversion.latents import Basis
from shoegen.inversion.networks import EncoderNetwork
from shoegen.segmentation.features import difference, shipped_encoder
from shoegen.stylegan.networks import Generator
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.pixels import as_rgb, to_pixels
from shoegen.torch_utils.run_folder import RunFolder
from shoegen.torch_utils.training import Learner, linear_decay, moving_average, set_learning_rate
from shoegen.torch_utils.updates import SafeUpdates

COLUMNS = 8  # of a sheet
DRAWN = 16  # samples on it


class EncoderLearner(Learner):
    """See `Learner`; `train_step` shows the mathematics.

    Attributes:
        net: the encoder.
        average: of its weights over the last steps, which evaluations and files show.
        generator: what it learns to invert; does not change.
    """

    KIND, MODEL_FILE = KIND, MODEL_FILE
    STATEFUL = ("net", "average", "adam")

    config: TrainingConfig

    def __init__(
        self,
        config: TrainingConfig,
        generator: Generator,
        basis: Basis,
        device: torch.device,
        world: World | None = None,
    ) -> None:
        super().__init__(config, device, world)
        self.generator_hash = generator.hash()
        self.generator = generator.to(device)
        encoder = EncoderConfig(
            resolution=generator.config.image_size,
            num_ws=generator.num_ws,
            w_dim=generator.config.w_dim,
            img_channels=generator.config.img_channels,
            channels=config.channels,
            hidden=config.hidden,
        )
        self.net = EncoderNetwork(encoder, basis).to(device)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.features = shipped_encoder().to(device) if config.perceptual else None
        self.adam = torch.optim.Adam(self.net.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))
        advice = "start anew with a lower --lr"
        self.updates = [SafeUpdates(self.net, self.adam, self.world, advice=advice)]

    # ---- one step ----

    def learn(self, batch: list[int]) -> None:
        draws = self.draws("samples")
        ws = draw_ws(self.generator, draws, len(batch), self.config)
        with torch.no_grad():
            images = self.generator.synthesis(ws, noise_mode="const").clamp(-1, 1)
        seen = images
        if self.config.shift:
            most = self.config.shift
            moves = draws.uniform("shift", (len(batch), 2), -most, most + 1).floor().long().clamp(-most, most)
            seen = torch.stack([shifted(each, *move) for each, move in zip(images, moves.tolist())])
        if self.config.noise:
            seen = seen + draws.normal("noise", tuple(seen.shape), self.config.noise)
        self.train_step(seen, images, ws)

    def train_step(self, seen: Tensor, images: Tensor, ws: Tensor) -> None:
        """One batch: the encoder learns, its average follows.

        Args:
            seen: (n, C, H, W) in [−1, 1], what the encoder is shown of the samples.
            images: (n, C, H, W), the samples.
            ws: (n, num_ws, w_dim), their latents.
        """
        config = self.config
        rate = linear_decay(self.images, config.images, after=1 - config.decay) if config.decay else 1.0
        set_learning_rate(self.adam, config.learning_rate * rate)
        self.adam.zero_grad(set_to_none=True)
        v = self.net(seen)
        basis = self.net.basis
        terms = {"latent": (F.smooth_l1_loss(v, basis.to_sigmas(ws)), config.latent)}
        if config.image or config.perceptual:
            count = max(1, round(config.compared * len(seen)))
            drawn = self.generator.synthesis(basis.to_w(v[:count]), noise_mode="const")
            terms["image"] = (F.smooth_l1_loss(drawn, images[:count], beta=0.2), config.image)
            if self.features is not None:
                with torch.no_grad():
                    theirs = self.features(as_rgb(images[:count]))
                ours = self.features(as_rgb(drawn))
                apart = [difference(*pair).mean() for pair in zip(ours[1:], theirs[1:], strict=True)]
                terms["perceptual"] = (torch.stack(apart).mean(), config.perceptual)
        loss = torch.stack([value * weight for value, weight in terms.values()]).sum()
        loss.backward()
        self.updates[0].apply()
        self.means.add("loss", loss)
        for name, (value, _) in terms.items():
            self.means.add(f"loss_{name}", value)
        self.count_step()
        moving_average(self.average, self.net, self.images, config.ema, batch=config.batch)

    # ---- reports ----

    def describe(self, figures: dict[str, float]) -> str:
        if "loss" not in figures:
            return "loss not finite"
        terms = ", ".join(
            f"{name.removeprefix('loss_')} {value:.3f}"
            for name, value in figures.items()
            if name.startswith("loss_")
        )
        return f"loss {figures['loss']:.3f} ({terms})"

    def explain_size(self) -> str:
        height, width = self.generator.config.image_size
        return f"with {len(self.rows)} pictures of {width}x{height}"

    @torch.no_grad()
    def evaluate(self, data: SampleData, run: RunFolder | None) -> Iterator[str]:
        """Figures and a sheet of the average on samples that are held out, by the first process."""
        if run is None:
            return
        ws = data.held_out().to(self.device)
        found, true, drawn = [], [], []
        for part in ws.split(16):
            images = self.generator.synthesis(part, noise_mode="const").clamp(-1, 1)
            v = self.average(images)
            basis = self.average.basis
            found.append((v - basis.to_sigmas(part)).square().mean())
            true.append(to_pixels(as_rgb(images)))
            drawn.append(to_pixels(as_rgb(self.generator.synthesis(basis.to_w(v), noise_mode="const"))))
        apart = sum(
            float(((a.astype(float) - b) / 255).__pow__(2).mean()) for a, b in zip(true, drawn)
        ) / len(true)
        figures = {"latent": float(torch.stack(found).mean().sqrt()), "mse": apart}
        run.log(self.images, {f"val/{name}": value for name, value in figures.items()})
        first, second = true[0][:DRAWN], drawn[0][:DRAWN]
        rows = [
            each
            for i in range(0, DRAWN, COLUMNS)
            for part in (first, second)
            for each in part[i : i + COLUMNS]
        ]
        write_image(run.path / "samples" / f"{self.images:09d}.png", image_grid(rows, columns=COLUMNS))
        yield (
            f"validation at {self.images} images: the latent is {figures['latent']:.3f} sigmas off, the picture's "
            f"mean squared error {figures['mse']:.4f}"
        )

    # ---- files ----

    def save(self, run: RunFolder) -> None:
        self.encoder().save(run.path / self.MODEL_FILE, images=self.images)

    def encoder(self) -> Encoder:
        """A copy of the average as it stands."""
        return Encoder(copy.deepcopy(self.average), self.generator_hash)


def shifted(image: Tensor, right: int, down: int) -> Tensor:
    """(C, H, W) moved by pixels; what comes in repeats the edge."""
    most = max(abs(right), abs(down))
    if not most:
        return image
    height, width = image.shape[-2:]
    padded = F.pad(image[None], [most] * 4, mode="replicate")[0]
    return padded[:, most - down : most - down + height, most - right : most - right + width]
