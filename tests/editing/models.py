"""A tiny generator with directions whose effect is known: its pictures' brightness is the height of a heel."""

import dataclasses

import torch

from shoegen.directions.direction import Direction

from ..tiny import tiny_generator


def brightness_direction(generator, **changes):
    """Along it pictures become brighter."""
    ws = generator.broadcast(generator.mapping(torch.randn(64, 16)))
    ws.requires_grad_(True)
    brighter = torch.autograd.grad(generator.synthesis(ws).mean(), ws)[0].sum((0, 1))
    heel = Direction(
        attribute="heel_height",
        vector=brighter / brighter.norm(),
        layers=tuple(range(generator.num_ws)),
        step=0.5,
        mean=0.15,
        sigma=0.1,
        generator_hash=generator.hash(),
        psi=0.7,
        samples=64,
        seed=0,
        quantile=0.25,
    )
    return dataclasses.replace(heel, **changes)


def make_run_folder(folder):
    """A run folder with a generator and its heel direction, as one of old would be: without a curve."""
    generator = tiny_generator()
    generator.save(folder / "generator.safetensors")
    brightness_direction(generator).save(folder / "directions" / "heel.safetensors")
    return folder
