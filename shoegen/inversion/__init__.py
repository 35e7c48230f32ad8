"""Photographs of shoes as latents, so that they can be edited, and back into the photograph.

inversion = invert("photo.jpg", generator=generator, quality="balanced")
inversion.ws                                     # (num_ws, w_dim), which inversion.generator draws
inversion.photo.put_back(edited, edited_mask)    # (H, W, 3) uint8, the edited shoe over the photograph
"""

from shoegen.inversion.align import Photo
from shoegen.inversion.projecting import Inversion, Quality, invert

__all__ = ["Inversion", "Photo", "Quality", "invert"]
