import pytest
import torch

from shoegen.cagan.config import GAN_LOSSES, CaganConfig
from shoegen.cagan.loss import (
    cycle_loss,
    discriminator_loss,
    generator_loss,
    identity_loss,
    loss_on_fake,
    loss_on_real,
    truth_loss,
)
from shoegen.cagan.networks import Generator

from .tiny import CHANNELS


def test_the_published_loss_is_cross_entropy():
    torch.manual_seed(0)
    real, fake, mismatched = torch.randn(3, 4, 1, 2, 2).double()
    expected = -(
        real.sigmoid().log().mean()
        + (1 - fake.sigmoid()).log().mean()
        + (1 - mismatched.sigmoid()).log().mean()
    )
    assert discriminator_loss(real, fake, mismatched, "log").item() == pytest.approx(expected.item())
    assert generator_loss(fake, "log").item() == pytest.approx(-fake.sigmoid().log().mean().item())


@pytest.mark.parametrize("kind", GAN_LOSSES)
def test_the_losses_pull_the_right_way(kind):
    sure = torch.full((4, 1, 2, 2), 3.0)
    assert loss_on_real(sure, kind) < loss_on_real(-sure, kind)
    assert loss_on_fake(-sure, kind) < loss_on_fake(sure, kind)
    assert generator_loss(sure / 3, kind) < generator_loss(-sure / 3, kind)
    for i in range(3):  # each of the three has a say
        logits = [-sure if i == j else sure for j in range(3)]
        assert discriminator_loss(*logits, kind) != discriminator_loss(sure, sure, sure, kind)


def test_the_mask_counts_by_its_mean():
    assert identity_loss(torch.full((2, 1, 8, 8), 0.25)).item() == 0.25
    alpha = torch.zeros(2, 1, 8, 8)
    alpha[0, :, :4] = 1
    assert identity_loss(alpha).item() == 0.25


def silent(net):
    """Lets the mask be 0 everywhere."""
    last = net.decoder[-1].conv if net.head is None else net.head
    last.bias.data[0] = -1e4
    last.weight.data[0] = 0
    return net


def test_who_changes_nothing_has_no_way_back_to_lose():
    net = silent(Generator(CaganConfig(resolution=32, channels=CHANNELS)))
    photo, worn, other = torch.rand(3, 2, 3, 32, 32) * 2 - 1
    there = net(photo, worn, other)
    assert torch.equal(there.result, photo)
    assert identity_loss(there.alpha) == 0
    assert cycle_loss(photo, net(there.result, other, worn).result) == 0


def test_the_way_back_teaches_both_passes():
    """The gradient through both uses of the generator is that of each alone, added up."""
    torch.manual_seed(0)
    net = Generator(CaganConfig(resolution=32, channels=CHANNELS)).double()
    photo, worn, other = torch.rand(3, 2, 3, 32, 32).double() * 2 - 1
    parameters = list(net.parameters())

    def gradients(first, second):
        there = net(photo, worn, other) if first else None
        if there is None:
            with torch.no_grad():
                there = net(photo, worn, other)
        # A copy of equal weights stands for the pass that is not asked about.
        back_net = net if second else twin
        loss = cycle_loss(photo, back_net(there.result, other, worn).result)
        return [g if g is not None else 0 for g in torch.autograd.grad(loss, parameters, allow_unused=True)]

    twin = Generator(net.config).double()
    twin.load_state_dict(net.state_dict())
    twin.requires_grad_(False)
    both, only_first, only_second = gradients(True, True), gradients(True, False), gradients(False, True)
    assert any(g.abs().max() > 1e-6 for g in only_first)
    assert any(g.abs().max() > 1e-6 for g in only_second)
    for whole, first, second in zip(both, only_first, only_second, strict=True):
        assert torch.allclose(whole, first + second, atol=1e-10)


def test_an_unknown_truth_counts_as_met():
    result, truth = torch.zeros(4, 3, 2, 2), torch.full((4, 3, 2, 2), 0.5)
    assert truth_loss(result, truth, torch.tensor([1.0, 0, 0, 1])).item() == 0.25
    assert truth_loss(truth, truth, torch.ones(4)).item() == 0
