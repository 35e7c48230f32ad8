"""Notices when a training goes wrong, and says what helps."""

from __future__ import annotations

from collections.abc import Iterator

from shoegen.stylegan.config import AugmentConfig

PATIENCE = 3  # reports in a row


class Watch:
    """Turns figures into advice, each kind once until its cause has gone."""

    def __init__(self, augment: AugmentConfig) -> None:
        self._augment = augment
        self._seen: dict[str, int] = {}
        self._nonfinite = 0.0
        self._varied = 0.0

    def advice(self, figures: dict[str, float]) -> Iterator[str]:
        """Lines to show.

        Args:
            figures: any of `r_t` and `augment_p` (arXiv 2006.06676, section 3), `nonfinite_updates` (so far),
                `diversity` (of the samples relative to the data's).
        """
        r_t, p = figures.get("r_t"), figures.get("augment_p", 0.0)
        if r_t is not None:
            knows = r_t > max(self._augment.target + 0.15, 0.8)
            if self._lasts("knows the data", knows and (self._augment.mode != "ada" or p >= 0.8)):
                strength = (
                    f"augmentation is at {p:.2f}"
                    if self._augment.mode != "none"
                    else "there is no augmentation"
                )
                yield (
                    f"warning: the discriminator knows the pictures by heart (r_t {r_t:+.2f}, {strength}): quality "
                    "will fall now; add pictures, --mirror, a higher --gamma or --augment ada, or use the best"
                )
            if self._lasts("p at its ceiling", p >= 1 and self._augment.mode == "ada"):
                yield (
                    "warning: augmentation is at its ceiling (p 1.0), where the generator learns to draw augmented "
                    "pictures; add pictures or raise --gamma"
                )
        diversity = figures.get("diversity")
        if diversity is not None:
            self._varied = max(self._varied, diversity)
            # Early samples are blurred and so less varied than pictures: what tells is a fall, or hardly any variety.
            if self._lasts("few kinds", diversity < max(0.6 * self._varied, 0.2), patience=1):
                yield (
                    f"warning: the samples differ {diversity:.2f} times as much as the pictures do, after "
                    f"{self._varied:.2f} at best: the generator repeats itself; go back to the best checkpoint with a "
                    "higher --gamma or a lower --lr"
                )
        nonfinite = figures.get("nonfinite_updates", 0.0)
        if nonfinite > self._nonfinite:
            yield f"warning: {nonfinite:.0f} gradients were NaN or infinite so far; their updates were left out"
        self._nonfinite = max(nonfinite, self._nonfinite)

    def _lasts(self, name: str, now: bool, patience: int = PATIENCE) -> bool:
        """True once, when something has been so for `patience` reports in a row."""
        self._seen[name] = self._seen.get(name, 0) + 1 if now else 0
        return self._seen[name] == patience
