import json
import shutil

import numpy as np
import pytest

from shoegen.cagan.swapping import MODEL_FILE, Swapper
from shoegen.data.images import read_image, write_image

from .tiny import article, fails, run, worn


def options(data, out, **changes):
    values = {
        "--data": data, "--out": out, "--preset": "small", "--resolution": 32, "--channels": "8,8,8,8", "--d-channels":
        "8,8,8,8", "--images": 8, "--batch": 4, "--val-share": 0.2, **changes
    }  # fmt: skip
    given = {name: value for name, value in values.items() if value is not None}
    return ["train-cagan", *(part for item in given.items() for part in item)]


@pytest.fixture
def scene(tmp_path):
    """A large photo and its articles."""
    paths = [tmp_path / f"{name}.png" for name in ("photo", "worn", "other")]
    pictures = [np.kron(worn(0, 0), np.ones((3, 3, 1), np.uint8)), article(0), article(1, (64, 64))]
    for path, picture in zip(paths, pictures):
        write_image(path, picture)
    return paths


def swap_options(model, photo, wearing, other, out, *more):
    return [
        "swap",
        "--model",
        model,
        "--photo",
        photo,
        "--wearing",
        wearing,
        "--with",
        other,
        "--out",
        out,
        *more,
    ]


def test_train_resume_and_swap(pairs, scene, tmp_path):
    out = tmp_path / "run"
    text = run(*options(pairs, out, **{"--sheets-at": "1,2", "--truth-weight": 2.5, "--seed": 3}))
    assert f"model: {out / MODEL_FILE}" in text
    kept = json.loads((out / "config.json").read_text())
    assert (kept["truth"], kept["seed"], kept["sheets_at"]) == (2.5, 3, [1, 2])
    assert {path.name for path in (out / "samples").iterdir()} == {"000000004.png", "000000008.png"}
    assert "training 12/12" in run("train-cagan", "--out", out, "--resume", "--images", 12)
    result, mask = tmp_path / "new" / "out.png", tmp_path / "new" / "mask.png"
    assert "swapped" in run(*swap_options(out, *scene, result, "--alpha-out", mask))
    photo, made, alpha = read_image(scene[0]), read_image(result), read_image(mask)
    assert made.shape == alpha.shape == photo.shape == (96, 96, 3)
    expected = Swapper.load(out).swap(*map(read_image, scene))
    assert np.array_equal(made, expected.image)
    assert np.array_equal(alpha[..., 0], expected.mask)


def test_many_swaps_at_a_time(tiny_run, scene, tmp_path):
    rows = ["photo,wearing,with,out,alpha_out"]
    rows += [f"photo.png,worn.png,other.png,made/{i}.jpg,{'made/mask.png' if i else ''}" for i in range(2)]
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("\n".join(rows))
    assert "2 photos swapped" in run("swap", "--jobs", jobs, "--model", tiny_run)
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"0.jpg", "1.jpg", "mask.png"}
    assert "--photo has no effect with --jobs" in fails("swap", "--jobs", jobs, "--photo", scene[0])
    assert "--with has no effect with --jobs" in fails("swap", "--jobs", jobs, "--with", scene[0])
    for text, message in [
        ("photo,wearing,with\n", "has the columns photo, wearing, with; expected photo, wearing, with, out"),
        ("photo,wearing,with,out\n", "has no rows"),
        ("photo,wearing,with,out\na,b,,d.png\n", "line 2 has no with"),
        ("photo,wearing,with,out\nphoto.png,worn.png,other.png,photo.png\n", "would overwrite"),
        ("photo,wearing,with,out\n" + "photo.png,worn.png,other.png,x.png\n" * 2, "x.png is written twice"),
        (
            "photo,wearing,with,out\nphoto.png,worn.png,other.png,x.png\nphoto.png,none.png,other.png,y.png\n",
            "jobs.csv, swap 2: cannot read",
        ),
    ]:
        jobs.write_text(text)
        assert message in fails("swap", "--jobs", jobs, "--model", tiny_run)
    assert "cannot read" in fails("swap", "--jobs", tmp_path / "none.csv")
    assert not (tmp_path / "x.png").exists()


def test_swap_says_what_is_wrong(tiny_run, scene, tmp_path):
    out = tmp_path / "out.png"
    photo, wearing, other = scene
    assert "got no --wearing, --out; give" in fails("swap", "--photo", photo, "--with", other)
    assert "cannot read" in fails(*swap_options(tiny_run, photo, tmp_path / "none.png", other, out))
    assert "no model to swap with" in fails(*swap_options(tmp_path, *scene, out))
    assert "expected .png" in fails(*swap_options(tiny_run, *scene, tmp_path / "out.xyz"))
    assert "would overwrite" in fails(*swap_options(tiny_run, *scene, wearing))
    assert "written twice" in fails(*swap_options(tiny_run, *scene, out, "--alpha-out", out))
    assert "cannot make the folder" in fails(*swap_options(tiny_run, *scene, "/proc/x/out.png"))
    assert "--device" in fails(*swap_options(tiny_run, *scene, out, "--device", "tpu"))
    write_image(wearing, article(0, (32, 48)))
    assert "the article worn 48x32; expected one aspect" in fails(*swap_options(tiny_run, *scene, out))
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    assert "photo.png" in fails(*swap_options(tiny_run, *scene, out))
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--preset": "x"}, "--preset: got 'x', expected paper, modern, small"),
        ({"--resolution": 40}, "expected multiples of 16"),
        ({"--resolution": "48x32"}, "not of the aspect of 48x32: choose --resolution 48x48"),
        ({"--channels": "8,8"}, "expected 4 numbers"),
        ({"--channels": "a"}, "--channels: got 'a'"),
        ({"--d-norm": "x"}, "--d-norm"),
        ({"--gan-loss": "x"}, "--gan-loss"),
        ({"--sheets-at": "0"}, "--sheets-at"),
        ({"--truth-weight": -1}, "--truth-weight"),
        ({"--batch": 0}, "--batch"),
        ({"--images": 0}, "--images"),
        ({"--val": "none"}, "--val-share has no effect with --val"),
        ({"--val": "none", "--val-share": None}, "none does not exist"),
        ({"--init-from": "none"}, "no model to swap with"),
        ({"--device": "tpu"}, "--device"),
        ({"--out": "/proc/shoegen/run"}, "cannot make the folder"),
    ],
)
def test_train_cagan_says_what_is_wrong(pairs, tmp_path, changes, message):
    assert message in fails(*options(pairs, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_used_is_one_line(pairs, tmp_path):
    data = shutil.copytree(pairs, tmp_path / "pairs")
    assert "--data" in fails("train-cagan", "--out", tmp_path / "run")
    assert "does not exist" in fails(*options(tmp_path / "none", tmp_path / "run"))
    (data / "articles" / "04.png").unlink()
    line = fails(*options(data, tmp_path / "run"))
    assert "articles/04.png: the file does not exist" in line
    assert not (tmp_path / "run").exists()
    text = run(*options(data, tmp_path / "run"), "--skip-bad", "--dry-run")
    assert "left out: articles/04.png" in text
    assert "--lr-g" in fails("train-cagan", "--out", tmp_path / "run", "--resume", "--lr-g", 1)
    assert "no run in" in fails("train-cagan", "--out", tmp_path / "run", "--resume")


def test_learning_rates_are_those_asked_for(pairs, tmp_path):
    out = tmp_path / "run"
    assert "--lr-d" in fails(*options(pairs, out, **{"--lr-d": "nan"}))
    run(*options(pairs, out, **{"--lr-g": 0.001, "--lr-d": 0.002}))
    kept = json.loads((out / "config.json").read_text())
    assert (kept["learning_rate_g"], kept["learning_rate_d"]) == (0.001, 0.002)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "photo;wearing;with;out",
            "has the columns photo;wearing;with;out; expected photo, wearing, with, out",
        ),
        ("photo,wearing,with,out,alpha\na,b,c,d,e", "if wanted alpha_out"),
        ("photo,wearing,with,out\na,b,c,d,e", "line 2 has more cells than columns"),
        ("photo,wearing,with,out\na,b,c,d\0.png", "a NUL"),
    ],
)
def test_jobs_of_other_columns(tmp_path, text, message):
    (tmp_path / "jobs.csv").write_text(text)
    assert message in fails("swap", "--jobs", tmp_path / "jobs.csv")


def test_columns_may_have_blanks_and_capitals(scene, tiny_run, tmp_path):
    (tmp_path / "jobs.csv").write_text(f"Photo, Wearing, With, Out\n{', '.join(map(str, scene))}, made.png\n")
    run("swap", "--jobs", tmp_path / "jobs.csv", "--model", tiny_run)
    assert (tmp_path / "made.png").exists()
