import json
import math
import resource
import signal
from functools import partial

import pytest
import torch

from shoegen.errors import ConfigError, FileFormatError, OutputError
from shoegen.torch_utils.checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from shoegen.torch_utils.run_folder import RunFolder
from shoegen.torch_utils.tensors import load_tensors, save_tensors, tensors_hash


def test_checkpoints_are_kept_and_the_newest_is_found(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    for images in (10, 20, 30):
        save_checkpoint(tmp_path, images, {"images": images, "w": torch.full((3,), float(images))}, keep=2)
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [
        "checkpoint-000000020.pt",
        "checkpoint-000000030.pt",
    ]
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert load_checkpoint(newest)["w"].tolist() == [30, 30, 30]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "other", "missing"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = save_checkpoint(tmp_path, 1, {"w": torch.zeros(100)}, keep=1)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "other":
        path = tmp_path / "other.pt"
        path.write_bytes(b"not a checkpoint")
    else:
        path.unlink()
    with pytest.raises(FileFormatError):
        load_checkpoint(path)


def test_resuming_passes_over_a_damaged_checkpoint(tmp_path, capsys):
    with RunFolder.create(tmp_path / "run", {}, kind="test") as run:
        for images in (10, 20):
            newest = run.save_checkpoint(images, {"w": torch.zeros(1)})
    newest.write_bytes(b"")
    with RunFolder.resume(tmp_path / "run", kind="test") as run:
        assert run.state is not None
        assert run.state["images"] == 10
    assert "SHA-256" in capsys.readouterr().err
    (run.path / "checkpoint-000000010.pt").unlink()
    with pytest.raises(FileFormatError, match="cannot read"):
        RunFolder.resume(tmp_path / "run", kind="test")


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(Payload(), tmp_path / "evil.pt")
    with pytest.raises(FileFormatError):
        load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_a_resumed_log_forgets_what_will_be_done_again(tmp_path):
    with RunFolder.create(tmp_path / "run", {"a": 1}, kind="test") as run:
        run.log(10, {"loss": 1.0})
        run.save_checkpoint(20, {"w": torch.zeros(1)})
        run.log(20, {"loss": 0.5})
        run.log(30, {"loss": 0.4})
    with open(run.path / "log.jsonl", "a") as file:
        file.write('{"images": 40, "lo')  # killed while writing
    with RunFolder.resume(tmp_path / "run", kind="test") as run:
        assert run.config == {"a": 1}
        assert run.state is not None
        assert run.state["images"] == 20
        run.log(30, {"loss": 0.3})
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert lines == [{"images": 10, "loss": 1.0}, {"images": 20, "loss": 0.5}, {"images": 30, "loss": 0.3}]


def test_a_run_is_not_overwritten_and_not_invented(tmp_path):
    RunFolder.create(tmp_path / "run", {}, kind="test").close()
    with pytest.raises(OutputError, match="--resume"):
        RunFolder.create(tmp_path / "run", {}, kind="test")
    with pytest.raises(ConfigError, match="not one of other"):
        RunFolder.resume(tmp_path / "run", kind="other")
    with pytest.raises(ConfigError, match="no run in"):
        RunFolder.resume(tmp_path / "nothing", kind="test")


def test_tensors_round_trip_with_kind_and_hash(tmp_path):
    tensors = {"b": torch.arange(6.0).reshape(2, 3).T, "a": torch.tensor(1.5)}
    save_tensors(tmp_path / "x.safetensors", tensors, {"kind": "direction", "note": "ü"})
    loaded, metadata = load_tensors(tmp_path / "x.safetensors", kind="direction")
    assert metadata["note"] == "ü"
    torch.testing.assert_close(loaded, tensors)
    assert tensors_hash(loaded) == tensors_hash(tensors)
    assert tensors_hash({**tensors, "a": torch.tensor(1.25)}) != tensors_hash(tensors)
    with pytest.raises(FileFormatError, match="expected 'generator'"):
        load_tensors(tmp_path / "x.safetensors", kind="generator")
    (tmp_path / "y.safetensors").write_bytes(b"nothing")
    with pytest.raises(FileFormatError, match="not a readable safetensors file"):
        load_tensors(tmp_path / "y.safetensors", kind="generator")
    save_tensors(tmp_path / "z.safetensors", {"w": torch.tensor([1.0, math.nan])}, {"kind": "generator"})
    with pytest.raises(FileFormatError, match=r"z\.safetensors: w holds numbers that are not finite"):
        load_tensors(tmp_path / "z.safetensors", kind="generator")


def test_a_lost_manifest_is_made_from_the_files(tmp_path):
    with RunFolder.create(tmp_path / "run", {}, kind="test") as run:
        run.save_checkpoint(8, {"x": 1})
        run.save_checkpoint(16, {"x": 2})
    (tmp_path / "run" / "checkpoints.json").unlink()
    with RunFolder.resume(tmp_path / "run", kind="test") as run:
        assert run.state["x"] == 2
        run.save_checkpoint(24, {"x": 3})
    assert [path.name for path in sorted((tmp_path / "run").glob("*.pt"))] == [
        "checkpoint-000000016.pt",
        "checkpoint-000000024.pt",
    ]


def test_a_damaged_checkpoint_does_not_push_out_a_good_one(tmp_path):
    with RunFolder.create(tmp_path / "run", {}, kind="test") as run:
        run.save_checkpoint(8, {"x": 1})
        damaged = run.save_checkpoint(16, {"x": 2})
    damaged.write_bytes(b"no more")
    with RunFolder.resume(tmp_path / "run", kind="test") as run:
        assert run.state["x"] == 1
        run.save_checkpoint(24, {"x": 3})
    assert (tmp_path / "run" / "checkpoint-000000008.pt").exists()


@pytest.mark.parametrize(
    "content",
    [
        "null", "[{}]", '"x"', "no json", '[{"file": "../precious.pt", "images": 8, "sha256": null}]',
        '[{"file": 1, "images": 8, "sha256": null}]',
        '[{"file": "checkpoint-000000008.pt", "images": "8", "sha256": null}]',
    ],
)  # fmt: skip
def test_a_spoilt_manifest_is_said(tmp_path, content):
    with RunFolder.create(tmp_path / "run", {}, kind="test") as run:
        run.save_checkpoint(8, {"x": 1})
    (tmp_path / "run" / "checkpoints.json").write_text(content)
    with pytest.raises(FileFormatError, match=r"checkpoints\.json.*remove it"):
        RunFolder.resume(tmp_path / "run", kind="test")


def test_one_process_trains_in_a_folder(tmp_path):
    run = RunFolder.create(tmp_path / "run", {}, kind="test")
    with pytest.raises(OutputError, match="another process trains in"):
        RunFolder.resume(tmp_path / "run", kind="test")
    run.close()
    RunFolder.resume(tmp_path / "run", kind="test").close()


@pytest.mark.parametrize("left", ["log.jsonl", "checkpoint-000000008.pt", "generator.safetensors"])
def test_what_is_left_of_a_run_is_not_overwritten(tmp_path, left):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / left).write_text("precious")
    with pytest.raises(OutputError, match="holds a run already"):
        RunFolder.create(tmp_path / "run", {}, kind="test")
    assert (tmp_path / "run" / left).read_text() == "precious"


def test_a_log_never_stops_a_resume(tmp_path):
    with RunFolder.create(tmp_path / "run", {}, kind="test") as run:
        run.save_checkpoint(8, {"x": 1})
    good = '{"images": 4, "loss": 1.0}\n'
    (tmp_path / "run" / "log.jsonl").write_bytes(b'garbage\n[1]\n{"a": 1}\n\xff\n' + good.encode())
    RunFolder.resume(tmp_path / "run", kind="test").close()
    assert (tmp_path / "run" / "log.jsonl").read_text() == good


def test_what_was_being_written_when_it_was_killed_goes(tmp_path):
    left = [tmp_path / "run" / name for name in (".config.json.x.part", "samples/.8.png.y.part")]
    for open_run in (
        lambda path: RunFolder.create(path, {}, kind="test"),
        partial(RunFolder.resume, kind="test"),
    ):
        for path in left:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
        open_run(tmp_path / "run").close()
        assert not any(path.exists() for path in left)


def test_curves_are_tensorboards_own(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with RunFolder.create(tmp_path / "run", {}, kind="test") as run:
        run.log(8, {"loss": 1.0})
        run.save_checkpoint(8, {"x": 1})
        run.log(16, {"loss": 2.0})
    with RunFolder.resume(tmp_path / "run", kind="test") as run:
        run.log(16, {"loss": 3.0})
    curves = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    curves.Reload()
    assert [(point.step, point.value) for point in curves.Scalars("loss")] == [(8, 1.0), (16, 3.0)]


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    with RunFolder.create(tmp_path / "run", {}, kind="test") as run:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
            with pytest.raises(OutputError, match=r"cannot write .*free space .*--resume"):
                run.log(8, {"loss": 1.0})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
    (tmp_path / "run" / "log.jsonl").unlink()
    (tmp_path / "run" / "log.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*log\.jsonl"):
        RunFolder.resume(tmp_path / "run", kind="test")


def test_a_checkpoint_without_images_is_passed_over(tmp_path, capsys):
    with RunFolder.create(tmp_path / "run", {}, kind="test") as run:
        run.save_checkpoint(8, {"x": 1})
        torch.save({"images": "16"}, run.save_checkpoint(16, {"x": 2}))
    (tmp_path / "run" / "checkpoints.json").unlink()
    (tmp_path / "run" / "checkpoint-mine.pt").write_text("another's")
    with RunFolder.resume(tmp_path / "run", kind="test") as run:
        assert run.state["x"] == 1
    assert "not a whole checkpoint" in capsys.readouterr().err
