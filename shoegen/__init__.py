"""Generative shoe design in a notebook: `shoegen.load("default").sample(seed=7).edit(heel=2)`.

Importing shoegen loads no torch; each public name loads its module when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoegen.cagan.swapping import Swapper, swap
    from shoegen.data.sheet import Sheet, sheet
    from shoegen.directions.direction import Direction
    from shoegen.editing import Shoe, ShoeModel, Strip, invert, load, load_shoe
    from shoegen.errors import ShoegenError
    from shoegen.inpainting import inpaint
    from shoegen.segmentation.cutout import cutout
    from shoegen.segmentation.instances.parts import InstanceSegmenter
    from shoegen.segmentation.loading import load_segmenter
    from shoegen.segmentation.parts import PartSegmenter
    from shoegen.spade.painting import Painter, Painting, paint

__version__ = "0.5.0"

_MODULES = {
    "Direction": "shoegen.directions.direction",
    "InstanceSegmenter": "shoegen.segmentation.instances.parts",
    "Painter": "shoegen.spade.painting",
    "Painting": "shoegen.spade.painting",
    "PartSegmenter": "shoegen.segmentation.parts",
    "Sheet": "shoegen.data.sheet",
    "Shoe": "shoegen.editing",
    "ShoegenError": "shoegen.errors",
    "ShoeModel": "shoegen.editing",
    "Strip": "shoegen.editing",
    "Swapper": "shoegen.cagan.swapping",
    "cutout": "shoegen.segmentation.cutout",
    "inpaint": "shoegen.inpainting",
    "invert": "shoegen.editing",
    "load": "shoegen.editing",
    "load_segmenter": "shoegen.segmentation.loading",
    "load_shoe": "shoegen.editing",
    "paint": "shoegen.spade.painting",
    "sheet": "shoegen.data.sheet",
    "swap": "shoegen.cagan.swapping",
}

__all__ = [
    "Direction",
    "InstanceSegmenter",
    "Painter",
    "Painting",
    "PartSegmenter",
    "Sheet",
    "Shoe",
    "ShoeModel",
    "ShoegenError",
    "Strip",
    "Swapper",
    "__version__",
    "cutout",
    "inpaint",
    "invert",
    "load",
    "load_segmenter",
    "load_shoe",
    "paint",
    "sheet",
    "swap",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'shoegen' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
