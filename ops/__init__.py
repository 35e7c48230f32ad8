"""The numerical core: each op is plain PyTorch, differentiable to any order."""

from shoegen.ops.bias_act import ACTIVATIONS, bias_act
from shoegen.ops.conv_resample import conv2d_resample
from shoegen.ops.modulated_conv import modulated_conv2d
from shoegen.ops.upfirdn2d import downsample2d, setup_filter, upfirdn2d, upsample2d

__all__ = [
    "ACTIVATIONS",
    "bias_act",
    "conv2d_resample",
    "downsample2d",
    "modulated_conv2d",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]
