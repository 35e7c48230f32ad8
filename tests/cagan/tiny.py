"""Pairs that are drawn in no time, and trainings of seconds."""

import numpy as np
from click.testing import CliRunner

from shoegen.cagan.config import PRESETS, override
from shoegen.cli import main
from shoegen.data.images import write_image

COUNT = 10
CHANNELS = (8, 8, 12, 12)


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result.output


def fails(*arguments):
    """The error's line."""
    lines = run(*arguments, expect=1).splitlines()
    assert lines[-1].startswith("error: ")
    return lines[-1]


def article(number, size=(32, 32)):
    height, width = size
    picture = np.full((height, width, 3), 255, np.uint8)
    picture[height // 4 : -height // 4, width // 8 : -width // 8] = np.random.default_rng(number).integers(
        0, 200, 3
    )
    return picture


def worn(number, background, size=(32, 32)):
    """The article before another background, smaller."""
    height, width = size
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = np.random.default_rng([background, 1]).integers(0, 256, 3)
    picture[height // 2 : -height // 8, width // 4 : -width // 4] = article(number)[16, 16]
    return picture


def write_pairs(folder, count=COUNT, *, size=(32, 32), truth=True):
    """pairs.csv and what it names: the photo i with article i, and truly with the next one."""
    lines = ["photo,article,other,truth" if truth else "photo,article"]
    for i in range(count):
        other = (i + 1) % count
        name = f"{i:02d}.png"
        write_image(folder / "photos" / name, worn(i, i, size))
        write_image(folder / "articles" / name, article(i, size))
        line = [f"photos/{name}", f"articles/{name}"]
        if truth:
            write_image(folder / "truth" / name, worn(other, i, size))
            line += [f"articles/{other:02d}.png", f"truth/{name}"]
        lines.append(",".join(line))
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    return folder


def tiny_config(data, preset="small", **changes):
    """Pictures of 32 px, four iterations of four."""
    settings = {
        "channels": CHANNELS, "d_channels": CHANNELS, "images": 16, "batch": 4, "val_share": 0.2, "log_every": 4,
        "evaluate_every": 8, "save_every": 8, "sheets_at": (1,),
    }  # fmt: skip
    return override(PRESETS[preset](str(data), 32), **{**settings, **changes})
