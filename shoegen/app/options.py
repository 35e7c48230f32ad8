"""What may be chosen of the page. Loads neither Gradio nor torch."""

from __future__ import annotations

from dataclasses import dataclass

from shoegen.errors import ConfigError

MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the page is served.

    model: a generator, as `shoegen.load` takes it. painter, swapper: a SPADE and a CAGAN, as their `load` takes them.
    host, port: where it listens; port 0: any that is free. password: that a visitor must give; None: nobody is asked.
    max_upload: bytes of a file. device: "auto", "cpu" or "cuda".

    Raises:
        ConfigError: a port, a size or a password that is none.
    """

    model: str = "default"
    painter: str = "default"
    swapper: str = "default"
    host: str = "127.0.0.1"
    port: int = 7860
    password: str | None = None
    max_upload: int = 20 * MEGABYTE
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise ConfigError(f"--port: got {self.port}, expected 0 to 65535")
        if self.max_upload < 1:
            raise ConfigError(f"--max-upload: got {self.max_upload} bytes, expected at least 1")
        if self.password is not None and not self.password:
            raise ConfigError("--password: got an empty one; give some letters, or leave the option out")

    @property
    def is_public(self) -> bool:
        """Whether others than this machine can reach it."""
        return self.host not in ("127.0.0.1", "localhost", "::1")
