"""Makes the encoder that ships with shoegen, from nothing but the shipped generator's own samples.

    python scripts/train_encoder.py --work runs/encoder

runs `shoegen train-encoder`, prints it, and copies what it made to shoegen/assets/. A training that was interrupted
goes on from its last checkpoint; one that is done is skipped. One CPU core that is left alone shows it 150 samples a
second.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _commands import ASSETS, train

from shoegen.inversion.encoder import MODEL_FILE, Encoder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("runs/encoder"), help="the run folder")
    parser.add_argument("--images", type=int, default=120_000, help="samples shown")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="where the encoder goes")
    options = parser.parse_args()
    train("train-encoder", options.work, options.images, "--model", "default")
    notes = {"card": "MODEL_CARD.md", "licence": "Apache-2.0", "images": options.images}
    Encoder.load(options.work).save(options.assets / MODEL_FILE, **notes)


if __name__ == "__main__":
    main()
