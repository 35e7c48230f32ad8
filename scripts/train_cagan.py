"""Makes the model that swaps shoes and ships with shoegen, from nothing but synthetic shoes on synthetic feet.

    python scripts/train_cagan.py --work runs/cagan

runs `shoegen` commands in order, prints each, and copies what they made to shoegen/assets/. A training that was
interrupted goes on from its last checkpoint; one that is done is skipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _commands import ASSETS, make_shoes, train

from shoegen.cagan.swapping import MODEL_FILE, Swapper


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/cagan"), help="where the run and the data are kept"
    )
    parser.add_argument("--shoes", type=int, default=6000, help="worn shoes to train on")
    parser.add_argument("--resolution", type=int, default=64, help="side of the pictures")
    parser.add_argument("--images", type=int, default=144_000, help="photographs shown, 16 an iteration")
    parser.add_argument(
        "--truth-weight",
        type=float,
        default=30.0,
        help="weight of the distance to true pictures of swaps, which the paper has not (default: 30)",
    )
    parser.add_argument("--assets", type=Path, default=ASSETS, help="where the model goes")
    options = parser.parse_args()
    worn, run = options.work / "worn.zip", options.work / "small"

    make_shoes(worn, "--worn", "--count", options.shoes, "--resolution", options.resolution, "--seed", 21)
    start = ["--data", worn, "--preset", "small", "--resolution", options.resolution]
    train("train-cagan", run, options.images, *start, "--truth-weight", options.truth_weight)
    notes = {"card": "MODEL_CARD.md", "licence": "Apache-2.0"}
    Swapper.load(run).save(options.assets / MODEL_FILE, notes=notes)


if __name__ == "__main__":
    main()
