"""A trained encoder in use: pictures as a generator draws them → latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from shoegen.errors import ConfigError, FileFormatError
from shoegen.inversion.config import EncoderConfig
from shoegen.inversion.networks import EncoderNetwork
from shoegen.torch_utils.tensors import find_model, load_tensors, save_tensors, tensors_hash

KIND = "encoder"
MODEL_FILE = "encoder.safetensors"  # in a run folder
DEFAULT_PATH = Path(__file__).parent.parent / "assets" / MODEL_FILE


class Encoder:
    """A trained network, and the generator that it is for.

        encoder = Encoder.load("default")
        ws = encoder(images)  # (N, 3, H, W) in [−1, 1] → (N, num_ws, w_dim)

    Attributes: net, config, generator_hash.
    """

    def __init__(self, net: EncoderNetwork, generator_hash: str) -> None:
        self.net = net.eval().requires_grad_(False)
        self.config = net.config
        self.generator_hash = generator_hash

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [−1, 1] → (N, num_ws, w_dim) in W+; a generator of greys or RGBA gets its channels."""
        wanted = self.config.img_channels
        if images.shape[1] == 3 and wanted == 1:
            images = images.mean(1, keepdim=True)
        elif images.shape[1] == 3 and wanted == 4:
            images = torch.cat([images, torch.ones_like(images[:, :1])], 1)
        return self.net.basis.to_w(self.net(images))

    @classmethod
    def load(cls, path: str | Path = "default", device: str | torch.device = "cpu") -> Self:
        """Reads an encoder.safetensors, also out of a run folder; "default" is the one that ships with shoegen.

        Raises:
            FileFormatError: the file is not there, damaged, or of another kind.
        """
        path = find_model(path, DEFAULT_PATH, "encoder", "train-encoder")
        tensors, metadata = load_tensors(path, kind=KIND)
        try:
            net = EncoderNetwork(EncoderConfig.from_dict(metadata["config"]))
            net.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
            return cls(net.to(device), str(metadata["generator_hash"]))
        except (KeyError, ConfigError, RuntimeError) as error:
            raise FileFormatError(
                f"{path} does not hold the network that it names; get the file again"
            ) from error

    @classmethod
    def find_for(cls, generator_hash: str, device: str | torch.device = "cpu") -> Self | None:
        """The shipped one, if it is for this generator."""
        if not DEFAULT_PATH.is_file():
            return None
        found = cls.load(DEFAULT_PATH, device)
        return found if found.generator_hash == generator_hash else None

    def save(self, path: str | Path, *, dtype: torch.dtype = torch.float16, **notes: Any) -> None:
        """Writes the network, by default in half precision, with its config and the generator's hash."""
        tensors = {
            name: tensor.to("cpu", torch.float32 if name in ("mean", "axes") else dtype).contiguous()
            for name, tensor in self.net.state_dict().items()
        }
        metadata = {
            **notes, "kind": KIND, "config": self.config.to_dict(), "generator_hash": self.generator_hash,
        }  # fmt: skip
        save_tensors(path, tensors, metadata)

    def check_generator(self, generator_hash: str) -> None:
        """Raises FileFormatError where this encoder is for another generator."""
        if generator_hash != self.generator_hash:
            raise FileFormatError(
                f"the encoder is for the generator {self.generator_hash[:12]}, not for {generator_hash[:12]}; train "
                "one with `shoegen train-encoder --model GENERATOR`, or leave --encoder out"
            )

    def hash(self) -> str:
        """SHA-256 (hex) over the weights."""
        return tensors_hash(self.net.state_dict())
