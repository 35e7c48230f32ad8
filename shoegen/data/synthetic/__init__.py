"""Synthetic shoes: parametric side views with exact part maps and true measures in millimetres, alone or worn."""

from shoegen.data.synthetic.dataset import make_dataset, render, sample_parameters, sample_wearer
from shoegen.data.synthetic.parameters import STYLES, ShoeParameters
from shoegen.data.synthetic.render import RenderedShoe, render_shoe
from shoegen.data.synthetic.scenes import Backgrounds
from shoegen.data.synthetic.wearers import Wearer
from shoegen.data.synthetic.worn import WornShoe, render_worn

__all__ = [
    "STYLES",
    "Backgrounds",
    "RenderedShoe",
    "ShoeParameters",
    "Wearer",
    "WornShoe",
    "make_dataset",
    "render",
    "render_shoe",
    "render_worn",
    "sample_parameters",
    "sample_wearer",
]
