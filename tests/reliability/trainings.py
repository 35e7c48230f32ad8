"""How each training command is started at a size of seconds; a new command needs a line here.

pytest collects nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shoegen.data.synthetic import make_dataset

from ..cagan.tiny import write_pairs
from ..segmentation.instances.tiny import coco, write_json, write_pictures
from ..tiny import tiny_generator


@dataclass(frozen=True)
class Training:
    """A training command.

    options: of a run on the data; what it saves each `save_every` images.
    batch: images of a step.
    model: the file that comes of it.
    absurd: options with which it cannot learn.
    thousands: it counts in kimg.
    """

    command: str
    options: Callable[[Sets], tuple[object, ...]]
    batch: int
    model: str
    absurd: tuple[object, ...]
    thousands: bool = False

    def start(
        self, sets: Sets, out: Path, images: int, *, save_every: int | None = None
    ) -> tuple[object, ...]:
        """Arguments of a new run."""
        every = save_every or self.batch
        saves = ("--snapshot-kimg", every / 1000) if self.thousands else ("--save-every", every)
        options = (*self.options(sets), *saves, "--device", "cpu")
        return (self.command, *options, *self.length(images), "--out", out)

    def resume(self, out: Path, images: int) -> tuple[object, ...]:
        return (self.command, "--resume", "--out", out, "--device", "cpu", *self.length(images))

    def length(self, images: int) -> tuple[object, ...]:
        return ("--kimg", images / 1000) if self.thousands else ("--images", images)


class Sets:
    """The data that the trainings learn from, made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def shoes(self) -> Path:
        make_dataset(self.folder / "shoes.zip", count=16, resolution=32, seed=0, workers=1)
        return self.folder / "shoes.zip"

    @cached_property
    def pairs(self) -> Path:
        return write_pairs(self.folder / "pairs")

    @cached_property
    def street(self) -> Path:
        self.pictures = write_pictures(self.folder / "street", 6)
        return write_json(self.folder / "street.json", coco(6))

    @cached_property
    def generator(self) -> Path:
        tiny_generator().save(self.folder / "generator.safetensors")
        return self.folder / "generator.safetensors"


TRAININGS = {
    "stylegan": Training(
        "train-stylegan",
        lambda sets: (
            "--data", sets.shoes, "--resolution", 16, "--width", 0.004, "--batch", 8, "--mbstd-group", 2,
            "--mapping-layers", 2, "--metrics", "none",
        ),
        batch=8, model="generator.safetensors", absurd=("--lr", 1e30), thousands=True,
    ),
    "segmenter": Training(
        "train-segmenter",
        lambda sets: (
            "--data", sets.shoes, "--arch", "segnet", "--width", 1 / 32, "--no-pretrained", "--resolution", 32,
            "--batch", 4, "--val-share", 0.25, "--evaluate-every", 16,
        ),
        batch=4, model="segmenter.safetensors", absurd=("--lr", 1e30),
    ),
    "maskrcnn": Training(
        "train-segmenter",
        lambda sets: (
            "--data", sets.street, "--pictures", sets.pictures, "--arch", "maskrcnn", "--no-pretrained", "--width",
            1 / 32, "--resolution", 64, "--rois", 8, "--batch", 2, "--val-share", 0.25, "--evaluate-every", 8,
            "--lr", 1e-3,
        ),
        batch=2, model="segmenter.safetensors", absurd=("--lr", 1e30),
    ),
    "spade": Training(
        "train-spade",
        lambda sets: (
            "--data", sets.shoes, "--preset", "small", "--resolution", 32, "--channels", 4, "--max-channels", 16,
            "--hidden", 8, "--z-dim", 8, "--encoder-channels", 8, "--d-channels", 8, "--batch", 4, "--val-share", 0.25,
            "--log-every", 4, "--evaluate-every", 16, "--perceptual-net", "none", "--flip",
        ),
        batch=4, model="spade.safetensors", absurd=("--lr-g", 1e30, "--lr-d", 1e30),
    ),
    "cagan": Training(
        "train-cagan",
        lambda sets: (
            "--data", sets.pairs, "--preset", "small", "--resolution", 32, "--channels", "8,8,12,12", "--d-channels",
            "8,8,12,12", "--batch", 4, "--val-share", 0.2, "--evaluate-every", 16, "--sheets-at", 1,
        ),
        batch=4, model="cagan.safetensors", absurd=("--lr-g", 1e30, "--lr-d", 1e30),
    ),
    "encoder": Training(
        "train-encoder",
        lambda sets: ("--model", sets.generator, "--channels", "8,8", "--batch", 8, "--evaluate-every", 32),
        batch=8, model="encoder.safetensors", absurd=("--lr", 1e30),
    ),
}  # fmt: skip


def length(name: str) -> int:
    """Images of a whole run."""
    return 8 * TRAININGS[name].batch
