"""What the readers of all formats share: the file, limits, names, and what is found on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from shoegen.data.annotations.findings import Fault, Findings
from shoegen.data.annotations.model import AnnotatedImage, Annotations, Instance
from shoegen.data.annotations.pictures import Pictures
from shoegen.data.annotations.shapes import Polygons, Rle, check_size
from shoegen.data.files import PictureFiles
from shoegen.data.images import Size
from shoegen.data.labels import LabelMap
from shoegen.errors import DataError

MAX_BYTES = 2**30
"""COCO's largest file has half of it."""
MAX_VALUES = 100_000_000
MAX_DEPTH = 50
"""Nested lists and objects; annotations have about ten."""


@dataclass(kw_only=True)
class Reading:
    """One file or folder that is being read: a format's `read` gets it, adds to it, and ends with `finish`.

    Attributes:
        path, data: the file and its bytes.
        files: the folder or zip, for the formats that are such.
        pictures, labels: what stands beside it, or None.
        points: how polygons' points are meant, see shapes.py, or "auto".
    """

    path: Path
    format: str
    data: bytes = b""
    files: PictureFiles | None = None
    pictures: Pictures | None = None
    labels: LabelMap | None = None
    points: str = "auto"
    findings: Findings = field(default_factory=lambda: Findings(""))
    notes: list[str] = field(default_factory=list)
    images: list[AnnotatedImage] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.findings = Findings(self.path.name)

    def locate(self, name: str, size: Any = None) -> tuple[str | None, Size | None]:
        """The picture of an image, and its size, which must be the one that the annotations give, if any.

        Raises:
            Fault: the picture is not there, or it is of another size.
        """
        declared = _as_size(size)
        if declared is not None:
            check_size(declared)
        if self.pictures is None:
            return None, declared
        picture = self.pictures.find_stem(name) if self.files else self.pictures.find(name)
        if picture is None:
            raise Fault(f"there is no such picture in {self.pictures.path}", "add it, or correct the name")
        try:
            actual = self.pictures.size(picture)
        except DataError as error:
            raise Fault(f"the picture cannot be read: {error}", "replace it") from error
        if declared not in (None, actual):
            assert declared is not None
            raise Fault(
                f"annotated at {declared[1]}x{declared[0]}, the picture is {actual[1]}x{actual[0]}",
                "use the picture that was annotated",
            )
        return picture, actual

    def add(
        self, name: Any, size: Any, items: Iterable[tuple[str, Any]], parse: Any, **more: Any
    ) -> AnnotatedImage | None:
        """Adds an image and what `parse(item, size)` makes of its (what to call it, item) pairs."""
        try:
            check_name(name)
            if name in self._names:
                raise Fault("the image is listed twice", "join the two, or rename one")
            picture, known = self.locate(name, size)
        except Fault as fault:
            self.findings.error(str(name), fault.what, fault.mend)
            return None
        self._names.add(name)
        instances = []
        for called, item in items:
            try:
                instance = parse(item, known)
                check_instance(instance, known)
                instances.append(instance)
            except Fault as fault:
                self.findings.error(name, f"{called}: {fault.what}", fault.mend)
        image = AnnotatedImage(name=name, size=known, instances=tuple(instances), picture=picture, **more)
        self.images.append(image)
        return image

    def decide_points(self, looks_like_pixels: bool, because: str) -> str:
        """How polygons' points are meant: as the user says, otherwise as the file looks."""
        if self.points != "auto":
            return self.points
        points = "pixels" if looks_like_pixels else "plane"
        self.notes.append(f"polygon points are taken as {_MEANINGS[points]}, because {because} (--points)")
        return points

    def finish(self, class_names: Iterable[str], **more: Any) -> Annotations:
        return Annotations(
            images=tuple(self.images),
            class_names=tuple(dict.fromkeys(class_names)),
            source=str(self.path),
            format=self.format,
            findings=tuple(self.findings),
            notes=tuple(self.notes),
            pictures=self.pictures,
            **more,
        )


_MEANINGS = {"pixels": "pixels that belong to the shape", "plane": "points of the plane"}


def check_name(name: Any) -> None:
    """Raises Fault for a name that is none, or that would lead out of a folder."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise Fault(f"the image's name is {name!r}", "give it one")
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if "\\" in name or ":" in name or ".." in parts or parts[:1] == ("/",):
        raise Fault(
            "the image's name leads out of its folder", "give a name below it, with / between folders"
        )


def check_instance(instance: Instance, size: Size | None) -> None:
    """Raises Fault where an instance covers no pixel of its picture, or is a mask of another size."""
    if isinstance(instance.shape, Rle) and size is not None and instance.shape.size != size:
        got = instance.shape.size
        raise Fault(
            f"its mask is {got[1]}x{got[0]}, the picture {size[1]}x{size[0]}",
            "use the picture that was annotated",
        )
    known = instance.shape.size if isinstance(instance.shape, Rle) else size
    if known is not None and instance.rle(known).area == 0:
        raise Fault("it covers no pixel", "draw it again or delete it")


def all_whole(outlines: Iterable[Iterable[Any]]) -> bool:
    """Whether all numbers are whole, as those of tools that count pixels are."""
    return all(
        isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        for outline in outlines
        for value in outline
    )


def rule_of(shapes: Iterable[Polygons | Rle]) -> str:
    """The rule that a file of these shapes needs for its points: pixels only if all of them are so meant."""
    rules = {shape.points if isinstance(shape, Polygons) else "plane" for shape in shapes}
    return "pixels" if rules == {"pixels"} else "plane"


def _as_size(size: Any) -> Size | None:
    if size is None or size == (None, None):
        return None
    height, width = size
    if not all(isinstance(side, int | float) and side == side // 1 for side in (height, width)):
        raise Fault(f"its size is given as {width!r}x{height!r}", "correct it")
    return int(height), int(width)


# ---- JSON ----


def parse_json(data: bytes, name: str) -> Any:
    """JSON of limited depth and size, without numbers that are not finite and keys that repeat.

    Raises:
        DataError: names `name` and the reason.
    """
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise DataError(f"{name} has more than {MAX_VALUES} values; split it")
    try:
        value = json.loads(data, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise DataError(f"{name} is nested too deep; expected at most {MAX_DEPTH} levels") from error
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    except ValueError as error:
        raise DataError(
            f"{name} is not JSON ({error}); it is damaged or cut short, export it again"
        ) from error
    if _is_deeper(value, MAX_DEPTH):
        raise DataError(f"{name} is nested too deep; expected at most {MAX_DEPTH} levels")
    return value


def expect(value: Any, kind: type, what: str) -> Any:
    """`value`, if it is of that JSON type.

    Raises:
        Fault: it is not.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}
        raise Fault(f"{what} is {_short(value)}, expected {names[kind]}", "export it again")
    return value


def _short(value: Any) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) < 60 else f"{text[:60]}…"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DataError(f"the key {_short(twice)} stands twice in one object; one would be lost, rename it")
    return value


def _refuse_constant(text: str) -> None:
    raise DataError(f"it has the number {text}; expected finite ones")


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested deeper; looks at one level at a time."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [each for each in layer if isinstance(each, dict | list)]
        if not layer:
            return False
        layer = [child for each in layer for child in (each.values() if isinstance(each, dict) else each)]
    return any(isinstance(each, dict | list) for each in layer)
