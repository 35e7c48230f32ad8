"""Weights of the right names and shapes, for machines without the published ones."""

import io
from unittest import mock

import numpy as np
import torch
import torchvision
from torch import nn

from shoegen.metrics import inception


def write_inception(path):
    """Random, but such that features differ from picture to picture."""
    kept = io.BytesIO()
    library = inception._library("feature_extractor_inceptionv3")
    with (
        mock.patch.object(library, "load_state_dict_from_url", return_value={}),
        mock.patch.object(library.FeatureExtractorInceptionV3, "load_state_dict"),
    ):
        network = library.FeatureExtractorInceptionV3("random", ["2048"])
    random = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=(2 / fan_in) ** 0.5, generator=random)
    torch.save(network.state_dict(), kept)
    path.write_bytes(kept.getvalue())


def write_vgg(path):
    """VGG-16's features alone; the layers after them are not used."""
    torch.manual_seed(0)
    config = torchvision.models.vgg.cfgs["D"]
    features = torchvision.models.vgg.make_layers(config)
    torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, path)


class Pictures:
    """Random pictures whose pixels lie around one brightness each, as a data set."""

    def __init__(self, count, shape=(3, 32, 32), *, seed=0, low=0, high=256):
        random = np.random.default_rng(seed)
        middle = random.integers(low, high, (count, 1, 1, 1))
        noise = random.integers(-30, 30, (count, *shape))
        self.pixels = (middle + noise).clip(0, 255).astype(np.uint8)
        self.image_shape = shape

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        return self.pixels[index]

    def sampler(self):
        """Hands the pictures out in order."""
        left = iter(torch.from_numpy(self.pixels))
        return lambda count: torch.stack([next(left) for _ in range(count)])
