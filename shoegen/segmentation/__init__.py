"""Semantic segmentation of shoes into parts.

One contract for every segmenter: float32 images (N, 3, H, W) in [−1, 1] → logits (N, classes, H, W), for any
H, W.
"""
