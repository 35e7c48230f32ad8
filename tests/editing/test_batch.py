import numpy as np
import pytest

from shoegen.data.images import read_image
from shoegen.editing.amounts import Amount
from shoegen.editing.batch import Job, Tally, check_jobs, read_jobs, run_jobs, split_edits
from shoegen.errors import ConfigError, DataError


def write_csv(path, *lines):
    path.write_text("\n".join(lines))
    return path


def test_split_edits():
    for text in ("heel=+20mm shaft=-1", "heel=+20mm; shaft=-1", "heel=+20mm;shaft=-1;"):
        assert split_edits(text) == ["heel=+20mm", "shaft=-1"]
    assert split_edits("heel=to 80 mm shaft=+1 sd") == ["heel=to 80 mm", "shaft=+1 sd"]


def test_read_jobs(model, tmp_path):
    model.sample(3).save_latent(tmp_path / "a.safetensors")
    path = write_csv(
        tmp_path / "jobs.csv",
        "seed,latent,edits,keep,out",
        '3,,"heel=+20mm, 5",,',
    )
    with pytest.raises(DataError, match=r"jobs.csv, line 2: .*unit"):
        read_jobs(path, "out")
    path = write_csv(
        tmp_path / "jobs.csv",
        "seed,latent,edits,keep,out",
        "3,,heel=+20mm shaft=-1,,",
        ',a.safetensors,heel=1,"toe, shaft",b.jpg',
    )
    one, other = read_jobs(path, tmp_path / "out")
    assert one == Job(
        "seed",
        "3",
        {"heel": Amount("by", 20, "mm"), "shaft": Amount("strength", -1)},
        tmp_path / "out" / "00000.png",
    )
    assert (other.kind, other.source) == ("latent", str(tmp_path / "a.safetensors"))
    assert other.keep == ("toe", "shaft")
    assert other.out == tmp_path / "out" / "b.jpg"


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (["seed,out", "3,a.png"], "expected edits"),
        (["seed,edits,colour", "3,heel=1,red"], "columns seed, edits, colour"),
        (["seed,edits"], "no jobs"),
        (["seed,edits", "-3,heel=1"], "line 2: seed: got '-3'"),
        (["seed,edits", "3,"], "line 2: no edits"),
        (["seed,edits,out", "3,heel=1,../../a.png"], "line 2: out: got ../../a.png, expected a name inside"),
        (["seed,edits,out", "3,heel=1,/a.png"], "line 2: out: got /a.png"),
        (["seed,edits", "3,heel"], "line 2: edits: got 'heel'"),
        (["seed,edits", "3,heel=1,2"], "line 2: more cells"),
        (["seed,latent,edits", "3,a.safetensors,heel=1"], "got seed and latent"),
        (["latent,edits", "a.safetensors,heel=1"], "nothing at .*relative to the CSV"),
    ],
)  # fmt: skip
def test_jobs_that_are_wrong(tmp_path, lines, match):
    with pytest.raises(DataError, match=match):
        read_jobs(write_csv(tmp_path / "jobs.csv", *lines), tmp_path)


def test_a_source_that_is_not_there_may_be_left_to_its_job(model, tmp_path):
    lines = ["latent,seed,edits", "nope.safetensors,,heel=1", ",3,heel=1"]
    jobs = read_jobs(write_csv(tmp_path / "jobs.csv", *lines), tmp_path, skip_bad=True)
    bad, good = run_jobs(model, jobs, skip_bad=True)
    assert "nope.safetensors" in bad.error
    assert good.after is not None


def test_jobs_that_cannot_be_written(tmp_path):
    def job(out, kind="seed", source="3"):
        return Job(kind, source, {}, tmp_path / out)

    with pytest.raises(ConfigError, match="for seed 3 and for seed 3"):
        check_jobs([job("a.png"), job("a.png")])
    with pytest.raises(ConfigError, match="suffix"):
        check_jobs([job("a.xyz")])
    with pytest.raises(ConfigError, match="is what is to be edited"):
        check_jobs([job("a.png", "image", str(tmp_path / "a.png"))])
    with pytest.raises(DataError, match="cannot read the jobs"):
        read_jobs(tmp_path / "nothing.csv", tmp_path)


def test_run_jobs(model, tmp_path):
    jobs = [
        Job("seed", str(seed), {"heel": Amount("strength", 1)}, tmp_path / f"{seed}.png")
        for seed in range(18)
    ]
    tally, told = Tally(), []
    found = list(run_jobs(model, jobs, tally=tally, progress=lambda *done: told.append(done)))
    assert tally.done == 18
    assert tally.pace > 0
    assert told[-1] == (18, 18)
    for seed in (0, 17):
        expected = model.sample(seed).edit(heel=1).image
        assert np.abs(read_image(tmp_path / f"{seed}.png").astype(int) - expected).max() <= 1
    assert found[17].figures(measured=True)["before"]["heel_height"] == pytest.approx(
        model.sample(17).measures["heel_height"], abs=0.005
    )
    assert "before" not in found[17].figures(measured=False)


def test_a_job_that_fails(model, tmp_path):
    amounts = [Amount("to", 40, "mm"), Amount("to", 900, "mm"), Amount("strength", 1)]
    jobs = [Job("seed", str(i), {"heel": each}, tmp_path / f"{i}.png") for i, each in enumerate(amounts)]
    with pytest.raises(ConfigError, match=r"seed 1: heel: 900\.0 mm is out of reach"):
        list(run_jobs(model, jobs))
    tally = Tally()
    found = list(run_jobs(model, jobs, skip_bad=True, measure=True, tally=tally))
    assert [bool(done.after) for done in found] == [True, False, True]
    assert (tally.done, len(tally.failed)) == (2, 1)
    assert "out of reach" in found[1].figures(measured=True)["error"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["0.png", "2.png"]


def test_latents_and_photographs(model, tmp_path, monkeypatch):
    shoe = model.sample(3)
    shoe.save_latent(tmp_path / "a.safetensors")

    class Photo:
        def put_back(self, rendered, mask):
            assert rendered.shape == (16, 16, 3)
            assert mask.shape == (256, 256)
            return np.full((5, 6, 3), 7, np.uint8)

    import dataclasses

    asked = []

    def invert(path, *, model, quality):
        asked.append((path, quality))
        return dataclasses.replace(shoe, photo=Photo())

    monkeypatch.setattr("shoegen.editing.batch.invert", invert)
    edits = {"heel": Amount("strength", 1)}
    jobs = [
        Job("latent", str(tmp_path / "a.safetensors"), edits, tmp_path / "a.png"),
        Job("image", "photo.jpg", edits, tmp_path / "b.png"),
    ]
    assert len(list(run_jobs(model, jobs, quality="fast"))) == 2
    assert np.array_equal(read_image(tmp_path / "a.png"), shoe.edit(heel=1).image)
    assert (read_image(tmp_path / "b.png") == 7).all()
    assert asked == [("photo.jpg", "fast")]
