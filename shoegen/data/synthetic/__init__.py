"""Synthetic shoes: parametric side views with exact part maps and true measures in millimetres."""

from shoegen.data.synthetic.dataset import make_dataset, render, sample_parameters
from shoegen.data.synthetic.parameters import STYLES, ShoeParameters
from shoegen.data.synthetic.render import RenderedShoe, render_shoe
from shoegen.data.synthetic.scenes import Backgrounds

__all__ = [
    "STYLES",
    "Backgrounds",
    "RenderedShoe",
    "ShoeParameters",
    "make_dataset",
    "render",
    "render_shoe",
    "sample_parameters",
]
