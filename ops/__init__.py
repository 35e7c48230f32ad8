"""The numerical core. Each op is defined in plain PyTorch, and has a native version where it pays (see dispatch.py)."""

from shoegen.ops.bias_act import ACTIVATIONS, bias_act
from shoegen.ops.conv_layer import conv_layer
from shoegen.ops.conv_resample import conv2d_resample
from shoegen.ops.dispatch import get_impl, set_impl
from shoegen.ops.layer_epilogue import layer_epilogue
from shoegen.ops.modulated_conv import modulated_conv2d
from shoegen.ops.upfirdn2d import downsample2d, setup_filter, upfirdn2d, upsample2d

__all__ = [
    "ACTIVATIONS",
    "bias_act",
    "conv2d_resample",
    "conv_layer",
    "downsample2d",
    "get_impl",
    "layer_epilogue",
    "modulated_conv2d",
    "set_impl",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]
