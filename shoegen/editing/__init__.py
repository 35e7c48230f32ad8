"""Shoes drawn from a generator or found in a photograph, and edited: `load("default").sample(7).edit(heel="+20mm")`.

model: a generator ready for editing. shoe: a shoe and its edits. amounts: "+20mm". aiming, solving: the strengths that
reach a target, by measuring. history: what was done. report: what changed. films, batch: many pictures. store: shoes
in files. sliders: for notebooks.
"""

from shoegen.editing.amounts import MAX_STRENGTH, Amount
from shoegen.editing.history import Edit, format_strength
from shoegen.editing.model import ASSETS, PartSegmenter, ShoeModel, invert, load
from shoegen.editing.shoe import SHOWN, Shoe, Strip
from shoegen.editing.store import load_shoe
from shoegen.measure import format_measure

__all__ = [
    "ASSETS",
    "MAX_STRENGTH",
    "SHOWN",
    "Amount",
    "Edit",
    "PartSegmenter",
    "Shoe",
    "ShoeModel",
    "Strip",
    "format_measure",
    "format_strength",
    "invert",
    "load",
    "load_shoe",
]
