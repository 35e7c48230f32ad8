"""How fast each segmenter is: one picture at a time, and in training.

    python benchmarks/segmenter_speed.py --json speed.json
    python benchmarks/segmenter_speed.py --networks unet,fcn --sides 256 --training-images 32

Prints milliseconds from a picture to its part map for the shipped U-Net at 128 px (aim on two cores: 15) and for each
network, random weights at its published size, at each side; then pictures per second that `train-segmenter` shows, and
the share of time in which it waits for data (aim < 10 %), at the first side, batch 2.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import Report

from shoegen.data.labels import SHOE_PARTS
from shoegen.data.synthetic import make_dataset, render
from shoegen.segmentation.config import SegmenterConfig, TrainingConfig
from shoegen.segmentation.instances.config import ARCHITECTURE as MASK_RCNN
from shoegen.segmentation.instances.config import InstanceTrainingConfig, MaskRCNNConfig
from shoegen.segmentation.instances.engines import build_instance_net
from shoegen.segmentation.instances.parts import InstanceSegmenter
from shoegen.segmentation.loading import AnySegmenter
from shoegen.segmentation.models import ARCHITECTURES, build_segmenter
from shoegen.segmentation.parts import PartSegmenter
from shoegen.segmentation.training import train
from shoegen.torch_utils.memory import keep_freed_memory

BATCH = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*ARCHITECTURES, MASK_RCNN]
    parser.add_argument("--networks", default=",".join(names), help=f"default: {','.join(names)}")
    parser.add_argument("--sides", default="256,512", help="default: 256,512")
    parser.add_argument("--pictures", type=int, default=10, help="of each, timed (default: 10)")
    parser.add_argument(
        "--training-images", type=int, default=16, help="to show; 0: no training (default: 16)"
    )
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    sides = [int(side) for side in options.sides.split(",")]

    report = Report()
    keep_freed_memory()
    report.add("shipped_128", milliseconds(PartSegmenter.load(), 128, 10 * options.pictures), "ms/picture")
    for name in options.networks.split(","):
        segmenter = untrained(name, sides[0])
        report.add(f"{name}_parameters", sum(p.numel() for p in segmenter.net.parameters()) / 1e6, "million")
        for side in sides:
            report.add(
                f"{name}_{side}", milliseconds(untrained(name, side), side, options.pictures), "ms/picture"
            )
    if options.training_images:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "shoes.zip"
            make_dataset(data, count=32, resolution=sides[0])
            for name in options.networks.split(","):
                figures = in_training(name, sides[0], data, Path(folder) / name, options.training_images)
                report.add(f"{name}_training_{sides[0]}", figures["images_per_second"], "images/s")
                report.add(f"{name}_training_waits", 100 * figures["data_wait"], "percent")
    report.write(options.json)


def config_of(name: str, side: int) -> Any:
    if name == MASK_RCNN:
        return MaskRCNNConfig(classes=len(SHOE_PARTS), resolution=side).settled()
    return SegmenterConfig(architecture=name, classes=len(SHOE_PARTS), resolution=side)


def untrained(name: str, side: int) -> AnySegmenter:
    torch.manual_seed(0)
    config = config_of(name, side)
    if name == MASK_RCNN:
        return InstanceSegmenter(build_instance_net(config), config, SHOE_PARTS)
    return PartSegmenter(build_segmenter(config), config, SHOE_PARTS)


def milliseconds(segmenter: AnySegmenter, side: int, pictures: int) -> float:
    """The median, after three to warm up."""
    times = []
    for index in range(pictures + 3):
        image = render(1, index, side).image
        start = time.perf_counter()
        segmenter.segment(image)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times[3:]))


def in_training(name: str, side: int, data: Path, out: Path, images: int) -> dict[str, float]:
    """The log's last figures: the first images, while memory is found, are in the one before."""
    kind = InstanceTrainingConfig if name == MASK_RCNN else TrainingConfig
    train(
        kind(
            data=str(data), model=config_of(name, side), images=2 * images, batch=BATCH, log_every=images,
            evaluate_every=10**9, save_every=10**9,
        ),
        out,
    )  # fmt: skip
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "images_per_second" in line][-1]


if __name__ == "__main__":
    main()
