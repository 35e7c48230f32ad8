"""Generators, segmenters and trainings that are small enough to run in every test."""

import numpy as np
import torch

from shoegen.data.labels import SHOE_PARTS
from shoegen.segmentation.config import SegmenterConfig, TrainingConfig
from shoegen.stylegan.config import GeneratorConfig
from shoegen.stylegan.networks import Generator

SOLE, HEEL, UPPER = (SHOE_PARTS.index(name) for name in ("sole", "heel", "upper"))


def tiny_generator(seed=0):
    """16 px, with random weights whose picture's brightness varies."""
    torch.manual_seed(seed)
    config = GeneratorConfig(
        resolution=16, z_dim=16, w_dim=16, mapping_layers=1, channel_base=256, channel_max=16
    )
    return Generator(config).eval().requires_grad_(False)


def tiny_segmenter_training(data):
    """Seconds on a CPU."""
    return TrainingConfig(
        data=data,
        model=SegmenterConfig(resolution=32, decoder_channels=(16, 8, 8)),
        images=64,
        batch=4,
        val_share=0.25,
        log_every=16,
        evaluate_every=32,
        save_every=16,
    )


class BrightnessSegmenter:
    """Sees a shoe whose heel is the higher the brighter the picture."""

    labels = SHOE_PARTS

    def segment(self, images, *, size):
        return np.stack([self._draw(float(image.mean()), size) for image in images])

    def _draw(self, brightness, size):
        heel = round(size * 0.25 / (1 + np.exp(-10 * brightness)))
        part_map = np.zeros((size, size), np.uint8)
        ground, sole, left, right = size - 10, size // 16, size // 10, size - size // 10
        part_map[ground - heel : ground, right - size // 8 : right] = HEEL
        part_map[ground - sole : ground, left : right - size // 8] = SOLE
        part_map[ground - heel - sole : ground - heel, right - size // 8 : right] = SOLE
        part_map[size // 3 : ground - sole, left : right - size // 8] = UPPER
        part_map[size // 3 : ground - heel - sole, right - size // 8 : right] = UPPER
        return part_map
