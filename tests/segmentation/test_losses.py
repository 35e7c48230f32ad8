import pytest
import torch
import torch.nn.functional as F

from shoegen.data.labels import IGNORED
from shoegen.errors import ConfigError
from shoegen.segmentation.config import parse_loss
from shoegen.segmentation.losses import SegmentationLoss, class_weights


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))


def loss(expression, weights=None):
    return SegmentationLoss(expression, torch.ones(3) if weights is None else weights)


def test_weights_average_one_over_the_pixels():
    frequencies = torch.tensor([0.9, 0.09, 0.01, 0.0])
    for given in ("none", "damped", "balanced", (1.0, 2.0, 3.0, 4.0)):
        weights = class_weights(given, frequencies)
        assert (weights * frequencies).sum().item() == pytest.approx(1)
        assert weights[3] == 0
    assert torch.allclose(class_weights("none", frequencies)[:3], torch.ones(3))
    for given, ratio in (("damped", 90**0.25), ("balanced", 90), ((1.0, 2.0, 3.0, 4.0), 3)):
        weights = class_weights(given, frequencies)
        assert (weights[2] / weights[0]).item() == pytest.approx(ratio, rel=1e-5)


def test_weights_that_do_not_fit():
    frequencies = torch.tensor([0.5, 0.5, 0.0])
    with pytest.raises(ConfigError, match="got 2 weights, the data has 3 classes"):
        class_weights((1.0, 2.0), frequencies)
    with pytest.raises(ConfigError, match="every class that occurs has weight 0"):
        class_weights((0.0, 0.0, 1.0), frequencies)


def test_cross_entropy_is_pytorchs(batch):
    logits, labels = batch
    assert torch.allclose(loss("ce")(logits, labels), F.cross_entropy(logits, labels))
    weights = torch.tensor([0.5, 1.0, 3.0])
    each = F.cross_entropy(logits, labels, weights, reduction="none")
    assert torch.allclose(loss("ce", weights)(logits, labels), each.mean())


def test_focal_loss_is_cross_entropy_where_it_is_unsure(batch):
    logits, labels = batch
    each = F.cross_entropy(logits, labels, reduction="none")
    expected = ((1 - torch.exp(-each)) ** 2 * each).mean()
    assert torch.allclose(loss("focal")(logits, labels), expected)


def test_dice_is_of_the_classes_that_occur(batch):
    logits, labels = batch
    labels = labels.clamp_max(1)
    p, hot = logits.softmax(1), F.one_hot(labels, 3).movedim(-1, 1)
    overlap, areas = (p * hot).sum((0, 2, 3)), (p + hot).sum((0, 2, 3))
    expected = 1 - (2 * overlap / areas)[:2].mean()
    assert torch.allclose(loss("dice")(logits, labels), expected)


def test_sums(batch):
    parts = {name: loss(name)(*batch) for name in ("ce", "focal", "dice")}
    assert torch.allclose(loss("ce+dice")(*batch), parts["ce"] + parts["dice"])
    assert torch.allclose(loss("0.5*focal + 2*dice")(*batch), 0.5 * parts["focal"] + 2 * parts["dice"])
    assert parse_loss("ce+0.5*dice") == {"ce": 1.0, "dice": 0.5}


@pytest.mark.parametrize("text", ["", "ce+", "mse", "ce+ce", "-1*ce", "x*ce", "0*ce", "nan*ce", "ce*2"])
def test_other_expressions(text):
    with pytest.raises(ConfigError, match="--loss: got"):
        parse_loss(text)


@pytest.mark.parametrize("name", ["ce", "focal", "dice"])
def test_perfect_prediction_costs_nothing(name):
    labels = torch.randint(0, 3, (2, 8, 8))
    logits = 100.0 * F.one_hot(labels, 3).movedim(-1, 1)
    assert loss(name)(logits, labels).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", ["ce", "focal", "dice"])
def test_ignored_pixels_do_not_count(name, batch):
    logits, labels = batch
    some = labels.clone()
    some[:, :, 4:] = IGNORED
    logits.requires_grad_()
    cost = loss(name)(logits, some)
    assert torch.allclose(cost, loss(name)(logits[..., :4], labels[..., :4]))
    cost.backward()
    assert not logits.grad[..., 4:].any()
    assert logits.grad[..., :4].any()
    nothing = loss(name)(logits, torch.full_like(labels, IGNORED))
    assert nothing.item() == 0
