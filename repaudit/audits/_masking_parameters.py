"""What a profile may say of the masking battery."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator
from pydantic import Field as Parameter

from repaudit.attacks.threat import parse_length
from repaudit.audits._surrogate import SurrogateParameters


class MaskingParameters(SurrogateParameters):
    """On how many images, how far, how long, and from where on a check fails."""

    limit: int | None = Parameter(default=64, ge=1)
    """Images at most, in each class its share; initially wrong ones count among them. None takes all."""
    epsilon: Annotated[float, BeforeValidator(parse_length), Parameter(le=1)] = 8 / 255
    """Radius in the largest change of any pixel, such as `8/255`."""
    steps: int = Parameter(default=20, ge=2)
    """Steps of PGD and of APGD; PGD steps by a quarter of the radius."""
    restarts: int = Parameter(default=4, ge=2)
    """Searches of PGD on each image; every check but restart_gain looks at the first."""
    queries: int = Parameter(default=200, ge=1)
    """Queries of Square, which needs no gradient."""
    max_gap: float = Parameter(default=0.01, ge=0, le=1)
    """Share of images that Square, one step, a smaller radius or a surrogate may break where PGD does not."""
    significance: float = Parameter(default=0.01, gt=0, lt=1)
    """Exact p below which a share above its threshold is more than chance; zero gradients and survivors need none."""
    max_survivors: float | None = Parameter(default=None, ge=0, le=1)
    """Share that may survive PGD at a radius of one half; None is one over the number of classes."""
    max_noise_ratio: float = Parameter(default=0.5, ge=0, le=1)
    """Random noise may break less than this share of what PGD breaks."""
    noise_floor: float = Parameter(default=0.05, ge=0, le=1)
    """Share of images below which what PGD and noise break is too little to compare."""
    max_zero_gradient: float = Parameter(default=0.01, ge=0, le=1)
    """Share of gradients that may be exactly zero."""
    min_gradient_cosine: float = Parameter(default=0.95, ge=-1, le=1)
    """Least median cosine of gradients with finite differences."""
    max_restart_gain: float = Parameter(default=0.02, ge=0, le=1)
    """Share of images that the restarts after the first search may add."""
    max_loss_stalled: float = Parameter(default=0.05, ge=0, le=1)
    """Share of APGD's robust images on which it may have gained no loss."""
    max_planted_missed: float = Parameter(default=0.05, ge=0, le=1)
    """Share of planted adversarials that PGD may miss."""

    def thresholds(self, classes: int) -> dict[str, float]:
        """From where on each check fails, by its name, for a network of so many classes."""
        gaps = dict.fromkeys(("black_box_gap", "one_step_gap", "non_monotone", "transfer_gap"), self.max_gap)
        return {
            **gaps,
            "survivors_half": 1 / classes if self.max_survivors is None else self.max_survivors,
            "noise_ratio": self.max_noise_ratio,
            "zero_gradient": self.max_zero_gradient,
            "nonfinite_gradient": 0.0,
            "gradient_cosine": self.min_gradient_cosine,
            "restart_gain": self.max_restart_gain,
            "loss_stalled": self.max_loss_stalled,
            "planted_missed": self.max_planted_missed,
        }
