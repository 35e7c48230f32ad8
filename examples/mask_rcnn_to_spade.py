"""From annotated parts to painted shoes: a Mask R-CNN learns the parts, maps a stack of photographs, and a SPADE learns
to paint such maps.

    python examples/mask_rcnn_to_spade.py --work runs/mask_rcnn_to_spade
    python examples/mask_rcnn_to_spade.py --annotations via.json --pictures photos/ --work runs/mine \\
        --spade "--fit crop --resolution 128x192"

The shoes are synthetic, or those of annotations in any format that `shoegen convert-annotations` reads. They are split
in three: from the first share Mask R-CNN learns the parts, of the second it makes the maps that SPADE learns from, and
of the third, which neither has seen, it makes the maps that are painted. Of the last two shares the annotations are not
used. Every step is a `shoegen` command, which is printed. Run again, the script goes on where it stopped.

The sheet shows unseen shoes: the photograph, Mask R-CNN's map of it, and that map painted in the photograph's own style
and in one that all share.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from shoegen.data.images import fit_image, fit_part_map, image_grid, read_image, read_part_map, write_image
from shoegen.data.labels import LabelMap
from shoegen.spade.painting import Painter
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--shoes", type=int, default=3000, help="how many to draw (default: 3000)")
    parser.add_argument("--resolution", type=int, default=128, help="of those in pixels (default: 128)")
    parser.add_argument("--annotations", help="annotated photographs instead")
    parser.add_argument("--pictures", help="their folder or zip, where the annotations do not hold them")
    parser.add_argument(
        "--split", default="0.3,0.6,0.1", help="shares to annotate, to map, to paint (default: 0.3,0.6,0.1)"
    )
    parser.add_argument("--maskrcnn-images", type=int, default=12_000, help="shown to Mask R-CNN")
    parser.add_argument("--maskrcnn", default="", help='more options of its training, such as "--width 0.25"')
    parser.add_argument("--spade-images", type=int, default=60_000, help="shown to SPADE")
    parser.add_argument("--spade", default="", help='more options of its training, such as "--channels 8"')
    parser.add_argument("--style-seed", type=int, default=0, help="of the paintings (default: 0)")
    parser.add_argument("--rows", type=int, default=8, help="of the sheet (default: 8)")
    options = parser.parse_args(arguments)
    work: Path = options.work
    sets, maps, unseen, painted = (work / name for name in ("sets", "maps", "unseen_maps", "painted"))
    maskrcnn, spade, sheet = work / "maskrcnn", work / "spade", work / "sheet.png"

    # Annotated shoes, and others: each connected part is an instance.
    source = options.annotations or work / "shoes.zip"
    if not options.annotations and not source.exists():
        shoegen("make-shoes", "--count", options.shoes, "--resolution", options.resolution, "--out", source)
    if not sets.exists():
        where = ["--images", options.pictures] if options.pictures else []
        how = ["--to", "dataset", "--split", options.split, "--min-area", 4]
        shoegen("convert-annotations", source, *where, *how, "--out", sets)
    photos, others = sets / "val" / "images", sets / "test" / "images"

    # Parts.
    size = [] if options.annotations else ["--resolution", options.resolution]
    start = ["--arch", "maskrcnn", "--data", sets / "train", *size, *shlex.split(options.maskrcnn)]
    train("train-segmenter", maskrcnn, options.maskrcnn_images, *start)
    segmenter = maskrcnn / "segmenter.safetensors"
    for pictures, out in ((photos, maps), (others, unseen)):
        if not is_made(out, pictures, segmenter):
            shoegen("segment", pictures, "--model", maskrcnn, "--out", out)

    # Paintings. Maps of another shape than the model's are not painted.
    start = ["--data", photos, "--maps", maps, *size, *shlex.split(options.spade)]
    train("train-spade", spade, options.spade_images, *start)
    done = painted / f"style{options.style_seed}"
    if not is_made(done, unseen, spade / "spade.safetensors"):
        shoegen(
            "paint", unseen, "--model", spade, "--style-seed", options.style_seed, "--skip-bad", "--out", done
        )

    # The sheet.
    labels, painter, tiles = LabelMap.read(unseen / "labels.json"), Painter.load(spade), []
    for painting in sorted(done.glob("*.png"))[: options.rows]:
        picture = read_image(painting)
        size = picture.shape[:2]
        photo = fit_image(read_image(next(others.rglob(f"{painting.stem}.*"))), size)
        part_map = fit_part_map(read_part_map(unseen / painting.name, labels), size)
        own = painter.encode(photo) if painter.encoder is not None else None
        tiles += [photo, labels.colorize(part_map)]
        tiles += [painter.paint(painter.prepare(part_map, labels), own), picture]
    write_image(sheet, image_grid(tiles, columns=8))
    print(
        f"{sheet}: photograph, map by Mask R-CNN, painted by SPADE in the photograph's style and in that of the seed"
    )


def shoegen(*arguments: object) -> None:
    command = [sys.executable, "-m", "shoegen", *map(str, arguments)]
    print("$ shoegen", shlex.join(command[3:]), flush=True)
    status = subprocess.call(command)
    if status:
        sys.exit(status)  # it has said why


def train(command: str, run: Path, images: int, *start: object) -> None:
    """Trains until `images` were shown; what has begun goes on from its last checkpoint."""
    checkpoint = latest_checkpoint(run)
    if checkpoint is None or load_checkpoint(checkpoint)["images"] < images:
        options = ["--resume"] if (run / "config.json").exists() else start
        shoegen(command, *options, "--images", images, "--out", run)


def is_made(folder: Path, sources: Path, model: Path) -> bool:
    """Whether there is a picture for each of the sources, and none is older than the model."""
    made = {path.stem: path.stat().st_mtime for path in folder.glob("*.png")}
    return all(
        made.get(path.stem, 0) >= model.stat().st_mtime
        for path in sources.rglob("*")
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")
    )


if __name__ == "__main__":
    main()
