import pytest
import torch

from shoegen.inversion.latents import Basis


def test_there_and_back(generator):
    basis = Basis.of(generator)
    w = generator.mapping(torch.randn(5, 8))
    assert torch.allclose(basis.to_w(basis.to_sigmas(w)), w, atol=1e-4)
    assert torch.allclose(basis.to_sigmas(basis.mean), torch.zeros(8), atol=1e-5)


def test_samples_are_one_sigma_wide(generator):
    basis = Basis.of(generator)
    v = basis.to_sigmas(generator.mapping(torch.randn(4000, 8, generator=torch.Generator().manual_seed(9))))
    wide = v.std(0)
    assert wide[-3:] == pytest.approx(torch.ones(3), abs=0.1)
    assert (wide < 1.1).all()
    assert abs(float(torch.corrcoef(v.T)[-1, -2])) < 0.1


def test_distance(generator):
    basis = Basis.of(generator)
    v = torch.zeros(generator.num_ws, 8)
    assert basis.distance(basis.to_w(v)) == pytest.approx((0, 0), abs=1e-4)
    assert basis.distance(basis.to_w(v + 1)) == pytest.approx((1, 0), abs=1e-4)
    v[::2], v[1::2] = 1, -1
    assert basis.distance(basis.to_w(v)) == pytest.approx((0, 1), abs=1e-4)
