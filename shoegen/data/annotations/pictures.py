"""The pictures that annotations speak of."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path, PurePosixPath

from PIL import ExifTags

from shoegen.data.files import PictureFiles
from shoegen.data.images import MAX_PIXELS, READ_FORMATS, Size, open_picture
from shoegen.errors import DataError


class Pictures:
    """A folder or zip of pictures, in which annotations' names are looked up.

    Raises:
        DataError: see `PictureFiles`.
    """

    def __init__(self, path: str | Path):
        self.files = PictureFiles(path)
        self.path = self.files.path
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in self.files.pictures:
            pure = PurePosixPath(name)
            self._by_name.setdefault(pure.name, []).append(name)
            self._by_stem.setdefault(pure.stem, []).append(name)
        self.size = cache(self._size)

    def find(self, name: str) -> str | None:
        """The picture called so: at that place, below images/, or the only one of that name in any folder."""
        for exact in (name, f"images/{name}"):
            if exact in self.files and exact in self._by_name.get(PurePosixPath(exact).name, ()):
                return exact
        return _only(self._by_name.get(PurePosixPath(name).name))

    def find_stem(self, name: str) -> str | None:
        """As `find`, or the only picture of that name but for the suffix: masks/a.png belongs to images/a.jpg."""
        return self.find(name) or _only(self._by_stem.get(PurePosixPath(name).stem))

    def read(self, name: str) -> bytes:
        """The file's bytes.

        Raises:
            DataError: the reason alone.
        """
        return self.files.read(name)

    def digest(self, name: str) -> bytes:
        """Equal for pictures whose files are equal."""
        return hashlib.sha256(self.read(name)).digest()

    def _size(self, name: str) -> Size:
        """(height, width) as it is shown, from the file's header.

        Raises:
            DataError: the reason alone.
        """
        image = open_picture(self.read(name), READ_FORMATS, MAX_PIXELS)
        width, height = image.size
        try:
            turned = image.getexif().get(ExifTags.Base.Orientation) in range(5, 9)
        except Exception as error:  # Pillow raises nearly any type on damaged data
            raise DataError(f"the picture's EXIF data are damaged ({error})") from error
        return (width, height) if turned else (height, width)


def _only(names: list[str] | None) -> str | None:
    return names[0] if names and len(names) == 1 else None
