"""Films: H.264 in .mp4 through PyAV, .gif and .webp through Pillow. Loads no torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from shoegen.errors import ConfigError
from shoegen.torch_utils.files import atomic_write

FILM_SUFFIXES = (".mp4", ".gif", ".webp")
MAX_GIF_FPS = 50  # players slow down frames that are shorter than 0.02 s
MAX_HELD_PIXELS = 250_000_000  # Pillow holds all frames of a .gif or .webp until it writes them


def check_film(path: str | Path, *, size: tuple[int, int], count: int, fps: int) -> None:
    """Refuses, before any work, a film that `write_film` cannot write; `size` is (height, width).

    Raises:
        ConfigError: an unknown suffix, PyAV is not installed, or a .gif or .webp with too many frames.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FILM_SUFFIXES:
        raise ConfigError(
            f"cannot write a film to {path}: got {f'the suffix {suffix!r}' if suffix else 'no suffix'}, "
            f"expected {', '.join(FILM_SUFFIXES)}"
        )
    if fps < 1 or (suffix == ".gif" and fps > MAX_GIF_FPS):
        raise ConfigError(f"fps: got {fps} for {suffix}, expected at least 1, and at most 50 for .gif")
    if suffix == ".mp4":
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "writing .mp4 needs PyAV, which is not installed; pip install 'shoegen[video]', or write .gif or .webp"
            ) from error
    elif count * size[0] * size[1] > MAX_HELD_PIXELS:
        raise ConfigError(
            f"{path}: {count} frames of {size[1]}x{size[0]} do not fit in memory as {suffix}; write .mp4, or fewer"
        )


def write_film(path: str | Path, frames: Iterable[np.ndarray], *, fps: int, count: int) -> None:
    """Writes pictures of one size as a film, whole or not at all; .gif and .webp repeat for ever.

    Of an .mp4 one frame at a time is held in memory. Where its sides are odd the last row or column is repeated.
    Alpha is composited over white, save in .webp.

    Args:
        path: ends in .mp4, .gif or .webp.
        frames: `count` pictures, each (H, W, C) uint8 of 1, 3 or 4 channels.
        fps: frames per second.

    Raises:
        ConfigError: see `check_film`.
        OutputError: the path cannot be written.
    """
    frames = iter(frames)
    first = next(frames)
    check_film(path, size=(first.shape[0], first.shape[1]), count=count, fps=fps)
    frames = itertools.chain([first], frames)
    suffix = Path(path).suffix.lower()
    with atomic_write(path) as file:
        if suffix == ".mp4":
            _write_mp4(file, frames, fps)
        else:
            pictures = (_picture(frame, alpha=suffix == ".webp") for frame in frames)
            options = {"quality": 90} if suffix == ".webp" else {"disposal": 1}
            next(pictures).save(
                file,
                suffix[1:].upper(),
                save_all=True,
                append_images=pictures,
                duration=list(_durations(count, fps, unit=10 if suffix == ".gif" else 1)),
                loop=0,
                **options,
            )


def _durations(count: int, fps: int, *, unit: int) -> Iterator[int]:
    """Of each frame in milliseconds, whole `unit`s whose sum keeps the pace: 30, 30, 40, 30, … for 30 fps."""
    for index in range(count):
        start, end = (round(place * 1000 / (fps * unit)) for place in (index, index + 1))
        yield (end - start) * unit


def _write_mp4(file: BinaryIO, frames: Iterator[np.ndarray], fps: int) -> None:
    import av

    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "16"})
        stream.pix_fmt = "yuv420p"
        # Written down as BT.709, 16 to 235: left to guess, players take the colours of small films for others.
        codec = stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = codec.color_range = 1
        for index, frame in enumerate(frames):
            pixels = np.asarray(_picture(frame, alpha=False))
            height, width = pixels.shape[:2]
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if index == 0:
                stream.height, stream.width = pixels.shape[:2]
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _picture(frame: np.ndarray, *, alpha: bool) -> Image.Image:
    """(H, W, C) → RGB, what is transparent over white; RGBA stays if `alpha`."""
    picture = Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame)
    if picture.mode == "RGBA" and alpha:
        return picture
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
