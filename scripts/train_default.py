"""Makes the model that ships with shoegen, from nothing but the synthetic shoes.

    python scripts/train_default.py --work runs/default

runs `shoegen` commands in order, prints each, and copies what they made to shoegen/assets/. A training that was
interrupted goes on from its last checkpoint; one that is done is skipped. The direction is measured by the segmenter
in shoegen/assets/. On two CPU cores it takes some hours, most of them for the generator, which starts at 32 px, where
a step is cheap, and grows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from _commands import ASSETS, copy, images_shown, make_shoes, shoegen, started, train

from shoegen.stylegan.networks import Generator
from shoegen.torch_utils.checkpoints import latest_checkpoint

DIRECTIONS = ("heel", "platform", "toe", "lightness", "upper_a", "upper_b")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/default"), help="where runs and data are kept"
    )
    parser.add_argument("--shoes", type=int, default=20_000, help="synthetic shoes to train on")
    parser.add_argument(
        "--segmenter-images", type=int, default=64_000, help="pictures shown to the segmenter"
    )
    parser.add_argument("--small-kimg", type=float, default=75, help="kimg at 32 px")
    parser.add_argument("--kimg", type=float, default=120, help="kimg at 64 px")
    parser.add_argument("--samples", type=int, default=10_000, help="latents to learn the direction from")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="where the model goes")
    options = parser.parse_args()
    work, assets = options.work, options.assets
    shoes, small, large = work / "shoes.zip", work / "gan32", work / "gan64"

    # Draw.
    make_shoes(shoes, "--count", options.shoes, "--resolution", 128, "--seed", 2)

    # Learn the parts.
    segmenter = work / "segmenter"
    train("train-segmenter", segmenter, options.segmenter_images, "--data", shoes, "--no-pretrained")
    copy(segmenter / "segmenter.safetensors", assets / "segmenter.safetensors")

    # Learn to draw: small, then larger. There are enough shoes to do without augmentation.
    train_generator(small, options.small_kimg, "--data", shoes, "--resolution", 32)
    grown_from = latest_checkpoint(small)
    train_generator(large, options.kimg, "--data", shoes, "--resolution", 64, "--init-from", grown_from)
    generator = Generator.load(large / "generator.safetensors")
    notes = {"card": "MODEL_CARD.md", "licence": "Apache-2.0"}
    generator.save(assets / "generator.safetensors", dtype=torch.float16, notes=notes)

    # Learn the directions, on the file as it ships: a direction names the rounded weights.
    where = ["--model", assets, "--out", assets / "directions"]
    shoegen("fit-direction", *DIRECTIONS, "--orthogonal-to", "all", "--samples", options.samples, *where)


def train_generator(run: Path, kimg: float, *start: object) -> None:
    if images_shown(run) < kimg * 1000:
        options = ["--resume"] if started(run) else [*start, "--augment", "none"]
        shoegen("train-stylegan", *options, "--kimg", kimg, "--out", run)


if __name__ == "__main__":
    main()
