import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from shoegen.data.images import write_image
from shoegen.errors import ConfigError, FileFormatError, OutputError
from shoegen.inversion import Inversion, invert, projecting
from shoegen.inversion.config import EncoderConfig
from shoegen.inversion.encoder import Encoder
from shoegen.inversion.networks import EncoderNetwork
from shoegen.inversion.projecting import STATE_FILE, Inverter, noise_penalty, part_iou
from shoegen.stylegan.networks import SynthesisLayer
from shoegen.stylegan.sampling import latents, render

FIGURES = {
    "mse", "delta_e", "perceptual", "part_iou", "shoe_iou", "from_mean", "layers_apart", "seconds",
}  # fmt: skip


@pytest.fixture
def photo(inverter, shoe):
    return inverter.align(shoe.image, mask=shoe.part_map > 0)


@pytest.mark.parametrize("quality", ["fast", "balanced", "best"])
def test_qualities(inverter, photo, quick, quality):
    before = inverter.generator.hash()
    told = []
    found = inverter.invert(photo, quality=quality, progress=lambda done, total: told.append((done, total)))
    assert isinstance(found, Inversion)
    assert found.ws.shape == (inverter.generator.num_ws, 8)
    assert found.ws.dtype == torch.float32
    assert set(found.figures) == FIGURES | ({"probe_iou"} if found.is_tuned else set())
    assert all(np.isfinite(value) for value in found.figures.values())
    assert found.is_tuned == (quality != "fast")
    assert found.origin == before == inverter.generator.hash()
    assert found.image.shape == (32, 32, 3)
    assert told[-1][0] == told[-1][1] == len(told)
    alike = found.ws.std(0).max()
    assert (alike < 1e-5) == (quality == "fast")  # W, or W+
    assert not any(each.requires_grad for each in found.generator.parameters())


def test_more_steps_come_nearer(inverter, photo, monkeypatch):
    ws = latents(inverter.generator, [3], psi=1.0)
    drawn = replace(photo, aligned=next(render(inverter.generator, ws)))
    losses = {}
    monkeypatch.setattr(projecting, "WITHOUT_ENCODER", 0)
    for steps in (1, 40):
        monkeypatch.setitem(projecting.EFFORTS, "fast", projecting.Effort(w=steps))
        losses[steps] = inverter.invert(drawn, quality="fast").figures["mse"]
    assert losses[40] < 0.5 * losses[1]


def test_the_same_twice(inverter, photo, quick):
    one, other = (inverter.invert(photo) for _ in range(2))
    assert torch.equal(one.ws, other.ws)
    assert one.generator.hash() == other.generator.hash()


@pytest.mark.parametrize("stop_at", [2, 5, 9])
def test_resumed_is_uninterrupted(inverter, photo, quick, tmp_path, stop_at):
    whole = inverter.invert(photo)

    def stop(done, total):
        if done == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inverter.invert(photo, work=tmp_path / "work", progress=stop)
    told = []
    resumed = inverter.invert(photo, work=tmp_path / "work", progress=lambda done, total: told.append(done))
    assert told[0] == 1 + stop_at // 2 * 2  # saved at every second step
    assert torch.equal(whole.ws, resumed.ws)
    assert whole.generator.hash() == resumed.generator.hash()


def test_work_of_another_search_or_damaged_is_not_gone_on_with(inverter, photo, quick, tmp_path):
    inverter.invert(photo, work=tmp_path)
    told = []
    inverter.invert(photo, quality="fast", work=tmp_path, progress=lambda done, total: told.append(done))
    assert told[0] == 1
    (tmp_path / STATE_FILE).write_bytes(b"nothing")
    told.clear()
    inverter.invert(photo, quality="fast", work=tmp_path, progress=lambda done, total: told.append(done))
    assert told[0] == 1


def test_noise_is_found_and_stays_noise(generator, quick_segmenter, inverter, shoe, quick):
    for each in generator.modules():
        if isinstance(each, SynthesisLayer):
            each.noise_strength.fill_(0.2)
    before = copy.deepcopy(generator.state_dict())
    noisy = Inverter(generator, segmenter=quick_segmenter, encoder=None)
    noisy.__dict__["placement"] = inverter.placement
    found = noisy.invert(shoe.image, mask=shoe.part_map > 0)
    noise = [each.noise_const for each in found.generator.modules() if isinstance(each, SynthesisLayer)]
    assert all(float(each.square().mean()) == pytest.approx(1, abs=0.01) for each in noise)
    assert any(
        not torch.equal(value, before[name])
        for name, value in found.generator.state_dict().items()
        if "noise_const" in name
    )
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_noise_penalty_tells_noise_from_a_picture():
    noise = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    picture = torch.linspace(-1.7, 1.7, 32).expand(32, 32)
    assert float(noise_penalty([picture])) > 20 * float(noise_penalty([noise]))


def test_encoder_gives_the_start(generator, quick_segmenter, inverter, photo, quick, tmp_path, monkeypatch):
    config = EncoderConfig(resolution=(32, 32), num_ws=generator.num_ws, w_dim=8, channels=(8, 8), hidden=8)
    net = EncoderNetwork(config, inverter.basis)
    torch.nn.init.constant_(net.middle.bias, 0.5)
    encoder = Encoder(net, generator.hash())
    encoder.save(tmp_path / "encoder.safetensors", dtype=torch.float32)
    monkeypatch.setitem(projecting.EFFORTS, "fast", projecting.Effort(w=0))
    other = Inverter(generator, segmenter=quick_segmenter, encoder=tmp_path / "encoder.safetensors")
    found = other.invert(photo, quality="fast")
    expected = encoder(torch.from_numpy(photo.aligned).permute(2, 0, 1)[None].float() / 127.5 - 1)[0]
    assert torch.allclose(found.ws, expected, atol=1e-4)
    assert not any("no encoder" in note for note in other.notes)
    assert any("no encoder of this generator" in note for note in inverter_notes(generator, quick_segmenter))
    wrong = Encoder(net, "0" * 64)
    with pytest.raises(FileFormatError, match="the encoder is for the generator 000000000000"):
        Inverter(generator, segmenter=quick_segmenter, encoder=wrong)


def inverter_notes(generator, quick_segmenter):
    return Inverter(generator, segmenter=quick_segmenter).notes


def test_one_call_from_a_file(inverter, generator, quick_segmenter, shoe, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(projecting.Placement, "of", lambda *_, **__: inverter.placement)
    write_image(tmp_path / "photo.png", shoe.image)
    found = invert(
        tmp_path / "photo.png", generator=generator, segmenter=quick_segmenter, encoder=None, quality="fast"
    )
    assert found.photo.pixels.shape == (256, 256, 3)
    assert found.put_back(quick_segmenter).shape == (256, 256, 3)


def test_bad_arguments(inverter, photo, generator, quick_segmenter, tmp_path):
    with pytest.raises(ConfigError, match="--quality: got 'good', expected fast, balanced, best"):
        inverter.invert(photo, quality="good")
    with pytest.raises(ConfigError, match="seed: got -1"):
        Inverter(generator, segmenter=quick_segmenter, seed=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        inverter.invert(photo, work=tmp_path / "file" / "work")
    with pytest.raises(FileFormatError, match="no encoder at"):
        Inverter(generator, segmenter=quick_segmenter, encoder=tmp_path / "none")


def test_part_iou():
    one = np.zeros((4, 4), np.uint8)
    one[:2] = 1
    other = np.zeros((4, 4), np.uint8)
    other[:1] = 1
    assert part_iou(one, one, 3) == 1
    assert part_iou(one, other, 3) == pytest.approx((4 / 8 + 8 / 12) / 2)
