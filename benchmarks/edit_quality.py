"""What an edit changes, by how much, and what it leaves alone: ours beside the plain published recipe.

    python benchmarks/edit_quality.py --seeds 500 --direction heel --json edits.json

`plain` is InterFaceGAN's recipe (arXiv 1907.10786) as its code has it: the samples that ours was fitted to, with the
same measures as labels, 2 % at each end, a linear SVM with C = 1 on W as it is, no conditioning, all layers. Its step
is calibrated as ours is, so that strengths mean the same. `ours` is the direction of --direction.

The shoe of each seed is edited at seven strengths from −2 to 2 with both, and all pictures are measured. `held` is
ours as `edit` does it by default, which holds what the edit is not about (`shoegen.editing.holding`); it is left out
with --no-hold, since it takes sixteen times as long. σ is an attribute's standard deviation over the unedited shoes.
Printed are, for each of the three,

- spearman_median: of strength and measured attribute, over the seeds (aim: ≥ 0.95);
- growth: of the attribute from −2 to +2, mean over the seeds (aim: ≥ 1.5 σ);
- leak/NAME: how far another attribute moves in its σ per σ of the edited one: the mean over the seeds of its signed
  least-squares slope over strength, divided by the edited attribute's mean slope; `leak_mean` and `leak_rms` are the
  mean of their absolute values and the root of their mean square (aim: ours at most half of plain's);
- wander_mean: the same from the absolute values of single shoes' slopes: what one shoe undergoes, and what noise of
  measuring adds;
- identity at ±1.5 σ, of what lies above the sole, so outside heel and sole: `iou` of all of it, `part_iou` of its
  parts, weighed by their area (aim: ≥ 0.92), and the mean `delta_e` (CIEDE2000) where both have it (aim: ≤ 5). A heel
  lifts the upper, so that it lies elsewhere in the picture without being another: `own/…` compares in the shoe's own
  coordinates, columns along its length and rows above the sole's upper edge; `picture/…` pixel by pixel. `truth/…` is
  what shoes reach that the renderer draws twice, the second time with such a heel and nothing else changed: no recipe
  can be expected to do better.
- stability: see `Direction.stability` (aim: ≥ 0.95 at 10,000 samples).

Then each shoe is edited to a target, drawn evenly from what it measures at strengths −2 to 2:

- to/within_3mm: share that lands within 3 mm on a shoe of 270 mm (aim: ≥ 0.9); to/refused: those called unreachable,
  which count as missed; to/median_error.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from report import Report
from scipy.stats import spearmanr
from sklearn.svm import LinearSVC

from shoegen.data.colors import delta_e
from shoegen.data.images import image_grid, resize, write_image
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.data.synthetic.parameters import ShoeParameters
from shoegen.data.synthetic.render import render_shoe
from shoegen.directions.cache import cached_samples, user_cache
from shoegen.directions.calibration import CALIBRATION, calibrate, relative_slopes, standard_deviation
from shoegen.directions.direction import Direction
from shoegen.directions.fitting import split, stability
from shoegen.directions.sampling import Samples, measure_images, measure_ws
from shoegen.editing import Shoe, ShoeModel, load
from shoegen.errors import ConfigError
from shoegen.measure import ATTRIBUTES, to_millimetres
from shoegen.torch_utils.pixels import as_rgb, to_pixels

STRENGTHS = (-2.0, -1.5, -0.75, 0.0, 0.75, 1.5, 2.0)
MIDDLE, IDENTITY = 3, (1, 5)  # which of them
ABOVE = ("upper", "shaft", "opening", "fastening")
LENGTH = 270.0  # millimetres
WIDTH, HEIGHT = 160, 220  # of a shoe in its own coordinates
TRUTHS = 60


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=500, help="shoes (default: 500)")
    parser.add_argument("--first-seed", type=int, default=1_000_000, help="fitting uses small ones")
    parser.add_argument("--model", default="default", help="a generator's file or a run folder")
    parser.add_argument("--direction", default="heel", help="its name or file")
    parser.add_argument("--samples", type=int, help="of the plain recipe (default: as many as ours)")
    parser.add_argument("--psi", type=float, default=0.7)
    parser.add_argument("--no-hold", action="store_true", help="edits go straight")
    parser.add_argument(
        "--sheet", help="also draw the first eight shoes at ±1.5 σ, straight and held, to this file"
    )
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()

    model = load(options.model)
    ours = model.direction(options.direction)
    samples = cached_samples(
        model.generator,
        model.segmenter,
        options.samples or ours.samples,
        psi=ours.psi,
        seed=ours.seed,
        folder=user_cache() / "samples",
        say=print,
    )
    plain, cosines = fit_plain(model, samples, ours)
    shoes = [
        model.sample(seed, options.psi)
        for seed in range(options.first_seed, options.first_seed + options.seeds)
    ]

    if options.sheet:
        draw_sheet(options.sheet, options.direction, shoes[:8])

    report = Report()
    report.add("seeds", options.seeds, "shoes")
    report.add("samples", len(samples.w), "shoes")
    report.add("cosine", float(F.cosine_similarity(plain.vector, ours.vector, dim=0)), "")
    truth = [difference for pair in truths() for difference in [identity(*pair, own=True)]]
    for name, value in zip(("iou", "part_iou", "delta_e"), np.nanmean(truth, axis=0), strict=True):
        report.add(f"truth/{name}", float(value), "CIEDE2000" if name == "delta_e" else "share")
    report.add("plain/stability", cosines, "cosine")
    if ours.stability is not None:
        report.add("ours/stability", ours.stability, "cosine", aim="≥ 0.95 at 10,000 samples")
    leaks = {}
    kinds = [("plain", plain, False), ("ours", ours, False)]
    kinds += [] if options.no_hold else [("held", ours, True)]
    for name, direction, is_held in kinds:
        hold = options.direction if is_held else None
        values, leaks[name] = follow(report, name, model, direction, shoes, hold=hold)
    report.add("leak_mean_ratio", leaks["ours"][0] / leaks["plain"][0], "ours over plain", aim="≤ 0.5")
    report.add("leak_rms_ratio", leaks["ours"][1] / leaks["plain"][1], "ours over plain", aim="≤ 0.5")
    if ATTRIBUTES[ours.attribute].unit == "shoe length":
        reach_targets(report, options.direction, ours, shoes, values, hold=not options.no_hold)
    report.write(options.json)


def fit_plain(model: ShoeModel, samples: Samples, ours: Direction) -> tuple[Direction, float]:
    """The published recipe, and the mean cosine of eight refits to bootstrapped samples with their mean."""
    known = ~split(len(samples.w), seed=0)
    w, values = samples.w.double().numpy(), samples.attributes[ours.attribute]
    chosen = np.flatnonzero(known & np.isfinite(values))

    def normal(rows: np.ndarray) -> np.ndarray:
        low, high = np.quantile(values[rows], [0.02, 0.98])
        ends = rows[(values[rows] <= low) | (values[rows] >= high)]
        svm = LinearSVC(C=1.0, random_state=0, dual="auto", max_iter=100_000)
        found = svm.fit(w[ends], values[ends] >= high).coef_[0]
        return found / np.linalg.norm(found)

    rng = np.random.default_rng(0)
    refits = np.stack([normal(rng.choice(chosen, len(chosen))) for _ in range(8)])
    num_ws = model.generator.num_ws
    direction = dataclasses.replace(
        ours,
        vector=torch.from_numpy(normal(chosen)).float(),
        layers=tuple(range(num_ws)),
        step=float(w.std(0).mean()),
        sigma=standard_deviation(values),
        kept=(),
        leaks={},
    )
    ws = samples.w[torch.from_numpy(~known)][:CALIBRATION].unsqueeze(1).expand(-1, num_ws, -1)
    calibrated = calibrate(direction, partial(measure_ws, model.generator, model.segmenter), ws)
    if calibrated is None:
        raise SystemExit(f"{ours.attribute} does not follow the plain direction")
    return calibrated, stability(refits)[0]


def follow(
    report: Report,
    name: str,
    model: ShoeModel,
    direction: Direction,
    shoes: list[Shoe],
    *,
    hold: str | None,
) -> tuple[np.ndarray, tuple[float, float]]:
    """Edits all shoes and reports; the attribute at each strength, (shoes, strengths), and the size of its leaks.

    hold: the direction's name, for edits as users get them; None: straight along it.
    """
    found: dict[str, list[list[float]]] = {}
    alike: dict[str, list[tuple[float, float, float]]] = {"own": [], "picture": []}
    labels = model.segmenter.labels
    for shoe in shoes:
        if hold is None:
            edits = direction.move(shoe.ws, torch.tensor(STRENGTHS))  # S, num_ws, w_dim
        else:
            edits = torch.stack([shoe.edit(**{hold: strength}).ws for strength in STRENGTHS])
        with torch.no_grad():
            images = model.generator.synthesis(edits.to(model.device)).clamp(-1, 1)
        measured = measure_images(images, model.segmenter)
        side = len(measured[0][0])
        pictures = to_pixels(F.interpolate(as_rgb(images), (side, side), mode="bilinear"))
        for attribute in measured[0][1]:
            found.setdefault(attribute, []).append([values[attribute] for _, values in measured])
        before = (measured[MIDDLE][0], pictures[MIDDLE])
        for i in IDENTITY:
            for kind, pairs in alike.items():
                after = (measured[i][0], pictures[i])
                pairs.append(identity(before, after, labels, own=kind == "own"))
    table = {attribute: np.array(rows) for attribute, rows in found.items()}  # seeds, strengths

    own = table[direction.attribute]
    whole = np.isfinite(own).all(1) & (np.ptp(own, axis=1) > 0)
    sigmas = {attribute: standard_deviation(rows[:, MIDDLE]) for attribute, rows in table.items()}
    sigma, unit = sigmas[direction.attribute], ATTRIBUTES[direction.attribute].unit.replace(" ", "_")
    rank = [spearmanr(STRENGTHS, row).statistic for row in own[whole]]
    growth = float(np.nanmean(own[:, -1] - own[:, 0]))
    report.add(f"{name}/spearman_median", float(np.median(rank)), "correlation", aim="≥ 0.95")
    report.add(f"{name}/growth", growth / sigma, "σ", aim="≥ 1.5")
    report.add(f"{name}/growth_measured", growth, unit)
    report.add(f"{name}/sigma", sigma, unit)
    report.add(f"{name}/not_measured", float(np.isnan(own).mean()), "share")
    report.add(f"{name}/does_not_follow", float(1 - whole.mean()), "share")

    moves = relative_slopes(STRENGTHS, table, direction.attribute, sigmas)
    leaks = {attribute: float(np.nanmean(move)) for attribute, move in moves.items()}
    wander = [float(np.nanmean(np.abs(move))) for move in moves.values()]
    for attribute, leak in leaks.items():
        report.add(f"{name}/leak/{attribute}", leak, "σ/σ")
    size = np.abs(list(leaks.values()))
    sizes = float(size.mean()), float(np.sqrt(np.mean(size**2)))
    report.add(f"{name}/leak_mean", sizes[0], "σ/σ")
    report.add(f"{name}/leak_rms", sizes[1], "σ/σ")
    report.add(f"{name}/leak_largest", float(size.max()), "σ/σ")
    report.add(f"{name}/wander_mean", float(np.mean(wander)), "σ/σ")
    for kind, pairs in alike.items():
        iou, part_iou, difference = np.nanmean(pairs, axis=0)
        report.add(f"{name}/{kind}/iou", float(iou), "share", aim="≥ 0.92")
        report.add(f"{name}/{kind}/part_iou", float(part_iou), "share", aim="≥ 0.92")
        report.add(f"{name}/{kind}/delta_e", float(difference), "CIEDE2000", aim="≤ 5")
    return own, sizes


def draw_sheet(path: str, name: str, shoes: list[Shoe]) -> None:
    """Two shoes a row, each as it is, then at −1.5 σ straight and held, and at 1.5 σ."""
    tiles, captions = [], []
    for shoe in shoes:
        edits = [(strength, hold) for strength in (-1.5, 1.5) for hold in (False, True)]
        each = [shoe, *(shoe.edit(hold=hold, **{name: strength}) for strength, hold in edits)]
        tiles += [resize(one.image, (128, 128), "bicubic") for one in each]
        captions += [
            "as it is",
            *(f"{strength:+g} {'held' if hold else 'straight'}" for strength, hold in edits),
        ]
    write_image(path, image_grid(tiles, columns=10, captions=captions))


def reach_targets(
    report: Report, name: str, direction: Direction, shoes: list[Shoe], values: np.ndarray, *, hold: bool
) -> None:
    """Edits each shoe to a target that it reaches at some strength from −2 to 2."""
    rng = np.random.default_rng(0)
    errors, refused = [], 0
    for shoe, row in zip(shoes, values, strict=True):
        share = rng.random()
        if not np.isfinite(row).any():
            continue
        wanted = to_millimetres(float(np.nanmin(row) + share * np.ptp(row[np.isfinite(row)])), LENGTH)
        try:
            edited = shoe.edit(shoe_length=LENGTH, hold=hold, **{name: f"={wanted:.3f}mm"})
        except ConfigError:
            refused += 1
            continue
        errors.append(abs(to_millimetres(edited.measures[direction.attribute], LENGTH) - wanted))
    count = len(errors) + refused
    report.add("to/targets", count, "shoes")
    report.add("to/within_3mm", float(np.sum(np.array(errors) <= 3.0)) / count, "share", aim="≥ 0.9")
    report.add("to/median_error", float(np.nanmedian(errors)), "mm")
    report.add("to/refused", refused / count, "share")


# ---- identity ----

Pictured = tuple[np.ndarray, np.ndarray]
"""A part map (H, W) and its picture (H, W, 3), uint8."""


def identity(
    before: Pictured, after: Pictured, labels: LabelMap | None = None, *, own: bool
) -> tuple[float, float, float]:
    """How much of what lies above the sole is the same: IoU of all of it, that of its parts weighed by their area
    before, and the mean colour difference where both have it. NaN where there is no shoe.

    own: compare in the shoe's own coordinates, see `unfold`.
    """
    labels = labels or SHOE_PARTS
    view: Callable[[Pictured], Pictured | None] = partial(unfold, labels=labels) if own else lambda each: each
    one, two = view(before), view(after)
    if one is None or two is None:
        return (np.nan,) * 3
    parts = [labels.index(name) for name in ABOVE if name in labels.names]
    first, second = (np.isin(part_map, parts) for part_map, _ in (one, two))
    both = first & second
    if not both.any():
        return (0.0, 0.0, np.nan)
    shares = [(one[0] == part).sum() / first.sum() for part in parts]
    ious = [intersection_over_union(one[0] == part, two[0] == part) for part in parts]
    weighed = sum(share * iou for share, iou in zip(shares, ious, strict=True) if share)
    return (
        intersection_over_union(first, second),
        float(weighed),
        float(delta_e(one[1][both], two[1][both]).mean()),
    )


def unfold(pictured: Pictured, labels: LabelMap) -> Pictured | None:
    """The shoe in its own coordinates: a column for each 1/160 of its length, a row for each such step above the upper
    edge of the sole. None without a shoe or a sole."""
    part_map, picture = pictured
    columns = np.flatnonzero((part_map != labels.index("background")).sum(0) >= 2)
    sole = part_map == labels.index("sole")
    seen = np.flatnonzero(sole.any(0))
    if len(columns) < 8 or len(seen) < 8:
        return None
    start, length = columns[0], columns[-1] + 1 - columns[0]
    edge = np.interp(np.arange(part_map.shape[1]), seen, sole[:, seen].argmax(0))
    x = np.clip((start + (np.arange(WIDTH) + 0.5) / WIDTH * length).astype(int), 0, part_map.shape[1] - 1)
    y = np.round(edge[x][None] - (np.arange(HEIGHT)[:, None] + 0.5) * length / WIDTH).astype(int)
    outside, y = y < 0, np.maximum(y, 0)
    straight = part_map[y, x]
    straight[outside] = labels.index("background")
    return straight, picture[y, x]


def truths() -> list[tuple[Pictured, Pictured]]:
    """Shoes that the renderer draws twice, with heels that differ by 1.5 σ of its own and nothing else."""
    pairs = []
    step = 0.175 * 250.0  # millimetres: 1.5 σ of the samples' heel height, on shoes of 235 to 265 mm
    for seed in range(TRUTHS):
        shoe = ShoeParameters.sample(np.random.default_rng(seed))
        middle = float(np.clip(shoe.heel_height, step + 1, 119 - step))
        for heel in (middle - step, middle + step):
            drawn = [render_shoe(dataclasses.replace(shoe, heel_height=h), 256) for h in (middle, heel)]
            pairs.append(((drawn[0].part_map, drawn[0].image), (drawn[1].part_map, drawn[1].image)))
    return pairs


def intersection_over_union(one: np.ndarray, two: np.ndarray) -> float:
    """Of two bool masks; NaN where both are empty."""
    union = np.count_nonzero(one | two)
    return np.count_nonzero(one & two) / union if union else float("nan")


if __name__ == "__main__":
    main()
