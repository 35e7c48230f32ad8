"""The networks of rosinality's stylegan2-pytorch as plain functions of a state dict, from the paper and its names.

Written apart from shoegen's networks, so that a conversion can be compared with something else.
"""

import math

import torch
import torch.nn.functional as F


def draw_generator(size, style_dim, mlp, channels):
    """A random state dict, {resolution: channels}; nothing keeps its initial value."""
    n = torch.randn
    levels = int(math.log2(size)) - 2
    state = {"input.input": n(1, channels[4], 4, 4)}
    for i in range(1, mlp + 1):
        state |= {f"style.{i}.weight": n(style_dim, style_dim) / 0.01, f"style.{i}.bias": n(style_dim) * 20}

    def modulated(name, fan_in, fan_out, kernel):
        state[f"{name}.conv.weight"] = n(1, fan_out, fan_in, kernel, kernel)
        state[f"{name}.conv.modulation.weight"] = n(fan_in, style_dim)
        state[f"{name}.conv.modulation.bias"] = 1 + 0.3 * n(fan_in)

    def styled(name, fan_in, fan_out):
        modulated(name, fan_in, fan_out, 3)
        state[f"{name}.noise.weight"] = 0.3 * n(1)
        state[f"{name}.activate.bias"] = 0.3 * n(fan_out)

    styled("conv1", channels[4], channels[4])
    modulated("to_rgb1", channels[4], 3, 1)
    state["to_rgb1.bias"] = n(1, 3, 1, 1)
    state["noises.noise_0"] = n(1, 1, 4, 4)
    for i in range(levels):
        side = 8 * 2**i
        styled(f"convs.{2 * i}", channels[side // 2], channels[side])
        state[f"convs.{2 * i}.conv.blur.kernel"] = fir() * 4
        styled(f"convs.{2 * i + 1}", channels[side], channels[side])
        modulated(f"to_rgbs.{i}", channels[side], 3, 1)
        state[f"to_rgbs.{i}.bias"] = n(1, 3, 1, 1)
        state[f"to_rgbs.{i}.upsample.kernel"] = fir() * 4
        state |= {f"noises.noise_{j}": n(1, 1, side, side) for j in (2 * i + 1, 2 * i + 2)}
    return state


def draw_discriminator(size, channels):
    """A random state dict."""
    n = torch.randn
    state = {"convs.0.0.weight": n(channels[size], 3, 1, 1), "convs.0.1.bias": n(channels[size])}
    side, i = size, 1
    while side > 4:
        fan_in, fan_out = channels[side], channels[side // 2]
        state |= {
            f"convs.{i}.conv1.0.weight": n(fan_in, fan_in, 3, 3),
            f"convs.{i}.conv1.1.bias": n(fan_in),
            f"convs.{i}.conv2.0.kernel": fir(),
            f"convs.{i}.conv2.1.weight": n(fan_out, fan_in, 3, 3),
            f"convs.{i}.conv2.2.bias": n(fan_out),
            f"convs.{i}.skip.0.kernel": fir(),
            f"convs.{i}.skip.1.weight": n(fan_out, fan_in, 1, 1),
        }
        side, i = side // 2, i + 1
    top = channels[4]
    return state | {
        "final_conv.0.weight": n(top, top + 1, 3, 3),
        "final_conv.1.bias": n(top),
        "final_linear.0.weight": n(top, top * 16),
        "final_linear.0.bias": n(top),
        "final_linear.1.weight": n(1, top),
        "final_linear.1.bias": n(1),
    }


def mapping(state, z):
    """z (N, style_dim) → w."""
    x = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    i = 1
    while f"style.{i}.weight" in state:
        weight = state[f"style.{i}.weight"] * (0.01 / math.sqrt(x.shape[1]))
        x = lrelu(x @ weight.T + state[f"style.{i}.bias"] * 0.01)
        i += 1
    return x


def synthesis(state, w):
    """w (N, style_dim) → images, with the noise of the checkpoint."""
    x = state["input.input"].repeat(len(w), 1, 1, 1)
    x = _styled(state, "conv1", x, w, state["noises.noise_0"])
    image = _to_rgb(state, "to_rgb1", x, w)
    i = 0
    while f"to_rgbs.{i}.bias" in state:
        for j in (2 * i, 2 * i + 1):
            x = _styled(state, f"convs.{j}", x, w, state[f"noises.noise_{j + 1}"])
        kernel = state[f"to_rgbs.{i}.upsample.kernel"]
        image = _to_rgb(state, f"to_rgbs.{i}", x, w) + _blur(_spread(image), kernel, (2, 1))
        i += 1
    return image


def discriminator(state, images):
    """(N, 3, H, W) → (N, 1)."""
    x = lrelu(_conv(images, state["convs.0.0.weight"]) + _b(state["convs.0.1.bias"]))
    i = 1
    while f"convs.{i}.skip.1.weight" in state:
        name = f"convs.{i}"
        y = lrelu(_conv(x, state[f"{name}.conv1.0.weight"], padding=1) + _b(state[f"{name}.conv1.1.bias"]))
        y = _blur(y, state[f"{name}.conv2.0.kernel"], (2, 2))
        y = lrelu(_conv(y, state[f"{name}.conv2.1.weight"], stride=2) + _b(state[f"{name}.conv2.2.bias"]))
        short = _blur(x, state[f"{name}.skip.0.kernel"], (1, 1))
        x = (y + _conv(short, state[f"{name}.skip.1.weight"], stride=2)) / math.sqrt(2)
        i += 1
    group = min(len(x), 4)
    spread = x.view(group, len(x) // group, *x.shape[1:]).var(0, unbiased=False)
    deviation = (spread + 1e-8).sqrt().mean((1, 2, 3)).repeat(group)
    x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, 4, 4)], 1)
    x = lrelu(_conv(x, state["final_conv.0.weight"], padding=1) + _b(state["final_conv.1.bias"]))
    x = x.flatten(1)
    weight = state["final_linear.0.weight"] / math.sqrt(x.shape[1])
    x = lrelu(x @ weight.T + state["final_linear.0.bias"])
    return x @ state["final_linear.1.weight"].T / math.sqrt(x.shape[1]) + state["final_linear.1.bias"]


def fir():
    """[1, 3, 3, 1] along both axes, of sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return taps[:, None] * taps


def lrelu(x):
    return torch.where(x < 0, 0.2 * x, x) * math.sqrt(2)


def _b(bias):
    return bias[None, :, None, None]


def _conv(x, weight, **options):
    return F.conv2d(x, weight / math.sqrt(weight[0].numel()), **options)


def _modulated_weight(state, name, w, *, demodulate):
    weight = state[f"{name}.conv.weight"]
    modulation = state[f"{name}.conv.modulation.weight"] / math.sqrt(w.shape[1])
    style = w @ modulation.T + state[f"{name}.conv.modulation.bias"]
    weight = weight / math.sqrt(weight[0, 0].numel()) * style[:, None, :, None, None]
    if demodulate:
        weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    return weight  # (N, out, in, k, k)


def _styled(state, name, x, w, noise):
    weights = _modulated_weight(state, name, w, demodulate=True)
    kernel = state.get(f"{name}.conv.blur.kernel")
    images = []
    for image, weight in zip(x, weights):
        if kernel is None:
            images.append(F.conv2d(image[None], weight, padding=1))
        else:
            images.append(
                _blur(F.conv_transpose2d(image[None], weight.transpose(0, 1), stride=2), kernel, (1, 1))
            )
    x = torch.cat(images) + state[f"{name}.noise.weight"] * noise
    return lrelu(x + _b(state[f"{name}.activate.bias"]))


def _to_rgb(state, name, x, w):
    weights = _modulated_weight(state, name, w, demodulate=False)
    images = [F.conv2d(image[None], weight) for image, weight in zip(x, weights)]
    return torch.cat(images) + state[f"{name}.bias"]


def _spread(x):
    """Zeros after each row and column."""
    n, c, h, w = x.shape
    return torch.stack([x, torch.zeros_like(x)], -1).view(n, c, h, 1, 2 * w).repeat(1, 1, 1, 2, 1).mul(
        torch.tensor([1.0, 0.0])[:, None]
    ).view(n, c, 2 * h, 2 * w)  # fmt: skip


def _blur(x, kernel, padding):
    """`padding`: before and after, on both axes."""
    before, after = padding
    x = F.pad(x, (before, after, before, after))
    kernel = kernel.expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, groups=x.shape[1])
