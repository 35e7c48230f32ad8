import sys

import numpy as np
import pytest
from PIL import Image, ImageSequence

from shoegen.errors import ConfigError, OutputError
from shoegen.torch_utils.video import check_film, write_film


def moving(count, height=48, width=64, channels=3):
    """A dark bar that wanders over two colours."""
    frames = np.zeros((count, height, width, channels), np.uint8)
    frames[..., 0] = np.linspace(30, 220, width)
    frames[..., 1:3] = 90
    frames[..., 3:] = np.linspace(0, 255, height)[:, None, None]
    for index, frame in enumerate(frames):
        frame[:, 4 * index : 4 * index + 8, :3] = 10
    return frames


def over_white(frames):
    if frames.shape[3] == 1:
        return frames.repeat(3, axis=3).astype(float)
    alpha = frames[..., 3:] / 255 if frames.shape[3] == 4 else 1
    return frames[..., :3].astype(float) * alpha + 255 * (1 - alpha)


def read_mp4(path):
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.colorspace == 1
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return np.stack(frames), stream.average_rate


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_mp4(channels, size, tmp_path):
    frames = moving(7, *size, channels)
    write_film(tmp_path / "a.mp4", iter(frames), fps=24, count=7)
    read, rate = read_mp4(tmp_path / "a.mp4")
    assert rate == 24
    assert read.shape == (7, 48, 64, 3)
    # The bar's edges lose colour resolution; elsewhere the colours are kept.
    difference = np.abs(read[:, : size[0], : size[1]] - over_white(frames))
    assert difference.mean() < 6
    assert np.median(difference) <= 2


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gif_and_webp(suffix, channels, tmp_path):
    frames = moving(7, channels=channels)
    path = tmp_path / f"a{suffix}"
    write_film(path, iter(frames), fps=30, count=7)
    with Image.open(path) as film:
        assert film.n_frames == 7
        assert film.info["loop"] == 0
        durations, read = [], []
        for picture in ImageSequence.Iterator(film):
            rgba = picture.convert("RGBA")
            read.append(
                np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba))[..., :3]
            )
            durations.append(picture.info["duration"])
    assert np.abs(np.stack(read) - over_white(frames)).mean() < 6
    assert sum(durations) == pytest.approx(7000 / 30, abs=6)


def test_frames_are_taken_one_by_one(tmp_path):
    pytest.importorskip("av")
    drawn = 0

    def frames():
        nonlocal drawn
        for frame in moving(12):
            drawn += 1
            yield frame
        raise OutputError("the last one")

    with pytest.raises(OutputError, match="the last one"):
        write_film(tmp_path / "a.mp4", frames(), fps=30, count=13)
    assert drawn == 12
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(tmp_path, monkeypatch):
    def refused(name, message, size=(64, 64), count=10, fps=30):
        with pytest.raises(ConfigError, match=message):
            check_film(tmp_path / name, size=size, count=count, fps=fps)

    refused("a.avi", r"suffix '\.avi', expected \.mp4, \.gif, \.webp")
    refused("a", "no suffix")
    refused("a.gif", "at most 50 for .gif", fps=60)
    refused("a.mp4", "at least 1", fps=0)
    refused("a.webp", "do not fit in memory", size=(1024, 1024), count=1000)
    monkeypatch.setitem(sys.modules, "av", None)
    refused("a.mp4", r"pip install 'shoegen\[video\]'")
