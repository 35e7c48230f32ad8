"""Makes the painter that ships with shoegen, from nothing but the synthetic shoes.

    python scripts/train_spade.py --work runs/spade

runs `shoegen` commands in order, prints each, and copies what they made to shoegen/assets/. A training that was
interrupted goes on from its last checkpoint; one that is done is skipped. Paintings are compared with their pictures in
the features of the segmenter in shoegen/assets/, so that the same model is made whether or not VGG19 is on disk.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _commands import ASSETS, make_shoes, train

from shoegen.spade.painting import MODEL_FILE, Painter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/spade"), help="where the run and the data are kept"
    )
    parser.add_argument("--shoes", type=int, default=8000, help="synthetic shoes to train on")
    parser.add_argument("--resolution", type=int, default=128, help="side of the pictures")
    parser.add_argument("--images", type=int, default=44_000, help="pictures shown")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="where the model goes")
    options = parser.parse_args()
    shoes, run = options.work / "shoes.zip", options.work / "small"

    make_shoes(shoes, "--count", options.shoes, "--resolution", options.resolution, "--seed", 11)
    start = ["--data", shoes, "--preset", "small", "--resolution", options.resolution]
    train("train-spade", run, options.images, *start, "--perceptual-net", "segmenter")
    # Without what the file of the run says of the run itself, such as where its data are.
    notes = {"card": "MODEL_CARD.md", "licence": "Apache-2.0"}
    Painter.load(run).save(options.assets / MODEL_FILE, notes=notes)


if __name__ == "__main__":
    main()
