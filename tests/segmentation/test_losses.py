import pytest
import torch
import torch.nn.functional as F

from shoegen.segmentation.losses import SegmentationLoss, class_weights


def test_weights_average_one_over_the_pixels():
    frequencies = torch.tensor([0.9, 0.09, 0.01, 0.0])
    for damping in (0.0, 0.5, 1.0):
        weights = class_weights(frequencies, damping)
        assert (weights * frequencies).sum().item() == pytest.approx(1)
        assert weights[3] == 0
    assert torch.allclose(class_weights(frequencies, 0.0)[:3], torch.ones(3))
    weights = class_weights(frequencies, 0.5)
    assert (weights[2] / weights[0]).item() == pytest.approx(90**0.5, rel=1e-5)


def test_loss_is_cross_entropy_plus_dice():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    plain = SegmentationLoss(torch.ones(3), dice=0)(logits, labels)
    assert torch.allclose(plain, F.cross_entropy(logits, labels))

    probabilities = logits.softmax(1)
    hot = F.one_hot(labels, 3).movedim(-1, 1)
    overlap, areas = (probabilities * hot).sum((0, 2, 3)), (probabilities + hot).sum((0, 2, 3))
    dice = 1 - (2 * overlap / areas).mean()
    assert torch.allclose(SegmentationLoss(torch.ones(3), dice=0.5)(logits, labels), plain + 0.5 * dice)


def test_perfect_prediction_costs_nothing():
    labels = torch.randint(0, 3, (2, 8, 8))
    logits = 100.0 * F.one_hot(labels, 3).movedim(-1, 1)
    assert SegmentationLoss(torch.ones(3))(logits, labels).item() == pytest.approx(0, abs=1e-5)
