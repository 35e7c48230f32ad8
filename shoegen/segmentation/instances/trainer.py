"""One training of Mask R-CNN: its network, optimiser and counters."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shoegen.data.annotations.overlay import overlay
from shoegen.data.images import fit_image, image_grid
from shoegen.segmentation.augment import change_appearance, sampling_grid
from shoegen.segmentation.instances.config import InstanceTrainingConfig
from shoegen.segmentation.instances.contract import LOSSES, Detections, InstanceNet, Targets
from shoegen.segmentation.instances.data import InstanceData, Sample
from shoegen.segmentation.instances.engines import build_instance_net
from shoegen.segmentation.instances.metrics import InstanceMetrics, figures, table
from shoegen.segmentation.instances.parts import KIND, SCORE, InstanceSegmenter
from shoegen.segmentation.trainer import SAMPLES, Evaluation, RunTrainer
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.draws import seed_of
from shoegen.torch_utils.pixels import from_pixels


class InstanceTrainer(RunTrainer):
    """Of Mask R-CNN; `train_step` shows the mathematics. See `RunTrainer` too.

    Which regions the heads learn from follows from (seed, step, rank). So with another number of processes the same
    pictures are shown with the same changes, but other regions are drawn, and each process's losses are means over its
    own: its gradients are those of one process in expectation, not to the bit.
    """

    KIND, SCORE, LOSS = KIND, "mask_ap", "total_loss"

    config: InstanceTrainingConfig
    net: InstanceNet

    @classmethod
    def of(
        cls, config: InstanceTrainingConfig, data: InstanceData, device: torch.device, world: World
    ) -> Self:
        return cls(config, data.labels, device, world)

    @property
    def name(self) -> str:
        model = self.config.model
        return f"Mask R-CNN ({model.engine}, {model.norm} norm)"

    def build(self) -> InstanceNet:
        return build_instance_net(self.config.model)

    def learn(self, batch: list[Sample], rate: float | None = None) -> Tensor:
        changed = [self.change(sample, row) for sample, row in zip(batch, self.rows, strict=True)]
        return self.train_step([image for image, _ in changed], [target for _, target in changed], rate)

    def change(self, sample: Sample, row: int) -> tuple[Tensor, Targets]:
        """A picture (3, H, W) in [−1, 1] after random changes, and what is left of its objects."""
        config, draws = self.config.augment, self.draws("augment", torch.float32, [row])
        image = from_pixels(torch.from_numpy(sample.image).to(self.device))[None]
        masks = torch.from_numpy(sample.masks).to(self.device)  # n, H, W
        grid = sampling_grid(image, config, draws)
        if grid is not None:
            image = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
            if len(masks):
                # Nothing is beyond the picture's edge, unlike in part maps: objects must not grow there.
                masks = F.grid_sample(masks[None].float(), grid, mode="nearest", align_corners=False)[
                    0
                ].byte()
        labels = torch.from_numpy(sample.labels).to(self.device)
        targets = targets_of(masks, labels)
        covered = (
            masks.any(0, keepdim=True).long() if len(masks) else image.new_zeros(image[:, 0].shape).long()
        )
        return change_appearance(image, covered, config, draws)[0], targets

    def train_step(self, images: list[Tensor], targets: list[Targets], rate: float | None = None) -> Tensor:
        """One batch: predict, descend.

        Args:
            images: this process's rows of the batch, (3, H, W) in [−1, 1] each.
            targets: their objects.
            rate: the learning rate; None: the schedule's.

        Returns:
            The loss before the step, the mean of all processes'.
        """
        torch.manual_seed(seed_of((self.config.seed, self.steps, "regions", self.world.rank)))
        self.net.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.net.losses(images, targets)
        loss = torch.stack([losses[name] for name in LOSSES]).sum()
        terms = torch.stack([loss.detach(), *(losses[name].detach() for name in LOSSES)])
        terms = self.world.add(terms) / self.world.size
        for name, value in zip((self.LOSS, *LOSSES), terms):
            self.means.add(name, value)
        self.descend(loss, rate)
        return terms[0]

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Detections:
        """The objects of a picture (H, W, 3) uint8."""
        self.net.eval()
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(self.device)
        return self.net.detect([from_pixels(pixels)])[0]

    def validate(self, data: InstanceData) -> Evaluation:
        metrics = InstanceMetrics()
        for image, truth in data.validation():
            metrics.update(self.detect(image), truth)
        whole = InstanceMetrics()
        whole.extend(self.world.gather(metrics))
        found = whole.compute(self.labels)
        box, mask = found["box"], found["mask"]
        return Evaluation(
            score=mask.ap,
            figures=figures(found),
            summary=(
                f"mask AP {mask.ap:.3f} (AP50 {mask.ap50:.3f}, AP75 {mask.ap75:.3f}), box AP {box.ap:.3f} "
                f"(AP50 {box.ap50:.3f}, AP75 {box.ap75:.3f})"
            ),
            table=table(found),
            details={"average_precision.json": {"figures": figures(found)}},
        )

    def draw_samples(self, data: InstanceData) -> np.ndarray:
        tiles = []
        for image, truth in data.samples(SAMPLES):
            seen = self.detect(image)
            kept = np.flatnonzero(seen.scores >= SCORE).tolist()
            true = _overlay(image, truth.stacked(), list(truth.labels))
            predicted = _overlay(image, seen.masks[kept], seen.labels[kept].tolist())
            tiles += [fit_image(each, self.config.model.size, "pad") for each in (image, true, predicted)]
        return image_grid(tiles, columns=6)

    def segmenter(self) -> InstanceSegmenter:
        net = build_instance_net(self.config.model)
        net.load_state_dict(self.net.state_dict())
        return InstanceSegmenter(net, self.config.model, self.labels)


def targets_of(masks: Tensor, labels: Tensor) -> Targets:
    """What is seen of objects: masks (n, H, W) uint8, labels (n,). Those without a pixel are left out."""
    seen = (masks > 0).any(2).any(1)
    masks, labels = masks[seen], labels[seen]
    boxes = [_box(mask) for mask in masks]
    return Targets(torch.stack(boxes) if boxes else torch.zeros(0, 4, device=masks.device), labels, masks)


def _box(mask: Tensor) -> Tensor:
    """(4,): left, top, right, bottom around its pixels, at least one wide and high."""
    rows, columns = (mask > 0).any(1).nonzero()[:, 0], (mask > 0).any(0).nonzero()[:, 0]
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()


def _overlay(image: np.ndarray, masks: np.ndarray, labels: list[int]) -> np.ndarray:
    """The best is on top."""
    part_map, numbers = np.zeros(image.shape[:2], np.uint8), np.zeros(image.shape[:2], np.uint8)
    for i in reversed(range(len(masks))):
        inside = masks[i].astype(bool)
        part_map[inside], numbers[inside] = labels[i], i % 255 + 1
    return overlay(image, part_map, numbers)
