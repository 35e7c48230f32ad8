"""Swaps of worn shoes against the true picture, which the renderer draws: the same wearer in the other shoe.

    python benchmarks/swap_quality.py --model runs/swap --count 200 --json swap.json --sheet swap.png

For each unseen pair, how far from the truth are the model's swap, the photo as it is (kept), and the other article
pasted over the worn shoe (its cut-out, scaled to the worn shoe's box): mean colour difference CIEDE2000, and a
perceptual distance, both inside the union of the two shoes. The perceptual distance is LPIPS's recipe: unit feature
vectors, squared differences, here averaged over the shoes; with LPIPS's own network and weights where VGG-16's file is
on disk (in the folder that SHOEGEN_ASSETS names), else with the encoder of the segmenter that ships with shoegen.
Outside the union, widened by a pixel, PSNR against the photo, of the model and of the truth itself, whose foot differs,
too; what is left wholly alone counts as 100 dB.
Aims: model below kept and pasted in both distances, model_psnr_outside ≥ 35 dB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from report import Report
from torch import Tensor

from shoegen.data.colors import delta_e
from shoegen.data.images import image_grid, write_image
from shoegen.data.squares import box_of
from shoegen.data.synthetic import render_shoe, render_worn, sample_parameters, sample_wearer
from shoegen.metrics.weights import VGG, find_weights
from shoegen.segmentation.parts import PartSegmenter
from shoegen.torch_utils.pixels import from_pixels

METHODS = ("model", "kept", "pasted")
UNCHANGED = 100.0  # dB, of pictures that are the same
FINEST = 3  # feature maps of fewer pixels a side tell too little of where
Features = Callable[[Tensor], list[Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default="default", help="a cagan.safetensors or a run folder (default: the shipped one)"
    )
    parser.add_argument("--without-model", action="store_true", help="only what needs none: kept and pasted")
    parser.add_argument("--count", type=int, default=200, help="pairs (default: 200)")
    parser.add_argument("--resolution", type=int, default=128, help="of the pictures (default: 128)")
    parser.add_argument(
        "--seed", type=int, default=987_654, help="of shoes and wearers; training uses small ones"
    )
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--sheet", type=Path, help="also write a picture of the first 16 swaps")
    options = parser.parse_args()

    swapper = None
    if not options.without_model:
        from shoegen.cagan.swapping import Swapper

        swapper = Swapper.load(options.model)
    features, network = perceptual_features()
    methods = METHODS if swapper else METHODS[1:]
    figures: dict[str, list[float]] = {
        f"{method}_{name}": [] for method in methods for name in ("delta_e", "perceptual")
    }
    outside: dict[str, list[float]] = {"model": [], "truth": []}
    seconds, rows = 0.0, []
    for index in range(options.count):
        first, second = (sample_parameters(options.seed, i) for i in (index, index + 1))
        wearer = sample_wearer(options.seed, index)
        worn = render_worn(first, wearer, options.resolution)
        truth = render_worn(second, wearer, options.resolution)
        other = render_shoe(second, options.resolution)
        made = {
            "kept": worn.photo,
            "pasted": paste(worn.photo, worn.part_map > 0, other.image, other.part_map > 0),
        }
        if swapper:
            start = time.perf_counter()
            swapped = swapper.swap(worn.photo, worn.article, truth.article)
            seconds += time.perf_counter() - start
            made["model"] = swapped.image
        shoes = (worn.part_map > 0) | (truth.part_map > 0)
        for method in methods:
            figures[f"{method}_delta_e"].append(float(delta_e(made[method], truth.photo)[shoes].mean()))
            distance = perceptual_distance(features, made[method], truth.photo, shoes)
            figures[f"{method}_perceptual"].append(distance)
        beyond = cv2.dilate(shoes.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
        outside["truth"].append(psnr(truth.photo[beyond], worn.photo[beyond]))
        if swapper:
            outside["model"].append(psnr(made["model"][beyond], worn.photo[beyond]))
        if len(rows) < 16:
            shown = [made["pasted"], truth.photo]
            if swapper:
                shown[:0] = [np.repeat(swapped.mask[..., None], 3, 2), swapped.image]
            rows.append(np.concatenate([worn.photo, worn.article, truth.article, *shown], 1))

    report = Report()
    print(f"perceptual: features of {network}")
    for name, values in figures.items():
        report.add(name, float(np.mean(values)), "dE00" if name.endswith("delta_e") else "distance")
    if swapper:
        for rival in METHODS[1:]:
            for name in ("delta_e", "perceptual"):
                nearer = np.array(figures[f"model_{name}"]) < np.array(figures[f"{rival}_{name}"])
                report.add(f"model_nearer_than_{rival}_{name}", float(nearer.mean()), "share")
        report.add("model_psnr_outside", float(np.mean(outside["model"])), "dB")
        report.add("model_psnr_outside_worst", float(np.min(outside["model"])), "dB")
        report.add("model_time", 1000 * seconds / options.count, "ms")
    report.add("truth_psnr_outside", float(np.mean(outside["truth"])), "dB")
    report.add("pairs", options.count, "pairs")
    report.write(options.json)
    if options.sheet:
        write_image(options.sheet, image_grid(rows, columns=2, gap=6))
        middle = "alpha, swap, " if swapper else ""
        print(f"{options.sheet}: photo, article worn, other article, {middle}pasted, truth")


def paste(photo: np.ndarray, worn: np.ndarray, article: np.ndarray, shoe: np.ndarray) -> np.ndarray:
    """The article, cut out by its mask, over the worn shoe: scaled to the worn shoe's box. Masks (H, W) bool."""
    if not (worn.any() and shoe.any()):
        return photo
    top, left, bottom, right = box_of(worn)
    rows, columns = (slice(*each) for each in zip(box_of(shoe)[:2], box_of(shoe)[2:]))
    size = right - left, bottom - top
    cut = cv2.resize(article[rows, columns], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = cv2.resize(shoe[rows, columns].astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
    result = photo.astype(np.float32)
    result[top:bottom, left:right] += alpha * (cut - result[top:bottom, left:right])
    return np.clip(result + 0.5, 0, 255).astype(np.uint8)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = float(((one.astype(float) - other) ** 2).mean()) if len(one) else 0.0
    return min(10 * np.log10(255**2 / error), UNCHANGED) if error else UNCHANGED


# ---- features ----


def perceptual_features() -> tuple[Features, str]:
    """(N, 3, H, W) in [−1, 1] → weighted unit features (N, C, h, w), shallow to deep; and whose they are."""
    path = find_weights(VGG)
    if path is not None:
        from shoegen.metrics.path_length import PerceptualDistance

        lpips = PerceptualDistance(path)._network

        def of_lpips(images: Tensor) -> list[Tensor]:
            stages = lpips.net(lpips.scaling_layer(images))
            # Its weights multiply squared differences.
            return [
                _unit(stage) * lin.model[-1].weight.clamp(min=0).sqrt()
                for stage, lin in zip(stages, lpips.lins)
            ]

        return of_lpips, "LPIPS with VGG-16"
    encoder = PartSegmenter.load().net.encoder

    def of_encoder(images: Tensor) -> list[Tensor]:
        # The picture itself comes first; it is no feature.
        return [_unit(stage) for stage in encoder(images)[1:] if min(stage.shape[2:]) >= FINEST]

    return of_encoder, "the shipped segmenter's encoder"


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features, dim=1, eps=1e-10)


@torch.inference_mode()
def perceptual_distance(features: Features, one: np.ndarray, other: np.ndarray, inside: np.ndarray) -> float:
    """Of two pictures (H, W, 3) uint8 within a mask (H, W) bool: summed over the stages."""
    pixels = torch.from_numpy(np.stack([one, other])).permute(0, 3, 1, 2)
    weight = torch.from_numpy(inside)[None, None].float()
    total = 0.0
    for stage in features(from_pixels(pixels)):
        apart = (stage[:1] - stage[1:]).square().sum(1, keepdim=True)
        share = F.adaptive_avg_pool2d(weight, apart.shape[2:])
        total += float((apart * share).sum() / share.sum())
    return total


if __name__ == "__main__":
    main()
