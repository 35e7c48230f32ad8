"""Generator and discriminator of arXiv 1709.04695, and what the years since have added, if it is asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from shoegen.cagan.config import LEVELS, CaganConfig, DiscriminatorConfig

SLOPE = 0.2
KEYS = 32  # channels of queries and keys


class Swap(NamedTuple):
    """What the generator makes of N photographs.

    result: (N, 3, H, W), α·x̃ + (1 − α)·x_i. alpha: (N, 1, H, W) in [0, 1]. drawn: x̃ (N, 3, H, W) in [−1, 1].
    Of generators with attention, what x̃ is made of, so that it can be made at other sizes too, see `carry`:
    painted: (N, 3, H, W) in [−1, 1]. share: (N, 1, H, W) in [0, 1], of the moved article in the blend with it.
    places: (N, 2, h, w), where in the article the moved one's pixels come from.
    """

    result: Tensor
    alpha: Tensor
    drawn: Tensor
    painted: Tensor | None = None
    share: Tensor | None = None
    places: Tensor | None = None


class Generator(nn.Module):
    """Puts another article on a photograph.

    photo x_i, worn y_i, other y_j: (N, 3, H, W) in [−1, 1], H and W multiples of 16. See `Swap`.

    The encoder halves [x_i, y_i, y_j] four times; the decoder doubles four times, each time next to the same pictures
    scaled down. With attention there is a second encoder, of y_j alone: the decoder's features look for the place of
    the article that belongs to them, take its features, and y_j itself, moved to where they looked, stands beside the
    pictures from there on; x̃ is then a blend of what is drawn and of that, so that patterns need not be drawn anew.
    """

    def __init__(self, config: CaganConfig) -> None:
        super().__init__()
        self.config = config
        self.outputs = 5 if config.attention else 4  # the mask, three colours, the share of the moved article
        channels = config.channels
        self.encoder = nn.ModuleList(_down(*each, norm=i > 0) for i, each in enumerate(_pairs(9, channels)))
        article = [max(each // 2, 8) for each in channels]
        depth = max(config.attention, default=0)
        self.article_encoder = nn.ModuleList(
            _down(*each, norm=i > 0) for i, each in enumerate(_pairs(3, article[:depth]))
        )
        self.attention = nn.ModuleDict(
            {
                str(level): ArticleAttention(channels[level - 1], article[level - 1])
                for level in config.attention
            }
        )
        self.decoder = nn.ModuleList()  # from the coarsest on; the last one is at full resolution
        for level in range(LEVELS, 0, -1):
            beside = 9 + 3 * any(each >= level for each in config.attention)
            if config.features and level > 1:
                beside += channels[level - 2]
            out = channels[level - 2] if level > 1 else config.head or self.outputs
            self.decoder.append(_Up(channels[level - 1], beside, out, norm=level > 1))
        self.head = nn.Conv2d(config.head, self.outputs, 3, padding=1) if config.head else None

    def forward(self, photo: Tensor, worn: Tensor, other: Tensor) -> Swap:
        pictures = torch.cat([photo, worn, other], 1)
        scaled = _pyramid(pictures)
        encoded, x = [], pictures
        for stage in self.encoder:
            x = stage(x)
            encoded.append(x)
        seen, article = [], other
        for stage in self.article_encoder:
            article = stage(article)
            seen.append(article)
        moved: list[Tensor] = []
        places: Tensor | None = None
        for up, level in zip(self.decoder, range(LEVELS, 0, -1), strict=True):
            if str(level) in self.attention:
                x, places = self.attention[str(level)](x, seen[level - 1])
                moved = _pyramid(carry(other, places))
            beside = [scaled[level - 1]]
            if moved:
                beside.append(moved[level - 1])
            if self.config.features and level > 1:
                beside.append(encoded[level - 2])
            x = up(x, beside)
        if self.head is not None:
            x = self.head(F.leaky_relu(x, SLOPE))
        alpha, painted = x[:, :1].sigmoid(), x[:, 1:4].tanh()
        if places is None:
            return Swap(blend(photo, alpha, painted), alpha, painted)
        share = x[:, 4:].sigmoid()
        drawn = blend(painted, share, moved[0])
        return Swap(blend(photo, alpha, drawn), alpha, drawn, painted, share, places)


def blend(photo: Tensor, alpha: Tensor, drawn: Tensor) -> Tensor:
    """α·x̃ + (1 − α)·x_i; the photo itself, bit for bit, where α is 0."""
    return alpha * drawn + (1 - alpha) * photo


class ArticleAttention(nn.Module):
    """Features of a photo look at those of an article.

    x (N, channels, h, w), article (N, article_channels, h', w') → x with what was seen added, and where its mean lies,
    (N, 2, h, w): x and y in [−1, 1] over the article's width and height.

    Each place looks around a place of the article, at first its own, then wherever training finds better
    (`self.offset`), and within sight at what is alike.
    """

    def __init__(self, channels: int, article_channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, KEYS, 1)
        self.key = nn.Conv2d(article_channels, KEYS, 1)
        self.value = nn.Conv2d(article_channels, channels, 1)
        self.offset = nn.Conv2d(
            channels + 2, 2, 3, padding=1
        )  # of the place too: articles are larger than life
        self.sharpness = nn.Parameter(torch.tensor(2.0))  # log of half the inverse variance of the sight
        for each in (self.query, self.offset):
            nn.init.zeros_(each.weight)
            nn.init.zeros_(each.bias)  # type: ignore[arg-type]
        self.query.weight.data.normal_(std=0.01)

    def forward(self, x: Tensor, article: Tensor) -> tuple[Tensor, Tensor]:
        height, width = x.shape[2:]
        own, theirs = _grid(x), _grid(article)  # 1, 2, h, w
        aim = own + self.offset(torch.cat([x, own.expand(len(x), -1, -1, -1)], 1))
        # −s·|aim − place|² as a product; its term |aim|² is the same for all places and falls out of the softmax.
        s = self.sharpness.exp()
        query = torch.cat([self.query(x) / KEYS**0.5, 2 * s * aim, -s * torch.ones_like(aim[:, :1])], 1)
        theirs = theirs.expand(len(x), -1, -1, -1)
        key = torch.cat([self.key(article), theirs, theirs.square().sum(1, keepdim=True)], 1)
        value = torch.cat([self.value(article), theirs], 1)
        found = F.scaled_dot_product_attention(_tokens(query), _tokens(key), _tokens(value), scale=1.0)
        found = found.transpose(1, 2).reshape(len(x), -1, height, width)
        return x + found[:, :-2], found[:, -2:]


class Discriminator(nn.Module):
    """Whether a photo is real and shows its article, patch by patch.

    photo, article: (N, 3, H, W) in [−1, 1] → logits (N, 1, H / 16, W / 16).
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        spectral = config.norm == "spectral"
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(_pairs(6, config.channels)):
            normed = i > 0 and not spectral
            layers.append(_spectral(nn.Conv2d(before, after, 4, 2, 1, bias=not normed), spectral))
            if normed:
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(SLOPE))
        layers.append(_spectral(nn.Conv2d(config.channels[-1], 1, 3, padding=1), spectral))
        self.layers = nn.Sequential(*layers)

    def forward(self, photo: Tensor, article: Tensor) -> Tensor:
        return self.layers(torch.cat([photo, article], 1))


class _Up(nn.Module):
    """Doubles the sides and goes on next to what is there at this scale."""

    def __init__(self, before: int, beside: int, after: int, *, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before + beside, after, 3, padding=1)
        self.norm = nn.InstanceNorm2d(after, affine=True) if norm else None

    def forward(self, x: Tensor, beside: list[Tensor]) -> Tensor:
        x = self.conv(torch.cat([F.interpolate(x, scale_factor=2.0), *beside], 1))
        return x if self.norm is None else F.relu(self.norm(x))


def _down(before: int, after: int, *, norm: bool) -> nn.Module:
    conv = nn.Conv2d(before, after, 4, 2, 1)
    return nn.Sequential(conv, *([nn.InstanceNorm2d(after, affine=True)] * norm), nn.LeakyReLU(SLOPE))


def _pairs(first: int, channels: Any) -> list[tuple[int, int]]:
    """Channels before and after each layer."""
    return list(zip([first, *channels], channels))


def _spectral(layer: nn.Module, wanted: bool) -> nn.Module:
    return spectral_norm(layer) if wanted else layer


def _pyramid(pictures: Tensor) -> list[Tensor]:
    """The pictures at full size, half, a quarter and an eighth."""
    scaled = [pictures]
    for _ in range(LEVELS - 1):
        scaled.append(F.avg_pool2d(scaled[-1], 2))
    return scaled


def carry(article: Tensor, places: Tensor) -> Tensor:
    """The article (N, 3, H, W) with the pixels of its `places` (N, 2, h, w), which are interpolated to its size."""
    places = F.interpolate(places, article.shape[2:], mode="bilinear")
    return F.grid_sample(
        article, places.permute(0, 2, 3, 1), mode="bilinear", padding_mode="border", align_corners=False
    )


def _grid(x: Tensor) -> Tensor:
    """(1, 2, h, w): x and y of the pixels' centres, the picture's edges at −1 and 1."""
    height, width = x.shape[2:]
    rows = (torch.arange(height, device=x.device, dtype=x.dtype) * 2 + 1) / height - 1
    columns = (torch.arange(width, device=x.device, dtype=x.dtype) * 2 + 1) / width - 1
    return torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)])[None]


def _tokens(x: Tensor) -> Tensor:
    """(N, C, h, w) → (N, h·w, C)."""
    return x.flatten(2).transpose(1, 2)
