"""Pictures and part maps: reading, writing, fitting to a size, and sheets of tiles.

In memory a picture is (H, W, 3) uint8 RGB, (H, W) greyscale or (H, W, 4) RGBA whose colours are not multiplied
by its alpha, and a part map is (H, W) uint8 class indices. Loads no torch.
"""

from __future__ import annotations

import io
import logging
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageFont, ImageOps

from shoegen.data.labels import IGNORED, LabelMap
from shoegen.errors import ConfigError, DataError, OutputError
from shoegen.torch_utils.files import atomic_write

Source = str | Path | bytes | BinaryIO
Size = tuple[int, int]

FITS = ("strict", "crop", "pad")
FILTERS = ("auto", "lanczos", "box", "bicubic", "bilinear")
CHANNELS = {1: "greyscale", 3: "RGB", 4: "RGBA"}
MAX_PIXELS = 100_000_000
OVERLAY = ".overlay"  # what `shoegen segment --overlay` adds to the names of pictures that are no part maps
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)

# Not all that Pillow knows: some formats start other programs (EPS runs Ghostscript).
READ_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_PILLOW_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_WRITE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong is said by `DataError`

_open_lock = threading.Lock()


# ---- reading ----


def read_image(source: Source, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads a picture as (H, W, 3) uint8 RGB; see `decode_image` for what is converted.

    Args:
        source: a path, the file's bytes, or a binary file object.
        name: what error messages call the picture; by default its path.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        DataError: missing, empty, damaged, too large, or not a picture.
    """
    data, name = _read_source(source, name)
    try:
        return decode_image(data, max_pixels=max_pixels)[0]
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}; replace the file") from error


def read_part_map(source: Source, labels: LabelMap, *, name: str | None = None) -> np.ndarray:
    """Reads a part map, an 8-bit PNG of class indices, as (H, W) uint8.

    Raises:
        DataError: missing, damaged, not an index PNG, or holds a value that `labels` lacks.
    """
    data, name = _read_source(source, name)
    try:
        return decode_part_map(data, labels)
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}; replace the file") from error


@dataclass(frozen=True)
class DecodedImage:
    """A picture's `pixels`, (H, W), (H, W, 3) or (H, W, 4) uint8; how it is stored, such as "PNG palette"; and
    phrases such as "greyscale, expanded to RGB": one for each conversion that a user may want to know of."""

    pixels: np.ndarray
    mode: str
    conversions: list[str]


def decode_image(
    data: bytes, *, channels: int = 3, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, list[str]]:
    """The pixels of a picture's bytes and what had to be converted, see `decode_picture`.

    Raises:
        DataError: the reason alone; the caller knows the picture's name.
    """
    decoded = decode_picture(data, channels=channels, max_pixels=max_pixels)
    return decoded.pixels, decoded.conversions


def decode_picture(data: bytes, *, channels: int = 3, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decodes a picture's bytes to greyscale (1 channel, the luminance), RGB (3) or RGBA (4), all uint8.

    EXIF orientation is applied, transparency is composited over white unless it is asked for, 16-bit values
    are scaled to 8 bit, greyscale, palette and CMYK pictures become RGB, and of an animation the first frame
    is taken.

    Raises:
        DataError: the reason alone; the caller knows the picture's name.
    """
    image = open_picture(data, READ_FORMATS, max_pixels)
    conversions = []
    sixteen_bit = ";16" in _raw_mode(image)
    mode = f"{image.format} {_MODE_NAMES.get(image.mode, image.mode)}{' 16-bit' * sixteen_bit}"
    try:
        # Not n_frames: a file can have millions. MPO: a photograph and its previews.
        if getattr(image, "is_animated", False) and image.format != "MPO":
            conversions.append("of several frames, the first taken")
        image.load()
        if image.getexif().get(ExifTags.Base.Orientation) in range(2, 9):
            conversions.append("turned upright as EXIF says")
            image = ImageOps.exif_transpose(image)
        if image.mode == "F":
            raise DataError("it has floating-point values, of no known range; expected 8 or 16 bit")
        if image.mode.startswith("I"):
            # 16-bit greyscale is "I;16" or 32-bit "I"; Pillow's own conversion would clip it at 255.
            sixteen_bit = True
            image = Image.fromarray(_scale_to_8_bit(np.asarray(image)))
        if sixteen_bit:
            conversions.append("16-bit, scaled to 8 bit")
        pixels, others = _convert_channels(image, channels)
        return DecodedImage(pixels, mode, conversions + others)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly any type on damaged data
        raise DataError(f"the picture is damaged or truncated ({_one_line(error)})") from error


_MODE_NAMES = {
    "1": "1-bit",
    "L": "greyscale",
    "LA": "greyscale with alpha",
    "I": "greyscale",
    "I;16": "greyscale",
    "I;16B": "greyscale",
    "P": "palette",
    "F": "floating-point",
}


def _convert_channels(image: Image.Image, channels: int) -> tuple[np.ndarray, list[str]]:
    wanted = CHANNELS[channels]
    conversions = []
    is_grey = image.mode in ("1", "L", "LA", "La")
    if is_grey and channels != 1:
        conversions.append(f"greyscale, expanded to {wanted}")
    if not is_grey and channels == 1:
        conversions.append("colour, reduced to luminance")
    elif image.mode == "CMYK":
        conversions.append(f"CMYK, converted to {wanted}")
    if image.has_transparency_data and channels != 4:
        conversions.append("transparent, composited over white")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif channels == 4 and not image.has_transparency_data:
        conversions.append("without transparency, made opaque")
        image = image.convert("RGB")  # what Pillow takes to RGBA from anywhere
    return np.array(image.convert(_PILLOW_MODES[channels])), conversions


def check_channels(channels: int) -> None:
    """Raises ConfigError where no picture has so many channels."""
    if channels not in CHANNELS:
        expected = ", ".join(f"{count} ({name})" for count, name in CHANNELS.items())
        raise ConfigError(f"channels: got {channels}, expected one of {expected}")


def decode_part_map(data: bytes, labels: LabelMap, *, unlabelled: bool = False) -> np.ndarray:
    """Decodes the bytes of an 8-bit index PNG (palette or greyscale) to (H, W) uint8 class indices.

    Args:
        unlabelled: allow pixels that are `IGNORED`.

    Raises:
        DataError: the reason alone; the caller knows the file's name.
    """
    image = open_picture(data, ("PNG",), MAX_PIXELS)
    raw_mode = _raw_mode(image)
    # Pillow stretches 2- and 4-bit greyscale to 0..255, which would change the classes.
    if image.mode not in ("P", "L", "1") or raw_mode in ("L;2", "L;4"):
        raise DataError(f"a part map is an 8-bit PNG of class indices, got a picture of mode {raw_mode}")
    try:
        image.load()
        part_map = np.array(image, np.uint8)
    except Exception as error:
        raise DataError(f"the part map is damaged or truncated ({_one_line(error)})") from error
    check_part_map(part_map, labels, unlabelled=unlabelled)
    return part_map


def check_part_map(part_map: np.ndarray, labels: LabelMap, *, unlabelled: bool = False) -> None:
    """Checks that a part map is (H, W) uint8 and every value a class of `labels`, or `IGNORED` if that is allowed.

    Raises:
        DataError: names the lowest value that is no class, and how many pixels have it.
    """
    if part_map.dtype != np.uint8 or part_map.ndim != 2:
        raise DataError(f"got a part map {part_map.shape} of {part_map.dtype}; expected (H, W) of uint8")
    wrong = part_map[part_map >= len(labels)]
    if unlabelled:
        wrong = wrong[wrong != IGNORED]
    if wrong.size:
        raise DataError(
            f"value {wrong.min()} at {np.count_nonzero(wrong == wrong.min())} pixels is no class "
            f"({wrong.size} such pixels in all); expected 0..{len(labels) - 1} ({', '.join(labels.names)})"
        )


def _read_source(source: Source, name: str | None) -> tuple[bytes, str]:
    """The bytes of a source, and what to call it."""
    if isinstance(source, bytes):
        return source, name or "the picture"
    if isinstance(source, str | Path):
        if Path(source).is_fifo():  # reading would wait for ever
            raise DataError(f"cannot read {name or source}: it is a pipe; expected a file")
        try:
            return Path(source).read_bytes(), name or str(source)
        except OSError as error:
            raise DataError(f"cannot read {name or source}: {error.strerror}; check the path") from error
        except ValueError as error:  # a NUL in the path
            raise DataError(f"cannot read {str(source)!r}: {error}; check the path") from error
    name = name or str(getattr(source, "name", "the picture"))
    try:
        return source.read(), name
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or error}; check the file") from error


def open_picture(data: bytes, formats: tuple[str, ...], max_pixels: int) -> Image.Image:
    """Opens a picture without decoding its pixels."""
    if not data:
        raise DataError("the file is empty")
    try:
        # What is wrong is said below, as are too many pixels; the lock is there because catch_warnings changes the
        # whole process.
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=formats)
    except Image.UnidentifiedImageError as error:
        if data[4:8] == b"ftyp":  # a box of ISO 14496-12
            raise DataError("HEIC, AVIF or a film, which is not read here: save it as JPEG or PNG") from error
        raise DataError(f"not a picture; expected one of {', '.join(formats)}") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"the picture has too many pixels; expected at most {max_pixels}") from error
    except Exception as error:
        raise DataError(f"the picture's header is damaged ({_one_line(error)})") from error
    if image.width * image.height > max_pixels:
        raise DataError(
            f"the picture is {_format_size(image.size)} pixels; expected at most {max_pixels} in all"
        )
    return image


def _raw_mode(image: Image.Image) -> str:
    """How the pixels are stored in the file, such as "RGB;16B"; known until the picture is loaded."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else None
    if isinstance(arguments, tuple) and arguments:
        arguments = arguments[0]
    return arguments if isinstance(arguments, str) else image.mode


def _scale_to_8_bit(values: np.ndarray) -> np.ndarray:
    """(H, W) integers in 0..65535 → uint8, where 65535 becomes 255."""
    low, high = values.min(), values.max()
    if low < 0 or high > 65535:
        raise DataError(f"it has values from {low} to {high}; expected 8 or 16 bit")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _format_size(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


# ---- writing ----


def image_format(path: str | Path) -> str:
    """Pillow's name of the format that the suffix of `path` asks for.

    Call it before long work whose result goes to `path`.

    Raises:
        ConfigError: no format that can be written has this suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITE_FORMATS:
        got = f"the suffix {suffix!r}" if suffix else "no suffix"
        raise ConfigError(
            f"cannot write a picture to {path}: got {got}, expected {', '.join(_WRITE_FORMATS)}"
        )
    return _WRITE_FORMATS[suffix]


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Writes a uint8 picture, whole or not at all, in the format of its suffix.

    JPEG and WebP are written at quality 95.

    Raises:
        ConfigError: unknown suffix.
        OutputError: the path cannot be written, or the format cannot hold a picture of this size or its alpha.
    """
    format = image_format(path)
    try:
        data = encode_image(image, format)
    except DataError as error:
        raise OutputError(f"cannot write {path}: {error}; use .png") from error
    with atomic_write(path) as file:
        file.write(data)


def encode_image(image: np.ndarray, format: str) -> bytes:
    """The file of a uint8 picture in Pillow's `format` PNG, JPEG or WEBP; the latter two at quality 95.

    Raises:
        DataError: the format cannot hold the picture.
    """
    buffer = io.BytesIO()
    picture = Image.fromarray(_checked_picture(image))
    if format == "JPEG" and picture.mode == "RGBA":
        raise DataError("JPEG has no transparency")
    try:
        picture.save(buffer, format, quality=95, subsampling=0)  # PNG ignores both
    except (OSError, ValueError) as error:
        raise DataError(f"{format} cannot hold {_format_size(picture.size)} pixels") from error
    return buffer.getvalue()


def write_part_map(path: str | Path, part_map: np.ndarray, labels: LabelMap) -> None:
    """Writes a (H, W) part map as an 8-bit palette PNG in the colours of `labels`, whole or not at all.

    Raises:
        ConfigError: `path` does not end in .png.
        DataError: a value of `part_map` is no class of `labels`.
        OutputError: the path cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise ConfigError(f"cannot write a part map to {path}: expected the suffix .png")
    data = encode_part_map(part_map, labels)
    with atomic_write(path) as file:
        file.write(data)


def encode_png(image: np.ndarray, *, compress_level: int = 6) -> bytes:
    """The PNG file of a uint8 picture; `compress_level` is zlib's, 0..9."""
    buffer = io.BytesIO()
    Image.fromarray(_checked_picture(image)).save(buffer, "PNG", compress_level=compress_level)
    return buffer.getvalue()


def encode_part_map(part_map: np.ndarray, labels: LabelMap, *, compress_level: int = 6) -> bytes:
    """The 8-bit palette PNG file of a (H, W) part map, in the colours of `labels`.

    Raises:
        DataError: a value of `part_map` is no class of `labels`.
    """
    check_part_map(part_map, labels)
    picture = Image.fromarray(np.ascontiguousarray(part_map))
    picture.putpalette(labels.palette().tobytes())  # all 256 entries: with fewer Pillow packs the indices
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=compress_level)
    return buffer.getvalue()


def _checked_picture(image: np.ndarray) -> np.ndarray:
    is_picture = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in CHANNELS)
    if image.dtype != np.uint8 or not is_picture or not image.size:
        raise DataError(
            f"got an array {image.shape} of {image.dtype}; expected (H, W, 3) or (H, W) of uint8, or (H, W, 4)"
        )
    return np.ascontiguousarray(image[..., 0] if image.shape[2:] == (1,) else image)


# ---- sizes ----


def resize(image: np.ndarray, size: Size, filter: str = "auto") -> np.ndarray:
    """Resizes a uint8 picture to `size` = (height, width); colours count by their alpha.

    Args:
        filter: lanczos, box, bicubic or bilinear, each as wide as the reduction asks for; "auto": exact integer
            reductions average their pixels, all else is Lanczos.
    """
    check_filter(filter)
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    picture = Image.fromarray(_checked_picture(image))
    if filter == "auto" and picture.height % height == 0 and picture.width % width == 0:
        return np.array(picture.reduce((picture.width // width, picture.height // height)))
    method = Image.Resampling["LANCZOS" if filter == "auto" else filter.upper()]
    return np.array(picture.resize((width, height), method))


def check_filter(filter: str) -> None:
    """Raises ConfigError where `filter` is no way to resize a picture."""
    if filter not in FILTERS:
        raise ConfigError(f"filter: got {filter!r}, expected one of {', '.join(FILTERS)}")


def resize_part_map(part_map: np.ndarray, size: Size) -> np.ndarray:
    """Resizes a (H, W) uint8 part map to `size` = (height, width).

    Each pixel gets the class that covers most of it; where two cover it equally, the lower index.
    """
    height, width = size
    # Along a side that grows, one source pixel covers most of each new one.
    grown = max(height, part_map.shape[0]), max(width, part_map.shape[1])
    if grown != part_map.shape:
        part_map = np.ascontiguousarray(part_map)
        part_map = cv2.resize(part_map, grown[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    if grown == (height, width):
        return part_map
    result = np.zeros((height, width), np.uint8)
    best = np.zeros((height, width), np.float32)
    for label in np.unique(part_map):
        # Pillow's box filter takes or leaves whole pixels; OpenCV's area is exact.
        mask = (part_map == label).astype(np.float32)
        coverage = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
        wins = coverage > best + 1e-5  # a tie must not hang on the last bit
        result[wins] = label
        best[wins] = coverage[wins]
    return result


def fit_image(image: np.ndarray, size: Size, fit: str = "strict", filter: str = "auto") -> np.ndarray:
    """Brings a uint8 picture to `size` = (height, width) without distorting it.

    Args:
        fit: "strict" requires the aspect ratio of `size`, to within one pixel; "crop" cuts the centre out;
            "pad" adds a margin in the median colour of the picture's border.
        filter: see `resize`.

    Raises:
        DataError: the aspect ratio differs under "strict".
    """
    rows, columns, inner, (top, left) = _fit_geometry(image.shape[:2], size, fit)
    resized = resize(image[rows, columns], inner, filter)
    if inner == tuple(size):
        return resized
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    result = np.empty((*size, *image.shape[2:]), np.uint8)
    result[:] = np.median(border, axis=0).round()
    result[top : top + inner[0], left : left + inner[1]] = resized
    return result


def fit_part_map(part_map: np.ndarray, size: Size, fit: str = "strict", *, margin: int = 0) -> np.ndarray:
    """Brings a (H, W) part map to `size` as `fit_image` does its picture; the margin becomes class `margin`.

    Raises:
        DataError: the aspect ratio differs under "strict".
    """
    rows, columns, inner, (top, left) = _fit_geometry(part_map.shape[:2], size, fit)
    result = np.full(size, margin, np.uint8)
    result[top : top + inner[0], left : left + inner[1]] = resize_part_map(part_map[rows, columns], inner)
    return result


def describe_fit(source: Size, target: Size, fit: str = "strict") -> list[str]:
    """What `fit_image` does to a picture that a user may want to know of, such as "cut to the shape of 64x64"."""
    (height, width), (target_height, target_width) = source, target
    described = []
    if fit != "strict" and not same_aspect(source, target):
        how = {"crop": "cut", "pad": "given a margin"}[fit]
        described.append(f"{how} to the shape of {target_width}x{target_height}")
    # A padded picture is enlarged only if both its sides are short.
    is_small = all if fit == "pad" else any
    if is_small((height < target_height, width < target_width)):
        described.append(f"smaller than {target_width}x{target_height}, enlarged")
    return described


def same_aspect(source: Size, target: Size) -> bool:
    """Whether (height, width) `source` has the aspect ratio of `target`, to within one pixel."""
    (height, width), (target_height, target_width) = source, target
    return (
        abs(width - height * target_width / target_height) <= 1
        or abs(height - width * target_height / target_width) <= 1
    )


def check_fit(fit: str) -> None:
    """Raises ConfigError where `fit` is no way to fit a picture."""
    if fit not in FITS:
        raise ConfigError(f"fit: got {fit!r}, expected one of {', '.join(FITS)}")


def _fit_geometry(source: Size, target: Size, fit: str) -> tuple[slice, slice, Size, Size]:
    """Rows and columns to keep of the source, the size to resize them to, their (top, left) in the target."""
    check_fit(fit)
    (height, width), (target_height, target_width) = source, target
    if fit == "crop":
        kept_height = min(height, max(1, round(width * target_height / target_width)))
        kept_width = min(width, max(1, round(height * target_width / target_height)))
        top, left = (height - kept_height) // 2, (width - kept_width) // 2
        return slice(top, top + kept_height), slice(left, left + kept_width), target, (0, 0)
    if fit == "pad":
        scale = min(target_height / height, target_width / width)
        inner = max(1, round(height * scale)), max(1, round(width * scale))
        offset = (target_height - inner[0]) // 2, (target_width - inner[1]) // 2
        return slice(None), slice(None), inner, offset
    if not same_aspect(source, target):
        raise DataError(
            f"the picture is {width}x{height} (width x height) and has not the shape of "
            f"{target_width}x{target_height}; choose another resolution, or pass --fit crop or --fit pad"
        )
    return slice(None), slice(None), target, (0, 0)


# ---- sheets ----


def image_grid(
    images: np.ndarray | Sequence[np.ndarray],
    columns: int,
    *,
    gap: int = 2,
    background: int = 255,
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """Lays pictures out row by row on one sheet.

    Args:
        images: (N, H, W, C) uint8 of 1, 3 or 4 channels, or N pictures of one size.
        columns: pictures in a row; a sheet of fewer pictures is as narrow as they are.
        gap: pixels between pictures.
        background: grey value, 0..255, of gaps and empty places.
        captions: ASCII text under each picture, of one line or several.

    Returns:
        (H', W', 3) uint8; (H', W', 4) where the pictures have alpha, with an opaque background.
    """
    if columns < 1:
        raise ConfigError(f"columns: got {columns}, expected at least 1")
    shapes = {image.shape for image in images}
    if len(shapes) != 1 or len(shapes.pop()) != 3:
        raise DataError(f"got {len(images)} pictures; a sheet needs some, all of one size (H, W, C)")
    tiles = np.stack([_with_colour(_checked_picture(image)) for image in images])
    if captions is not None:
        if len(captions) != len(tiles):
            raise DataError(f"got {len(captions)} captions for {len(tiles)} pictures; expected one each")
        tiles = _add_captions(tiles, captions, background)
    count, height, width, channels = tiles.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = _blank(rows * (height + gap) - gap, columns * (width + gap) - gap, channels, background)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _with_colour(image: np.ndarray) -> np.ndarray:
    """Greyscale (H, W) → (H, W, 3)."""
    return np.stack([image] * 3, axis=2) if image.ndim == 2 else image


def _blank(height: int, width: int, channels: int, grey: int) -> np.ndarray:
    """An opaque (height, width, channels) picture."""
    blank = np.full((height, width, channels), grey, np.uint8)
    blank[..., 3:] = 255
    return blank


def _add_captions(tiles: np.ndarray, captions: Sequence[str], background: int) -> np.ndarray:
    """(N, H, W, 3) → (N, H + text, W, 3): each picture with its text below, in the largest type that fits."""
    count, height, width, channels = tiles.shape
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    texts = [caption.translate({ord("−"): "-", ord("×"): "x"}) for caption in captions]
    for size in range(min(24, max(10, width // 9)), 6, -1):
        font = ImageFont.load_default(size)
        boxes = [draw.multiline_textbbox((0, 0), text, font) for text in texts]
        if max(right for _, _, right, _ in boxes) <= width:
            break
    text_height = int(max(bottom for _, _, _, bottom in boxes)) + size // 2
    result = np.stack([_blank(height + text_height, width, channels, background)] * count)
    result[:, :height] = tiles
    for picture, text in zip(result, texts, strict=True):
        strip = Image.fromarray(picture[height:])
        ink = "black" if background > 127 else "white"
        place = (width / 2, size // 4)
        ImageDraw.Draw(strip).multiline_text(place, text, ink, font, anchor="ma", align="center")
        picture[height:] = np.asarray(strip)
    return result
