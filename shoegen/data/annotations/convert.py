"""Annotations of one format → another, whole or not at all, in splits if wanted."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shoegen.data.annotations.formats import FORMATS, read_annotations
from shoegen.data.annotations.model import Annotations
from shoegen.data.annotations.writing import STEM, Files, WriteOptions
from shoegen.data.files import write_member
from shoegen.errors import ConfigError, DataError, OutputError
from shoegen.torch_utils.files import atomic_folder, atomic_write, check_writable

SPLITS = ("train", "val", "test")


@dataclass(kw_only=True)
class ConvertReport:
    """What `convert` wrote: how many images each split has ("all" without splits), and instances each class."""

    images: dict[str, int] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def convert(
    source: str | Path,
    out: str | Path,
    *,
    to: str,
    images: str | Path | None = None,
    format: str = "auto",
    labels: str | Path | None = None,
    points: str = "auto",
    classes: dict[str, str] | None = None,
    split: Sequence[float] = (),
    seed: int = 0,
    skip_bad: bool = False,
    options: WriteOptions | None = None,
) -> ConvertReport:
    """Reads `source` as `read_annotations` does, and writes it to `out` in the format `to`.

    Args:
        out: a file for formats of one file, otherwise a new folder or a .zip; with splits always these, holding
            train, val and test, each as a file or a folder.
        classes: see `Annotations.with_classes`.
        split: shares of train, val and test; see `split_names`.

    Raises:
        ConfigError: options that cannot be followed.
        DataError: see `read_annotations`; an empty split.
        OutputError: `out` cannot be written, or is there and not to be replaced.
    """
    out = Path(out)
    check_out(out, to, split)
    if out.exists() and Path(source).exists() and out.samefile(source):
        raise ConfigError(f"--out {out} is the source itself; choose another name")
    annotations = read_annotations(
        source,
        images=images,
        format=format,
        labels=labels,
        points=points,
        classes=classes,
        skip_bad=skip_bad,
    )
    report = ConvertReport(notes=list(annotations.notes), instances=annotations.count_instances())
    if not split:
        report.images = {"all": len(annotations.images)}
        write_annotations(annotations, out, format=to, options=options)
        return report
    parts = _split(annotations, split, seed)
    report.images = {name: len(part.images) for name, part in parts.items()}
    _write_all(_split_files(parts, to, options or WriteOptions()), out)
    return report


def write_annotations(
    annotations: Annotations, path: str | Path, *, format: str, options: WriteOptions | None = None
) -> None:
    """Writes annotations as a file, or for formats of many files as a new folder or a .zip, whole or not at all.

    Raises:
        ConfigError: no such format, or a path of another suffix.
        DataError: something that the format needs is not known, such as the pictures or their sizes.
        OutputError: it cannot be written, or a folder is there already.
    """
    path = Path(path)
    check_out(path, format)
    files = FORMATS[format].write(annotations, options or WriteOptions())
    if FORMATS[format].suffix is None:
        _write_all(files, path)
        return
    # All is made before the first is written.
    for name, content in list(files):
        with atomic_write(path.with_name(name.replace(STEM, path.name.removesuffix(path.suffix), 1))) as file:
            file.write(content)


def check_out(out: Path, to: str, split: Sequence[float] = ()) -> None:
    """Checks before long work that annotations can be written there.

    Raises:
        ConfigError, OutputError: see `write_annotations`.
    """
    if to not in FORMATS:
        raise ConfigError(f"format: got {to!r}, expected one of {', '.join(FORMATS)}")
    suffix = FORMATS[to].suffix
    if suffix and not split:
        if out.suffix.lower() != suffix:
            raise ConfigError(f"--out: got {out}, expected a name that ends in {suffix} for {to}")
    elif out.suffix.lower() == ".zip":
        if to == "dataset" and split:
            raise ConfigError(f"--out: got {out}, expected a folder, which gets a data set for each split")
    else:
        if out.suffix:
            raise ConfigError(f"--out: got {out}, expected a folder, or a name that ends in .zip")
        if out.is_file() or (out.is_dir() and any(out.iterdir())):
            raise OutputError(f"{out} is there already; remove it, or choose another name")
    check_writable(out / "x" if out.is_dir() else out)


def split_names(groups: dict[str, str], shares: Sequence[float], seed: int = 0) -> dict[str, list[str]]:
    """train, val and test of these names, by the hash of each name: always the same, and never overlapping.

    Names of one group (the value: the same picture twice) stay together, so that shares are met to within a group.

    Raises:
        ConfigError: not 2 or 3 positive shares that add up to 1.
        DataError: too few names: a split would be empty.
    """
    if not 2 <= len(shares) <= len(SPLITS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(
            f"--split: got {','.join(map(str, shares))}, expected 2 or 3 positive shares that add up to 1, such as "
            "0.7,0.2,0.1"
        )
    members: dict[str, list[str]] = {}
    for name in sorted(groups):
        members.setdefault(groups[name], []).append(name)
    ordered = sorted(
        members.values(), key=lambda names: hashlib.sha256(f"{seed} {names[0]}".encode()).digest()
    )
    ends = [round(sum(shares[: index + 1]) * len(groups)) for index in range(len(shares))]
    result: dict[str, list[str]] = {name: [] for name in SPLITS[: len(shares)]}
    done = 0
    for names in ordered:
        current = next(index for index, end in enumerate(ends) if done < end)
        result[SPLITS[current]] += names
        done += len(names)
    empty = [name for name, of in result.items() if not of]
    if empty:
        raise DataError(
            f"--split leaves {' and '.join(empty)} without a picture: there are {len(groups)}; choose other shares"
        )
    return result


def _split(annotations: Annotations, shares: Sequence[float], seed: int) -> dict[str, Annotations]:
    pictures = annotations.pictures
    groups = {
        image.name: pictures.digest(image.picture).hex() if pictures and image.picture else image.name
        for image in annotations.images
    }
    return {
        split: annotations.with_images(tuple(image for image in annotations.images if image.name in names))
        for split, names in (
            (split, set(names)) for split, names in split_names(groups, shares, seed).items()
        )
    }


def _split_files(parts: dict[str, Annotations], to: str, options: WriteOptions) -> Files:
    for split, part in parts.items():
        for name, content in FORMATS[to].write(part, options):
            yield (f"{split}/{name}" if FORMATS[to].suffix is None else name.replace(STEM, split, 1)), content


def _write_all(files: Iterable[tuple[str, bytes]], out: Path) -> None:
    if out.suffix.lower() == ".zip":
        with atomic_write(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, content in files:
                write_member(archive, name, content)
        return
    with atomic_folder(out) as folder:
        for name, content in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def parse_classes(text: str) -> dict[str, str]:
    """ "shoe,boots=shoe" → {"shoe": "shoe", "boots": "shoe"}.

    Raises:
        ConfigError: an empty name, or one that is listed twice.
    """
    mapping: dict[str, str] = {}
    for part in text.split(","):
        old, _, new = (piece.strip() for piece in part.partition("="))
        if not old or old in mapping or ("=" in part and not new):
            raise ConfigError(
                f"--classes: got {text!r}, expected names and renamings such as shoe,boots=shoe"
            )
        mapping[old] = new or old
    return mapping
