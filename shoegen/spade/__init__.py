"""Painting part maps: SPADE (arXiv 1903.07291)."""
