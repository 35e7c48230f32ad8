"""The wall of samples, which is drawn before Gradio is loaded."""

from __future__ import annotations

from functools import lru_cache

from shoegen.app import pictures
from shoegen.app.studio import PSI, Studio

COUNT = 12


def first_wall(
    studio: Studio, first: int = 0, psi: float = PSI, kind: int = 0, *, chosen: int | None = None
) -> str:
    """HTML of the shoes of `COUNT` seeds from `first` on; the seed `chosen` is marked."""
    return pictures.tiles(_drawn(studio, first, psi, kind), chosen=None if chosen is None else chosen - first)


@lru_cache(maxsize=64)  # a wall is shown again with every shoe that is picked from it
def _drawn(studio: Studio, first: int, psi: float, kind: int) -> list[tuple[str, str]]:
    """Their URLs and titles."""
    return [
        (pictures.picture_url(shoe.rgb, pictures.SMALL), f"seed {shoe.source['seed']}")
        for shoe in studio.wall(first, COUNT, psi, kind)
    ]
