"""Directions in W along which one attribute of a shoe changes: sample → measure → fit → calibrate.

direction: the Direction and its file; all that an edit needs.
sampling, cache: latents → pictures → measured attributes, kept for the next time.
fitting: latents and their attributes → a Direction. Loads scikit-learn.
calibration: what moving along a direction does, measured.
discovery: axes that nobody labelled. boundaries: those that others published.
matrix: what each direction moves of every attribute.
"""
