"""The wall of samples, which is drawn before Gradio is loaded."""

from __future__ import annotations

from shoegen.app import pictures
from shoegen.app.studio import PSI, Studio

COUNT = 12


def first_wall(
    studio: Studio, first: int = 0, psi: float = PSI, kind: int = 0, *, chosen: int | None = None
) -> str:
    """HTML of the shoes of `COUNT` seeds from `first` on; the seed `chosen` is marked."""
    shoes = studio.wall(first, COUNT, psi, kind)
    return pictures.tiles(
        ((pictures.picture_url(shoe.rgb, pictures.SMALL), f"seed {shoe.source['seed']}") for shoe in shoes),
        chosen=None if chosen is None else chosen - first,
    )
