"""Synthetic shoes: parametric side views with exact part maps and true measures in millimetres."""

from shoegen.data.synthetic.dataset import make_dataset, render, sample_parameters
from shoegen.data.synthetic.parameters import ShoeParameters
from shoegen.data.synthetic.render import RenderedShoe, render_shoe

__all__ = ["RenderedShoe", "ShoeParameters", "make_dataset", "render", "render_shoe", "sample_parameters"]
