import dataclasses
import random

import numpy as np
import pytest
import torch

from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.metrics import METRICS, Evaluator, Figure, default_metrics, evaluate, evaluation, inception
from shoegen.metrics.pictures import draw_latents
from shoegen.metrics.weights import ASSETS_VARIABLE, INCEPTION, VGG
from shoegen.stylegan.config import GeneratorConfig
from shoegen.stylegan.networks import Generator

from ..tiny import tiny_generator
from .random_weights import Pictures


@pytest.fixture(autouse=True)
def no_assets(monkeypatch):
    monkeypatch.delenv(ASSETS_VARIABLE, raising=False)


def small_pictures(count=12, **options):
    return Pictures(count, (3, 16, 16), **options)


def test_figures_say_what_they_are_of():
    figure = Figure(
        name="kid",
        value=0.01234,
        spread=0.0004,
        n_ref=2255,
        n_gen=2000,
        resize="bilinear-299 torch-fidelity",
        extra={"subsets": 100},
    )
    assert str(figure) == "kid 0.01234 ± 0.0004 (N_ref 2255, N_gen 2000, resize bilinear-299 torch-fidelity)"
    assert figure.to_dict()["extra"] == {"subsets": 100}
    bad = Figure(name="is", value=float("nan"), n_ref=0, n_gen=2, resize="none")
    assert bad.to_dict()["value"] is None


def test_default_metrics(tmp_path, monkeypatch):
    assert default_metrics(100) == ["swd"]
    (tmp_path / INCEPTION.names[0]).touch()
    assert default_metrics(9_999, tmp_path) == ["kid"]
    assert default_metrics(10_000, tmp_path) == ["fid"]
    monkeypatch.setenv(ASSETS_VARIABLE, str(tmp_path))
    assert default_metrics(100) == ["kid"]
    monkeypatch.setattr(inception, "installed", lambda: False)
    assert default_metrics(100) == ["swd"]


def test_without_weights_metrics_are_skipped_with_one_line_each(tmp_path):
    notes = []
    figures = evaluate(tiny_generator(), small_pictures(), list(METRICS), samples=8, say=notes.append)
    assert [figure.name for figure in figures] == ["swd"]
    assert len(notes) == len(METRICS) - 1
    for name, note in zip(["kid", "fid", "pr", "is", "ppl"], notes, strict=True):
        expected = VGG if name == "ppl" else INCEPTION
        assert note.startswith(f"{name} skipped: no {expected.network} weights")
        assert expected.names[0] in note
        assert ASSETS_VARIABLE in note
        assert "\n" not in note


def test_without_the_library_too(weights, monkeypatch):
    monkeypatch.setattr(inception, "installed", lambda: False)
    notes = []
    assert (
        evaluate(
            tiny_generator(), small_pictures(), ["fid"], weights=weights / "inception.pth", say=notes.append
        )
        == []
    )
    assert notes == ["fid skipped: torch-fidelity is not installed; pip install 'shoegen[metrics]'"]


@pytest.fixture(scope="module")
def measured(weights):
    """All that Inception measures, of pictures among the data's and of others; the notes; how often it looked."""
    notes, done, calls = [], [], []
    see, frechet_distance = inception.Inception.see, inception.frechet_distance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception.Inception, "see", lambda *arguments: calls.append(1) or see(*arguments))
        # Of all 2,048 dimensions FID takes seconds.
        patch.setattr(
            inception, "frechet_distance", lambda *both: frechet_distance(*(x[:, :64] for x in both))
        )
        evaluator = Evaluator(
            small_pictures(10),
            ["swd", "kid", "fid", "pr", "is"],
            samples=8,
            weights=weights / "inception.pth",
            say=notes.append,
        )
        assert evaluator.work == 10 + 8 + 8  # the data for Inception, the samples, the data for SWD
        alike = evaluator.evaluate(small_pictures(10).sampler(), progress=done.append)
        assert done[-1] == 26
        assert evaluator.work == 16
        others = evaluator.evaluate(small_pictures(10, seed=1, low=0, high=20).sampler())
    return alike, others, notes, len(calls)


def test_all_of_inception_end_to_end(measured):
    alike, others, notes, _ = measured
    names = ["swd", "kid", "fid", "precision", "recall", "is"]
    assert [figure.name for figure in alike] == names
    one, other = ({figure.name: figure for figure in figures} for figures in (alike, others))
    assert one["kid"].value < other["kid"].value
    assert one["fid"].value < other["fid"].value / 2
    assert one["precision"].value == 1  # they are among the data
    assert one["recall"].value > other["recall"].value
    for figure in alike:
        counts = {"swd": (8, 8), "is": (0, 8)}.get(figure.name, (10, 8))
        assert (figure.n_ref, figure.n_gen) == counts
        assert f"N_ref {counts[0]}, N_gen {counts[1]}, resize " in str(figure)
    assert "not the published Inception" in notes[0]
    assert len(notes) == 1


def test_the_reference_is_seen_once(measured):
    assert measured[3] == 3  # the data, and the generator's pictures twice


def test_ppl_end_to_end(weights, monkeypatch):
    mine = dataclasses.replace(VGG, names=("vgg.pth",))
    monkeypatch.setattr(evaluation, "VGG", mine)
    monkeypatch.setitem(METRICS, "ppl", dataclasses.replace(METRICS["ppl"], weights=mine))
    notes, done = [], []
    evaluator = Evaluator(small_pictures(), ["ppl"], samples=3, weights=weights, say=notes.append)
    (figure,) = evaluator.evaluate(tiny_generator(), progress=done.append)
    assert figure.name == "ppl"
    assert figure.value > 0
    assert (figure.n_ref, figure.n_gen) == (0, 3)
    assert done == [evaluator.work] == [3]
    assert "not the published VGG" in notes[0]
    with pytest.raises(ConfigError, match="expected a generator"):
        evaluator.evaluate(small_pictures().sampler())


@pytest.mark.parametrize(("name", "published"), [("kid", INCEPTION), ("ppl", VGG)])
def test_damaged_weights_are_refused_before_any_work(name, published, tmp_path):
    (tmp_path / published.names[0]).write_bytes(b"damaged")
    with pytest.raises(FileFormatError, match=f"promises {published.sha256}"):
        Evaluator(small_pictures(), [name], weights=tmp_path)


def test_draws_from_its_own_random_state_and_changes_nothing():
    generator = tiny_generator().train().requires_grad_(True)
    before = {name: value.clone() for name, value in generator.state_dict().items()}

    def states():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    kept = states()
    first = evaluate(generator, small_pictures(), ["swd"], seed=1)
    assert states() == kept
    torch.manual_seed(9)
    assert evaluate(generator, small_pictures(), ["swd"], seed=1) == first
    assert evaluate(generator, small_pictures(), ["swd"], seed=2) != first
    assert evaluate(generator, small_pictures(), ["swd"], seed=1, psi=0) != first
    assert generator.training
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_conditional_generators_draw_the_classes_of_the_data():
    config = GeneratorConfig(
        resolution=16, c_dim=3, z_dim=8, w_dim=8, mapping_layers=1, channel_base=128, channel_max=8
    )
    generator = Generator(config)
    _, c = draw_latents(generator, 3000, seed=0, classes=[0, 2, 2, 2])
    assert c.sum(1).eq(1).all()
    assert c.mean(0).tolist() == pytest.approx([0.25, 0, 0.75], abs=0.03)
    (figure,) = evaluate(generator, small_pictures(4), ["swd"], classes=[0, 2, 2, 2])
    assert figure.value > 0
    with pytest.raises(ConfigError, match="data without classes"):
        evaluate(generator, small_pictures(4), ["swd"])
    with pytest.raises(ConfigError, match="classes 0 to 3"):
        evaluate(generator, small_pictures(4), ["swd"], classes=[0, 3])


def test_counts_and_chunks():
    data = Pictures(200, (1, 32, 48))
    asked = []
    sampler = data.sampler()

    def counting(count):
        asked.append(count)
        return sampler(count)

    done = []
    evaluator = Evaluator(data, ["swd"], samples=150)
    (figure,) = evaluator.evaluate(counting, progress=done.append)
    assert sum(asked) == 150
    assert max(asked) == 64
    assert done == sorted(done)
    assert done[-1] == evaluator.work == 300
    assert (figure.n_ref, figure.n_gen) == (150, 150)
    assert list(figure.parts) == ["48x32 px", "24x16 px"]
    (figure,) = evaluate(Pictures(300, (1, 32, 48)).sampler(), data, ["swd"], samples=300)
    assert (figure.n_ref, figure.n_gen) == (200, 200)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ["swd", "lpips"]}, "got 'lpips', expected some of swd, kid, fid, pr, is, ppl"),
        ({"metrics": []}, "got none, expected"),
        ({"samples": 1}, "got 1, expected at least 2"),
        ({"seed": -1}, "seed: got -1"),
        ({"weights": "/nothing/there"}, "nothing at /nothing/there"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Evaluator(small_pictures(), **arguments)


def test_bad_data():
    with pytest.raises(DataError, match="swd needs at least 2 pictures, the data has 1"):
        Evaluator(small_pictures(1), ["swd"])
    with pytest.raises(ConfigError, match="got 3, pr needs at least 4"):
        Evaluator(small_pictures(), ["pr"], samples=3)
    with pytest.raises(DataError, match=r"draws \(12, 3, 16, 16\)"):
        evaluate(tiny_generator(), Pictures(12, (1, 16, 16)), ["swd"])
