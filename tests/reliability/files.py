"""Each kind of file that the commands read: a small valid one, what can be wrong with it, and who reads it.

pytest collects nothing here.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from shoegen.data.labels import LabelMap
from shoegen.data.synthetic.dataset import render
from shoegen.directions.direction import Direction
from shoegen.segmentation.instances.engines import build_instance_net
from shoegen.segmentation.instances.parts import InstanceSegmenter

from ..editing.models import make_run_folder
from ..segmentation.instances.tiny import TINY
from ..stylegan.official_pickles import dumps, module_of
from ..tiny import tiny_generator
from . import mutations as of
from .mutations import BYTES, Mutation
from .trainings import TRAININGS, Sets
from .warm import Commands


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    name: of the file, as it is given to the commands.
    make: the valid file's content.
    mutations: see `mutations`; by chance one of these.
    readers: command lines, by chance one of these: `{file}` is the damaged file, `{out}` a path to write to, `{made}`
        the folder of valid files.
    place: where the file is put, below the folder of valid files, if a command does not get it by its name.
    listed: the commands may say more than one line on stderr, such as a training that begins.
    """

    name: str
    make: Callable[[Path], bytes]
    mutations: tuple[Mutation, ...]
    readers: tuple[str, ...]
    place: str = ""
    listed: bool = False


def read(name: str) -> Callable[[Path], bytes]:
    return lambda made: (made / name).read_bytes()


def _member(name: str) -> tuple[Mutation, ...]:
    return (*BYTES, of.json_values) if name.endswith(".json") else BYTES


TENSORS = (*BYTES, of.tensors_header, of.tensors_header, of.tensors_values, of.tensors_values)
NARROW = replace(TINY, width=1 / 32)
CONVERT = "convert-annotations {file} --images {made}/shoes.zip --to %s --out {out}/out%s"
SEGMENTED = "segment {file} --model {made}/segmenter.safetensors --out {out}"

KINDS = {
    # Pictures and what stands beside them.
    **{
        f"picture-{suffix}": Kind(
            f"picture.{suffix}",
            read(f"pictures/0.{suffix}"),
            BYTES,
            (SEGMENTED, "measure {file} --mask --csv {out}/out.csv"),
        )
        for suffix in ("png", "jpg", "webp", "bmp", "tiff")
    },
    "part-map": Kind(
        "map.png",
        read("map.png"),
        BYTES,
        (
            "measure {file} --maps --csv {out}/out.csv",
            "paint {file} --model {made}/spade.safetensors --out {out}/o.png",
        ),
    ),
    "labels": Kind(
        "labels.json",
        read("labels.json"),
        (*BYTES, of.json_values, of.json_values),
        ("measure {made}/map.png --maps --labels {file} --csv {out}/out.csv",),
    ),
    "dataset": Kind(
        "shoes.zip",
        read("shoes.zip"),
        (*BYTES, of.members(_member), of.members(_member)),
        (
            "prepare {file} --out {out}/out.zip",
            "inspect {file}",
            "train-segmenter --data {file} --arch segnet --width 0.03 --resolution 32 --no-pretrained --dry-run "
            "--out {out}/run",
            "train-spade --data {file} --resolution 32 --dry-run --out {out}/run",
        ),
        listed=True,
    ),
    "pairs": Kind(
        "pairs.csv",
        read("pairs/pairs.csv"),
        (*BYTES, of.cells, of.cells),
        ("train-cagan --data {file} --preset small --resolution 32 --dry-run --out {out}/run",),
        place="pairs/pairs.csv",
    ),
    # Annotations.
    **{
        name: Kind(
            f"annotations{suffix}",
            read(f"annotations-{name}{suffix}"),
            (*BYTES, values, values, values),
            (
                CONVERT % ("coco", ".json"),
                CONVERT % ("dataset", ".zip"),
                CONVERT % ("labelbox", ".ndjson"),
                "inspect {file} --images {made}/shoes.zip",
            ),
        )
        for name, suffix, values in (
            ("coco", ".json", of.json_values),
            ("via", ".json", of.json_values),
            ("labelbox", ".ndjson", of.json_line_values),
            ("imaterialist", ".csv", of.cells),
        )
    },
    # Models and what belongs to them.
    "generator": Kind(
        "generator.safetensors",
        read("generator.safetensors"),
        TENSORS,
        (
            "generate --model {file} --seeds 0-1 --out {out}/out.png",
            "convert-model {file} --to rosinality --out {out}/out.pt",
            "train-encoder --model {file} --channels 8,8 --dry-run --out {out}/run",
            "interpolate --model {file} --seeds 0,1 --frames 4 --out {out}/out.gif",
        ),
        listed=True,
    ),
    "segmenter": Kind(
        "segmenter.safetensors",
        read("segmenter.safetensors"),
        TENSORS,
        ("segment {made}/pictures/0.png --model {file} --out {out}",),
    ),
    "instance-segmenter": Kind(
        "segmenter.safetensors",
        read("instances.safetensors"),
        TENSORS,
        ("segment {made}/pictures/0.png --model {file} --out {out}",),
    ),
    "painter": Kind(
        "spade.safetensors",
        read("spade.safetensors"),
        TENSORS,
        ("paint {made}/map.png --model {file} --out {out}/out.png",),
    ),
    "swapper": Kind(
        "cagan.safetensors",
        read("cagan.safetensors"),
        TENSORS,
        (
            "swap --photo {made}/pairs/photos/00.png --wearing {made}/pairs/articles/00.png --with "
            "{made}/pairs/articles/01.png --model {file} --out {out}/out.png",
        ),
    ),
    "direction": Kind(
        "heel.safetensors",
        read("directions/heel.safetensors"),
        TENSORS,
        (
            "convert-direction {file} --out {out}/out.npy",
            "edit --direction {file} --strength 1 --model {made}/generator.safetensors --out {out}/out.png",
        ),
    ),
    "boundary": Kind(
        "heel.npy",
        read("heel.npy"),
        BYTES,
        (
            "convert-direction {file} --attribute heel --model {made}/generator.safetensors --samples 16 --cache none "
            "--out {out}/out.safetensors",
        ),
    ),
    "latents": Kind(
        "latents.safetensors",
        read("latents.safetensors"),
        TENSORS,
        (
            "generate --w-file {file} --model {made}/generator.safetensors --out {out}/out.png",
            "latents list {file}",
            "edit --latent {file} --direction {made}/directions/heel.safetensors --strength 1 --model "
            "{made}/generator.safetensors --out {out}/out.png",
        ),
    ),
    "latents-npz": Kind(
        "latents.npz",
        read("latents.npz"),
        (*BYTES, of.members(lambda _: BYTES)),
        ("generate --w-file {file} --model {made}/generator.safetensors --out {out}/out.png",),
    ),
    "jobs": Kind(
        "jobs.csv",
        read("jobs.csv"),
        (*BYTES, of.cells, of.cells),
        ("edit --jobs {file} --model {made} --out {out}",),
    ),
    # Other projects' files.
    "official-pickle": Kind(
        "network.pkl",
        read("network.pkl"),
        (*BYTES, of.pickled_payload, of.pickled_payload),
        ("convert-model {file} --out {out}/out.safetensors",),
    ),
    "rosinality": Kind(
        "network.pt",
        read("network.pt"),
        (*BYTES, of.zipped_payload, of.state_values, of.members(lambda _: BYTES)),
        ("convert-model {file} --out {out}/out.safetensors",),
    ),
    # A run folder.
    "checkpoint": Kind(
        "checkpoint-000000016.pt",
        read("run/checkpoint-000000016.pt"),
        (*BYTES, of.zipped_payload, of.state_values, of.state_values, of.members(lambda _: BYTES)),
        ("train-encoder --resume --images 24 --out {run} --device cpu",),
        place="run/checkpoint-000000016.pt",
        listed=True,
    ),
    "manifest": Kind(
        "checkpoints.json",
        read("run/checkpoints.json"),
        (*BYTES, of.json_values, of.json_values),
        ("train-encoder --resume --images 24 --out {run} --device cpu",),
        place="run/checkpoints.json",
        listed=True,
    ),
    "configuration": Kind(
        "config.json",
        read("run/config.json"),
        (*BYTES, of.json_values, of.json_values, of.json_values),
        ("train-encoder --resume --images 24 --out {run} --device cpu",),
        place="run/config.json",
        listed=True,
    ),
    "stylegan-checkpoint": Kind(
        "checkpoint-000000016.pt",
        read("stylegan/checkpoint-000000016.pt"),
        (*BYTES, of.zipped_payload, of.state_values, of.state_values),
        (
            "convert-model {file} --out {out}/out.safetensors",
            "train-stylegan --init-from {file} --data {made}/shoes.zip --resolution 16 --width 0.004 --batch 8 "
            "--mapping-layers 2 --mbstd-group 2 --dry-run --out {out}/run",
        ),
        listed=True,
    ),
}


def make_files(made: Path, commands: Commands, whole: Callable[[str], Path]) -> None:
    """Everything that `KINDS` starts from, and what its commands read beside.

    made: becomes a run folder too, with a generator and a direction. whole: by a training's name, its run folder.
    """
    sets = Sets(made)
    make_run_folder(made)
    assert sets.shoes.exists()
    assert sets.pairs.exists()
    (made / "pictures").mkdir()
    picture = Image.fromarray(render(5, 3, 48).image)
    for suffix in ("png", "jpg", "webp", "bmp", "tiff"):
        picture.save(made / "pictures" / f"0.{suffix}")
    with zipfile.ZipFile(sets.shoes) as archive:
        masks = [name for name in archive.namelist() if name.startswith("masks/")]
        (made / "map.png").write_bytes(archive.read(masks[0]))
        (made / "labels.json").write_bytes(archive.read("labels.json"))
    for name, suffix in (
        ("coco", ".json"),
        ("via", ".json"),
        ("labelbox", ".ndjson"),
        ("imaterialist", ".csv"),
    ):
        convert = (
            "convert-annotations",
            sets.shoes,
            "--to",
            name,
            "--out",
            made / f"annotations-{name}{suffix}",
        )
        commands.run(*convert)
    for name in ("segmenter", "spade", "cagan"):
        file = whole(name) / TRAININGS[name].model
        (made / f"{name}.safetensors").write_bytes(file.read_bytes())
    labels = LabelMap.from_names(["background", "shoe", "bag"])
    InstanceSegmenter(build_instance_net(NARROW), NARROW, labels).save(made / "instances.safetensors")
    commands.run(*TRAININGS["encoder"].start(sets, made / "run", 16))
    commands.run(*TRAININGS["stylegan"].start(sets, made / "stylegan", 16))
    (made / "stylegan" / "checkpoints.json").unlink()  # without its hash the content itself is looked at
    direction = Direction.load(made / "directions" / "heel.safetensors")
    np.save(made / "heel.npy", direction.vector.numpy()[None])
    for name in ("latents.safetensors", "latents.npz"):
        draw = ("generate", "--model", made, "--seeds", "0-1", "--out", made / "x.png")
        commands.run(*draw, "--save-w", made / name)
    (made / "jobs.csv").write_text("seed,edits,out\n0,heel=0.5,a.png\n1,heel=-1,b.png\n")
    network = module_of("Generator", tiny_generator().state_dict(), {})
    (made / "network.pkl").write_bytes(dumps({"G_ema": network}))
    commands.run("convert-model", made, "--to", "rosinality", "--out", made / "network.pt")
