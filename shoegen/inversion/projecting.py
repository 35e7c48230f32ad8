"""A photograph → the latent that draws it: encoder, W, W+ and pivotal tuning behind one `quality`."""

from __future__ import annotations

import copy
import hashlib
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.data.colors import delta_e
from shoegen.data.images import read_image
from shoegen.errors import ConfigError
from shoegen.inversion.align import Flip, Photo, Placement, align
from shoegen.inversion.encoder import Encoder
from shoegen.inversion.latents import Basis
from shoegen.inversion.loss import Distance, Target, find_lpips, total
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.parts import PartSegmenter
from shoegen.stylegan.networks import Generator, SynthesisLayer
from shoegen.torch_utils.draws import seed_of
from shoegen.torch_utils.files import atomic_write, check_writable
from shoegen.torch_utils.pixels import as_rgb, to_pixels

Quality = Literal["fast", "balanced", "best"]

FINE = 256  # least side of the part maps that are compared
STATE_FILE = "state.pt"  # in a work folder
SAVE_EVERY = 25  # steps
WITHOUT_ENCODER = 50  # steps in W at least
LOCAL_PSI = 0.7  # truncation of the samples that pivotal tuning is to leave alone
PROBE = 1.0  # sigmas of the edits by which editability is probed
PROBES = 4
COARSE = 6  # layers that draw the shape, up to 16 pixels; the others, mostly colours, may differ more
FINE_SHARE = 0.25  # of their differences that counts


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is done for a quality.

    w, plus, tune: steps of a w for all layers, of one for each, and of the generator's weights. rate_w, rate_plus,
    rate_tune: of Adam, in sigmas and in the weights' own unit. far, apart: weights of the latent's squared distance to
    the mean of W, and of its layers' to one another, in sigmas. local: of the distance to the given generator's
    pictures beside the photograph's.
    """

    w: int
    plus: int = 0
    tune: int = 0
    rate_w: float = 0.08
    rate_plus: float = 0.05
    rate_tune: float = 2e-3
    far: float = 0.02
    apart: float = 0.1
    local: float = 1.0


EFFORTS: dict[str, Effort] = {
    "fast": Effort(w=12),
    "balanced": Effort(w=20, plus=140, tune=60),
    "best": Effort(w=60, plus=400, tune=120, rate_plus=0.03, rate_tune=1e-3),
}


@dataclass(frozen=True, eq=False, repr=False)
class Inversion:
    """What was found for a photograph.

    ws: float32 (num_ws, w_dim), on the CPU. generator: draws it: the one that was given, or a copy tuned to the
    photograph. origin: hash of the one that was given, for which directions hold. photo: the photograph and its shoe.
    figures: see `invert`. quality: as asked for. notes: what a user should know, one line each.
    """

    ws: Tensor
    generator: Generator
    origin: str
    photo: Photo
    figures: dict[str, float]
    quality: Quality
    notes: tuple[str, ...] = ()

    @cached_property
    def is_tuned(self) -> bool:
        """Whether `generator` is a copy that was tuned to the photograph."""
        return self.generator.hash() != self.origin

    @cached_property
    def image(self) -> np.ndarray:
        """(h, w, C) uint8: the reconstruction."""
        return to_pixels(draw(self.generator, self.ws[None]))[0]

    def put_back(self, segmenter: PartSegmenter) -> np.ndarray:
        """(H, W, 3) uint8: the reconstruction over the photograph, where the segmenter sees a shoe in it."""
        images = as_rgb(draw(self.generator, self.ws[None]))
        mask = part_maps(images, segmenter)[0] != 0
        return self.photo.put_back(to_pixels(images)[0], mask)


def invert(
    image: np.ndarray | str | Path,
    *,
    generator: Generator,
    segmenter: PartSegmenter | None = None,
    encoder: Encoder | str | Path | None = "auto",
    quality: Quality = "balanced",
    mask: np.ndarray | None = None,
    instance: int | None = None,
    flip: Flip = "auto",
    seed: int = 0,
    work: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inversion:
    """Finds the latent of a photograph's shoe.

        inversion = invert("photo.jpg", generator=shoegen.load("default").generator)

    For many photographs make one `Inverter`, which looks at the generator once.

    Args:
        image: (H, W, 3) uint8, or a file.
        generator: is to draw the shoe; stays as it is.
        segmenter: finds the shoe and its parts; None: the shipped one.
        encoder: where the search starts; "auto": the shipped one, if it is of this generator; None: the mean of W.
        quality: "fast": the encoder and some steps in W; "balanced": W, W+ near W, and a short tuning of a copy of the
            generator; "best": the same, for longer.
        mask, instance, flip: see `align`.
        seed: of all that is random.
        work: a folder that keeps how far the search is; a search of the same photograph goes on from there.
        progress: is told how many of all steps are done.

    Returns:
        An `Inversion`; its figures are
            mse: over the shoe, of colours in [0, 1]. delta_e: CIEDE2000, the mean over the shoe. perceptual, as in
            `Distance`. part_iou: of the parts seen in the aligned photograph and in the reconstruction, a mean over
            classes. shoe_iou: of the whole shoe.
            from_mean: of the latent from the mean of W, 1 is as far as a sample is; layers_apart: of its layers from
            one another; both in sigmas. probe_iou: of the parts that the tuned and the given generator draw when the
            latent is moved by a sigma, a mean over probes.
            seconds: that the search took, steps before an interruption included.

    Raises:
        ConfigError: an argument that cannot be followed.
        DataError: the picture cannot be read, or see `align`.
        FileFormatError: an encoder that is none, or of another generator.
        OutputError: the work folder cannot be written.
    """
    inverter = Inverter(generator, segmenter=segmenter, encoder=encoder, seed=seed)
    return inverter.invert(
        image, quality=quality, mask=mask, instance=instance, flip=flip, work=work, progress=progress
    )


class Inverter:
    """A generator and what is known of it, for any number of photographs; see `invert`.

    Attributes: generator, segmenter, encoder (or None), distance, notes.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        segmenter: PartSegmenter | None = None,
        encoder: Encoder | str | Path | None = "auto",
        seed: int = 0,
    ) -> None:
        if not 0 <= seed < 2**32:
            raise ConfigError(f"seed: got {seed}, expected 0 to 2³² − 1")
        self.generator, self.seed = generator, seed
        self.segmenter = segmenter or PartSegmenter.load(device=self.device)
        if not isinstance(self.segmenter, PartSegmenter):
            raise ConfigError(
                f"got a {type(self.segmenter).__name__}, expected a segmenter of parts, such as `default`"
            )
        self.notes: list[str] = []
        self.encoder = self._find_encoder(encoder)
        lpips, said = find_lpips()
        self.distance = Distance(self.segmenter, lpips).to(self.device)
        self.notes.append(said)

    @property
    def device(self) -> torch.device:
        return self.generator.mapping.w_avg.device

    @cached_property
    def origin(self) -> str:
        """The generator's hash."""
        return self.generator.hash()

    @cached_property
    def placement(self) -> Placement:
        return Placement.of(self.generator, self.segmenter)

    @cached_property
    def basis(self) -> Basis:
        return Basis.of(self.generator, seed=self.seed)

    def _find_encoder(self, encoder: Encoder | str | Path | None) -> Encoder | None:
        if isinstance(encoder, Encoder):
            encoder.check_generator(self.origin)
            return encoder
        if encoder is None:
            return None
        if encoder != "auto":
            found = Encoder.load(encoder, self.device)
            found.check_generator(self.origin)
            return found
        shipped = Encoder.find_for(self.origin, self.device)
        if shipped is None:
            self.notes.append(
                "no encoder of this generator; the search starts at the mean of W (`shoegen train-encoder` trains one)"
            )
        return shipped

    def align(
        self,
        image: np.ndarray | str | Path,
        *,
        mask: np.ndarray | None = None,
        instance: int | None = None,
        flip: Flip = "auto",
    ) -> Photo:
        """See `align`."""
        pixels = read_image(image) if isinstance(image, str | Path) else image
        return align(pixels, self.placement, self.segmenter, mask=mask, instance=instance, flip=flip)

    def key(self, photo: Photo, quality: Quality) -> str:
        """SHA-256 (hex) of all that a search depends on."""
        parts = [
            photo.sha256, self.origin, quality, repr(EFFORTS[quality]), str(self.seed),
            self.encoder.hash() if self.encoder else "none", self.distance.name,
        ]  # fmt: skip
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def invert(
        self,
        image: np.ndarray | str | Path | Photo,
        *,
        quality: Quality = "balanced",
        mask: np.ndarray | None = None,
        instance: int | None = None,
        flip: Flip = "auto",
        work: str | Path | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Inversion:
        """See the function `invert`; a photograph that was aligned already is taken as it is."""
        if quality not in EFFORTS:
            raise ConfigError(f"--quality: got {quality!r}, expected {', '.join(EFFORTS)}")
        if work is not None:
            check_writable(Path(work) / STATE_FILE)
        began = time.monotonic()
        photo = (
            image if isinstance(image, Photo) else self.align(image, mask=mask, instance=instance, flip=flip)
        )
        search = _Search(self, photo, quality, None if work is None else Path(work))
        search.run(progress)
        figures = search.figures()
        figures["seconds"] = search.seconds_before + time.monotonic() - began
        return Inversion(
            ws=search.ws().detach()[0].cpu(),
            generator=search.result(),
            origin=self.origin,
            photo=photo,
            figures=figures,
            quality=quality,
            notes=(*self.notes, *photo.notes),
        )


class _Search:
    """One photograph: v (1, w_dim), the mean of the layers in sigmas, and d (num_ws, w_dim), how far each is from it.

    What is random follows from (seed, stage, step), so that a search that goes on is the uninterrupted one.
    """

    def __init__(self, inverter: Inverter, photo: Photo, quality: Quality, work: Path | None) -> None:
        self.inverter, self.photo, self.quality, self.work = inverter, photo, quality, work
        self.effort = EFFORTS[quality]
        self.basis, self.distance = inverter.basis, inverter.distance
        self.target: Target = self.distance.target(photo.aligned, photo.aligned_mask)
        self.given = inverter.generator
        self.copy = copy.deepcopy(self.given).requires_grad_(False) if self.effort.plus else self.given
        self.noises = [
            each
            for each in self.copy.modules()
            if isinstance(each, SynthesisLayer) and bool(each.noise_strength)
        ]
        self.v, self.d = self._start()
        layers = torch.arange(self.given.num_ws, device=inverter.device)
        self.shares = torch.where(layers < COARSE, 1.0, FINE_SHARE)
        self.seconds_before = 0.0
        self.began = time.monotonic()

    @torch.no_grad()
    def _start(self) -> tuple[Tensor, Tensor]:
        shape = self.given.num_ws, self.given.config.w_dim
        device = self.inverter.device
        if self.inverter.encoder is None:
            return torch.zeros(1, shape[1], device=device), torch.zeros(shape, device=device)
        v = self.basis.to_sigmas(self.inverter.encoder(self.target.image)[0])
        middle = v.mean(0, keepdim=True)
        return middle, v - middle

    def ws(self) -> Tensor:
        """(1, num_ws, w_dim)."""
        return self.basis.to_w(self.v + self.d)[None]

    def result(self) -> Generator:
        """The generator that draws the latent: the given one unless a copy was tuned."""
        if not self.effort.tune and not (self.effort.plus and self.noises):
            return self.given
        return self.copy.eval().requires_grad_(False)

    # ---- the stages ----

    def stages(self) -> list[tuple[str, int, float, list[Tensor]]]:
        """Name, steps, rate, what moves."""
        effort = self.effort
        weights = [
            each
            for name, each in self.copy.synthesis.named_parameters()
            if "noise_strength" not in name and ".affine." not in name
        ]
        noises = [each.noise_const for each in self.noises]
        steps_w = effort.w if self.inverter.encoder else max(effort.w, WITHOUT_ENCODER)
        return [
            ("w", steps_w, effort.rate_w, [self.v]),
            ("w+", effort.plus, effort.rate_plus, [self.v, self.d, *noises]),
            ("tuning", effort.tune, effort.rate_tune, list(weights)),
        ]

    def run(self, progress: Callable[[int, int], None]) -> None:
        stages = self.stages()
        steps = sum(stage[1] for stage in stages)
        first, saved = self._restore()
        done = 0
        for name, count, rate, moving in stages:
            if first >= done + count:
                done += count
                continue
            for each in moving:
                each.requires_grad_(True)
            adam = torch.optim.Adam(moving, lr=rate, betas=(0.9, 0.99))
            if saved is not None and first > done:
                adam.load_state_dict(saved["adam"])
            for step in range(max(0, first - done), count):
                adam.param_groups[0]["lr"] = rate * _ramp((step + 0.5) / count)
                adam.zero_grad(set_to_none=True)
                loss = self._loss(name, step)
                if torch.isfinite(loss):
                    loss.backward()
                    adam.step()
                    self._tidy(name)
                if self.work is not None and (
                    (done + step + 1) % SAVE_EVERY == 0 or done + step + 1 == steps
                ):
                    self._save(done + step + 1, adam)
                progress(done + step + 1, steps)
            for each in moving:
                each.requires_grad_(False)
            done += count

    def _loss(self, stage: str, step: int) -> Tensor:
        ws = self.ws()
        images = self.copy.synthesis(ws, noise_mode="const")
        loss = total(self.distance(images, self.target))
        if stage != "tuning":
            apart = (self.d.square().mean(1) * self.shares).mean()
            loss = loss + self.effort.far * self.v.square().mean() + self.effort.apart * apart
            if stage == "w+" and self.noises:
                loss = loss + 1e3 * noise_penalty([each.noise_const for each in self.noises])
            return loss
        return loss + self.effort.local * self._strayed(ws, step)

    def _strayed(self, ws: Tensor, step: int) -> Tensor:
        """How far the copy's pictures of latents around the photograph's are from the given generator's: what tuning is
        to leave as it was, so that edits do what they did (pivotal tuning, arXiv 2106.05744, section 3.3)."""
        stream = torch.Generator().manual_seed(seed_of((self.inverter.seed, "local", step)))
        v = torch.randn(2, 1, self.given.config.w_dim, generator=stream).to(ws)
        share = torch.rand(2, 1, 1, generator=stream).to(ws) * 0.6 + 0.2
        near = torch.lerp(ws, self.basis.to_w(LOCAL_PSI * v), share)
        with torch.no_grad():
            before = self.given.synthesis(near, noise_mode="const")
        after = self.copy.synthesis(near, noise_mode="const")
        return F.smooth_l1_loss(after, before, beta=0.2)

    @torch.no_grad()
    def _tidy(self, stage: str) -> None:
        if stage == "w+":
            middle = self.d.mean(0, keepdim=True)  # d says how layers differ, v where they are
            self.v += middle
            self.d -= middle
            for each in self.noises:
                each.noise_const -= each.noise_const.mean()
                each.noise_const /= each.noise_const.square().mean().sqrt().clamp(min=1e-6)

    # ---- the work folder ----

    def _save(self, done: int, adam: torch.optim.Optimizer) -> None:
        assert self.work is not None
        state = {
            "key": self.inverter.key(self.photo, self.quality),
            "done": done,
            "seconds": self.seconds_before + time.monotonic() - self.began,
            "v": self.v.detach(),
            "d": self.d.detach(),
            "adam": adam.state_dict(),
            "generator": self.copy.state_dict() if self.copy is not self.given else {},
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with atomic_write(self.work / STATE_FILE) as file:
            file.write(buffer.getvalue())

    def _restore(self) -> tuple[int, dict[str, Any] | None]:
        """How many steps were done before, and what was saved then; a damaged file, or another search's, is none."""
        path = None if self.work is None else self.work / STATE_FILE
        if path is None or not path.is_file():
            return 0, None
        try:
            state = torch.load(path, map_location=self.inverter.device, weights_only=True)
            if state["key"] != self.inverter.key(self.photo, self.quality):
                return 0, None
        except Exception:  # torch raises many types on damaged data; the search starts anew
            return 0, None
        with torch.no_grad():
            self.v.copy_(state["v"])
            self.d.copy_(state["d"])
        if state["generator"]:
            self.copy.load_state_dict(state["generator"])
        self.seconds_before = float(state["seconds"])
        return int(state["done"]), state

    # ---- what came out ----

    @torch.no_grad()
    def figures(self) -> dict[str, float]:
        ws, generator = self.ws(), self.result()
        image = draw(generator, ws)
        terms = self.distance(image, self.target)
        ours = to_pixels(as_rgb(image))[0]
        mask = self.photo.aligned_mask
        apart = (ours[mask].astype(float) - self.photo.aligned[mask]) / 255
        from_mean, layers_apart = self.basis.distance(ws[0])
        maps = part_maps(torch.cat([as_rgb(image), self.target.image]), self.inverter.segmenter)
        figures = {
            "mse": float(np.square(apart).mean()),
            "delta_e": float(delta_e(ours[mask], self.photo.aligned[mask]).mean()),
            **{name: float(terms[name]) for name in ("perceptual",) if name in terms},
            "part_iou": part_iou(maps[0], maps[1], len(self.inverter.segmenter.labels)),
            "shoe_iou": part_iou(maps[0] != 0, maps[1] != 0, 2),
            "from_mean": from_mean,
            "layers_apart": layers_apart,
        }
        if generator is not self.given:
            figures["probe_iou"] = self._probe(ws, generator)
        return figures

    def _probe(self, ws: Tensor, generator: Generator) -> float:
        """Along W's widest axes, which are not learned, so that it needs no directions."""
        steps = PROBE * self.basis.axes[-PROBES:]
        moved = ws + torch.cat([steps, -steps])[:, None]
        classes = len(self.inverter.segmenter.labels)
        both = [
            part_maps(as_rgb(draw(each, moved)), self.inverter.segmenter) for each in (generator, self.given)
        ]
        return float(np.mean([part_iou(one, other, classes) for one, other in zip(*both, strict=True)]))


def _ramp(share: float) -> float:
    """Of the learning rate, by how much of a stage is done: up over a twentieth, down over the last third."""
    return min(1.0, share / 0.05) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - share) * 3)))


def noise_penalty(noises: list[Tensor]) -> Tensor:
    """How much noise (H, W) maps resemble themselves shifted by a pixel, at all scales: a picture does, noise does not
    (StyleGAN2, arXiv 1912.04958, appendix D)."""
    penalty = torch.zeros((), device=noises[0].device)
    for each in noises:
        noise = each[None, None]
        while True:
            for axis in (2, 3):
                penalty = penalty + (noise * noise.roll(1, axis)).mean().square()
            if min(noise.shape[2:]) <= 8:
                break
            noise = F.avg_pool2d(noise, 2)
    return penalty


@torch.no_grad()
def draw(generator: Generator, ws: Tensor) -> Tensor:
    """(N, num_ws, w_dim) → (N, C, h, w) in [−1, 1]."""
    return generator.synthesis(ws.to(generator.mapping.w_avg.device)).clamp(-1, 1)


def part_maps(images: Tensor, segmenter: PartSegmenter) -> np.ndarray:
    """(N, 3, h, w) in [−1, 1] → (N, H, W) uint8, finer than a small picture: `FINE` pixels a side at least."""
    height, width = images.shape[-2:]
    factor = max(1.0, FINE / max(height, width))
    return segmenter.segment(images, size=(round(height * factor), round(width * factor)))


def part_iou(one: np.ndarray, other: np.ndarray, classes: int) -> float:
    """Of two part maps (H, W), a mean over the classes of either."""
    counts = ConfusionMatrix(classes)
    counts.update(one, other)
    return counts.mean_iou
