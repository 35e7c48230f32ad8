"""A SPADE that trains in seconds; pytest collects nothing here."""

from shoegen.spade.config import override, small_config

MODEL = {"channels": 4, "max_channels": 16, "hidden": 8, "z_dim": 8, "encoder_channels": 8, "d_channels": 8}


def tiny_training(data, **changes):
    """At 32 px."""
    lengths = {
        "images": 48,
        "batch": 4,
        "val_share": 0.25,
        "log_every": 8,
        "evaluate_every": 24,
        "save_every": 16,
    }
    return override(small_config(str(data), resolution=32), **{**MODEL, **lengths, **changes})


def options(data, out, **changes):
    """Of the command that trains it."""
    values = {
        "--data": data, "--out": out, "--resolution": 32, "--channels": 4, "--max-channels": 16, "--hidden": 8,
        "--z-dim": 8, "--encoder-channels": 8, "--d-channels": 8, "--images": 16, "--batch": 4, "--val-share": 0.25,
        "--log-every": 8, **changes,
    }  # fmt: skip
    return [
        "train-spade",
        *(part for pair in values.items() if pair[1] is not False for part in pair if part is not None),
    ]
