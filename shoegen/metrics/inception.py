"""FID, KID, precision and recall, and the Inception score, all as torch-fidelity computes them.

Only the reading of pictures and weights is ours: torch-fidelity's own would download, and unpickle any file.
"""

from __future__ import annotations

import importlib.util
import io
import os
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shoegen.metrics.pictures import as_rgb_pixels
from shoegen.metrics.weights import INCEPTION, mismatch, read_weights

RESIZE = "bilinear-299 torch-fidelity"
_AT_ONCE = 32  # pictures; at 299 px each takes some 50 MB


def installed() -> bool:
    """Whether torch-fidelity is there."""
    return importlib.util.find_spec("torch_fidelity") is not None


class Inception:
    """The Inception v3 of the metrics (TensorFlow's of 2015-12-05).

    Args:
        path: of its weights.

    Attributes:
        sha256: of the file.

    Raises:
        FileFormatError: the file is damaged, or of another network.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        state, self.sha256 = read_weights(path)
        extractor = _library("feature_extractor_inceptionv3").FeatureExtractorInceptionV3
        # It would unpickle whatever the file holds: it gets what was read with weights_only.
        checked = io.BytesIO()
        torch.save(state, checked)
        checked.seek(0)
        try:
            # Its layers are drawn at random before they are overwritten: not from the caller's random state.
            with torch.random.fork_rng(devices=[]):
                self._network = extractor("inception", ["2048", "logits_unbiased"], checked)
        except RuntimeError as error:
            raise mismatch(path, "Inception v3") from error

    @property
    def is_published(self) -> bool:
        return self.sha256.startswith(INCEPTION.sha256)

    @torch.no_grad()
    def see(self, pictures: Tensor, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """uint8 (N, C, H, W) → features (N, 2048) and logits (N, 1008), float32 on the CPU."""
        network = self._network.to(device)
        chunks = [network(chunk.to(device)) for chunk in as_rgb_pixels(pictures).split(_AT_ONCE)]
        features, logits = (torch.cat(parts).cpu() for parts in zip(*chunks))
        return features, logits


@dataclass
class Features:
    """What Inception saw: features float32 (N, 2048) and logits (N, 1008) in chunks."""

    network: Inception
    device: torch.device | str

    def __post_init__(self) -> None:
        self._chunks: list[tuple[Tensor, Tensor]] = []

    def add(self, pictures: Tensor) -> None:
        """Looks at uint8 (n, C, H, W)."""
        self._chunks.append(self.network.see(pictures, self.device))

    @property
    def features(self) -> Tensor:
        return torch.cat([features for features, _ in self._chunks])

    @property
    def logits(self) -> Tensor:
        return torch.cat([logits for _, logits in self._chunks])


def frechet_distance(reference: Tensor, generated: Tensor) -> float:
    """FID (arXiv 1706.08500) of features (N, d) and (M, d)."""
    fid = _library("metric_fid")
    statistics = [fid.fid_features_to_statistics(each.double()) for each in (generated, reference)]
    return fid.fid_statistics_to_metric(*statistics, False)[fid.KEY_METRIC_FID]


def kernel_distance(
    reference: Tensor, generated: Tensor, *, seed: int
) -> tuple[float, float, dict[str, Any]]:
    """KID (arXiv 1801.01401), unbiased, of features (N, d) and (M, d).

    Returns:
        The mean and the standard deviation over 100 random subsets, and the settings. A subset has 1,000
        pictures, or half of what there is: subsets of all would be the same each time.
    """
    kid = _library("metric_kid")
    subset = max(2, min(1000, min(len(reference), len(generated)) // 2))
    settings = {"subsets": 100, "subset_size": subset}
    found = kid.kid_features_to_metric(
        generated, reference, kid_subsets=100, kid_subset_size=subset, rng_seed=seed, verbose=False
    )
    return found[kid.KEY_METRIC_KID_MEAN], found[kid.KEY_METRIC_KID_STD], settings


NEIGHBOURS = 3


def precision_recall(reference: Tensor, generated: Tensor) -> tuple[float, float]:
    """Improved precision and recall (arXiv 1904.06991) with 3 neighbours, of features (N, d) and (M, d).

    precision: the share of generated pictures that lie among the real ones; recall: of real among generated.
    """
    prc = _library("metric_prc")
    found = prc.prc_features_to_metric(
        generated,
        reference,
        prc_neighborhood=NEIGHBOURS,
        prc_batch_size=2048,
        save_cpu_ram=True,
        verbose=False,
    )
    return found[prc.KEY_METRIC_PRECISION], found[prc.KEY_METRIC_RECALL]


def inception_score(logits: Tensor, *, seed: int) -> tuple[float, float, dict[str, Any]]:
    """IS (arXiv 1606.03498) of logits (N, classes): mean and standard deviation over the splits, and how many."""
    isc = _library("metric_isc")
    splits = min(10, len(logits) // 2)
    found = isc.isc_features_to_metric(logits, splits=splits, rng_seed=seed)
    return found[isc.KEY_METRIC_ISC_MEAN], found[isc.KEY_METRIC_ISC_STD], {"splits": splits}


def _library(module: str) -> Any:
    """torch_fidelity.MODULE; the import takes seconds, and what it pulls in may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"torch_fidelity.{module}")
