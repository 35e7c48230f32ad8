"""Any folder or zip of pictures → a checked zip of pictures of one size and kind. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from shoegen.data.classes import CLASSES_FILE, Classes, find_classes
from shoegen.data.datasets import choose_subset, first_size, read_attributes
from shoegen.data.files import PictureFiles, expected_part_map, write_member
from shoegen.data.images import (
    DecodedImage,
    Size,
    check_channels,
    check_filter,
    check_fit,
    decode_picture,
    describe_fit,
    encode_image,
    encode_part_map,
    fit_image,
    fit_part_map,
)
from shoegen.data.loading import map_ahead
from shoegen.data.report import Offender, check_report, write_report
from shoegen.errors import ConfigError, DataError
from shoegen.torch_utils.files import atomic_write, check_writable

FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}
_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
DUPLICATES = ("keep", "drop", "fail")


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """What the pictures become. `resolution` is (height, width); None: they have one size and keep it."""

    resolution: Size | None = None
    fit: str = "strict"  # see `fit_image`, as for the next
    filter: str = "auto"
    channels: int = 3
    classes: str | Path = "auto"  # see `find_classes`
    format: str = "png"  # jpeg and webp: at quality 95
    skip_bad: bool = False
    duplicates: str = "keep"  # of pictures with the same pixels: keep all, drop all but the first, or fail
    subset: int | None = None
    seed: int = 0  # of the subset

    def __post_init__(self) -> None:
        check_fit(self.fit)
        check_filter(self.filter)
        check_channels(self.channels)
        for name, value, known in (
            ("format", self.format, FORMATS),
            ("duplicates", self.duplicates, DUPLICATES),
        ):
            if value not in known:
                raise ConfigError(f"{name}: got {value!r}, expected one of {', '.join(known)}")
        if self.format == "jpeg" and self.channels == 4:
            raise ConfigError("format: JPEG has no transparency; for 4 channels choose png or webp")


@dataclass(kw_only=True)
class PrepareReport:
    """What `prepare` did: of `pictures` found, `written` were written at `size`, (height, width)."""

    pictures: int
    size: Size
    written: int = 0
    part_maps: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    offenders: list[Offender] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def problems(self) -> dict[str, int]:
        """Of each kind of problem of pictures that were used, how many had it."""
        used = [each for each in self.offenders if each.action in ("converted", "kept")]
        return dict(Counter(problem for each in used for problem in each.problems))

    def with_action(self, action: str) -> list[Offender]:
        return [each for each in self.offenders if each.action == action]

    def to_json(self) -> dict[str, Any]:
        return {
            "pictures": self.pictures,
            "written": self.written,
            "width": self.size[1],
            "height": self.size[0],
            "part_maps": self.part_maps,
            "classes": self.classes,
            "notes": self.notes,
        }


def prepare(
    source: str | Path,
    out: str | Path,
    config: PrepareConfig,
    *,
    report: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PrepareReport:
    """Writes the pictures of `source` to the zip `out`, all decoded, converted and fitted as `config` says.

    The zip holds images/, and as `source` has them masks/ and labels.json, attributes.json, and dataset.json with
    the classes. The same source and configuration give the same bytes. `progress` hears how many of all are done.

    Args:
        report: a .json or .csv that names every picture that is bad or was converted; written even if `out` is not.

    Raises:
        ConfigError: options that cannot be followed.
        DataError: nothing to read, or pictures that are bad and not to be skipped; nothing is written to `out`.
        OutputError: a path cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() != ".zip":
        raise ConfigError(f"--out: got {out}, expected a name that ends in .zip")
    files = PictureFiles(source)
    if out.exists() and out.samefile(files.path):
        raise ConfigError(f"--out {out} is the source itself; choose another name")
    check_writable(out)
    if report is not None:
        check_report(report)
    job = _Job(files, config)
    with atomic_write(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for done, picture in enumerate(map_ahead(job.process, job.names), start=1):
            job.take(picture, archive)
            progress(done, len(job.names))
        job.finish(archive)
        if report is not None:
            write_report(report, job.report.to_json(), job.report.offenders)
        job.check()
    return job.report


@dataclass(kw_only=True)
class _Picture:
    """What became of one picture."""

    name: str
    error: str | None = None
    content: bytes = b""
    part_map: bytes | None = None
    digest: bytes = b""
    problems: list[str] = field(default_factory=list)
    size: Size | None = None
    mode: str | None = None


class _Job:
    def __init__(self, files: PictureFiles, config: PrepareConfig):
        self.files, self.config = files, config
        self.classes = find_classes(files, config.classes)
        self.names = choose_subset(files.pictures, config.subset, config.seed)
        self.labels = files.read_labels() if files.has_part_maps else None
        self.attributes = read_attributes(files)
        self.size = config.resolution or first_size(files, self.names) or (1, 1)
        self.report = PrepareReport(pictures=len(files.pictures), size=self.size)
        self.renamed: dict[str, str] = {}
        self._stems: set[str] = set()
        self._first_of: dict[bytes, str] = {}

    # ---- one picture, in a thread ----

    def process(self, name: str) -> _Picture:
        result = _Picture(name=name)
        try:
            decoded = decode_picture(self.files.read(name), channels=self.config.channels)
            result.size, result.mode = decoded.pixels.shape[:2], decoded.mode
            result.problems = decoded.conversions
            result.digest = pixel_digest(decoded.pixels)
            self._fit(decoded, result)
        except DataError as error:
            result.error = str(error)
        return result

    def _fit(self, decoded: DecodedImage, result: _Picture) -> None:
        config, (height, width) = self.config, decoded.pixels.shape[:2]
        if config.resolution is None and (height, width) != self.size:
            raise DataError(
                f"it is {width}x{height} (width x height), others {self.size[1]}x{self.size[0]}; choose one size with "
                "--resolution"
            )
        result.problems += describe_fit((height, width), self.size, config.fit)
        fitted = fit_image(decoded.pixels, self.size, config.fit, config.filter)
        result.content = encode_image(fitted, FORMATS[config.format])
        if self.labels is not None:
            part_map = self.files.read_part_map(result.name, self.labels, (height, width))
            result.part_map = encode_part_map(fit_part_map(part_map, self.size, config.fit), self.labels)

    # ---- the zip, in order ----

    def take(self, picture: _Picture, archive: zipfile.ZipFile) -> None:
        """Writes a picture, if it is to be written, and notes what is to be said of it."""
        problems, action = list(picture.problems), "converted" if picture.problems else "kept"
        if picture.error:
            problems, action = [picture.error], "left out" if self.config.skip_bad else "bad"
        elif (twin := self._first_of.setdefault(picture.digest, picture.name)) != picture.name:
            problems.append(f"same pixels as {twin}")
            action = {"keep": action, "drop": "left out", "fail": "bad"}[self.config.duplicates]
        if problems:
            height, width = picture.size or (None, None)
            offender = Offender(
                file=picture.name,
                problems=problems,
                action=action,
                width=width,
                height=height,
                mode=picture.mode,
            )
            self.report.offenders.append(offender)
        if action in ("converted", "kept"):
            name = self._new_name(picture.name)
            self.renamed[picture.name] = name
            write_member(archive, name, picture.content)
            self.report.written += 1
            if picture.part_map is not None:
                write_member(archive, expected_part_map(name), picture.part_map)
                self.report.part_maps += 1

    def _new_name(self, name: str) -> str:
        """images/…, without what a zip's reader could stumble over, and unlike all before but for the suffix."""
        parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
        below = PurePosixPath(*(parts[1:] if parts[0] == "images" else parts)).with_suffix("")
        plain = "".join(c if c.isprintable() and c not in ':*?"<>|\\' else "_" for c in str(below))
        stem, number = plain, 2
        while stem.lower() in self._stems:
            stem, number = f"{plain}-{number}", number + 1
        self._stems.add(stem.lower())
        return f"images/{stem}{_SUFFIXES[self.config.format]}"

    def finish(self, archive: zipfile.ZipFile) -> None:
        """Writes the lists, which are complete only now."""
        written = list(self.renamed)
        if self.classes.of:
            of = {self.renamed[name]: self.classes.of[name] for name in written}
            renamed = Classes(self.classes.names, of)
            write_member(archive, CLASSES_FILE, _json(renamed.to_json()))
            self.report.classes = self.classes.count(written)
        if self.labels is not None:
            write_member(archive, "labels.json", _json(self.labels.to_json()))
        if self.attributes["attributes"]:
            renamed_tables = {
                key: {self.renamed[name]: row for name, row in table.items() if name in self.renamed}
                for key, table in self.attributes.items()
                if key in ("attributes", "metadata") and isinstance(table, dict)
            }
            write_member(archive, "attributes.json", _json(self.attributes | renamed_tables))
        self.report.notes += self.classes.notes
        if self.labels is None and self.files.has_part_maps:
            self.report.notes.append("masks/ left behind, because there is no labels.json")
        if self.files.others:
            self.report.notes.append(
                f"other files, left behind: {len(self.files.others)}, such as {self.files.others[0]}"
            )

    def check(self) -> None:
        """Raises DataError if the zip is not to be kept."""
        bad = self.report.with_action("bad")
        if bad or not self.report.written:
            listed = [f"{each.file}: {'; '.join(each.problems)}" for each in bad or self.report.offenders]
            more = f"; and {len(listed) - 3} more, see --report" if len(listed) > 3 else ""
            raise DataError(
                f"{len(listed)} of {len(self.names)} pictures in {self.files.path} cannot be used: "
                f"{'; '.join(listed[:3])}{more}; nothing was written: mend or remove them, choose another --fit, "
                "or leave them out with --skip-bad"
            )


def pixel_digest(pixels: np.ndarray) -> bytes:
    """Equal for pictures of equal pixels, however their files differ."""
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
