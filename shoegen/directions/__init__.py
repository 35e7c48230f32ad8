"""Directions in W along which one attribute of a shoe changes: sample → measure → fit → calibrate.

direction: the Direction and its file; all that an edit needs.
sampling: latents → images → measured attributes.
fitting: latents and their attributes → a Direction. Loads scikit-learn.
"""
