"""The fast gradient sign method: one full step from the image itself."""

from __future__ import annotations

from repaudit.attacks import Method, Options
from repaudit.attacks.pgd import PgdOptions, ProjectedGradient
from repaudit.attacks.threat import Threat


class FgsmOptions(Options):
    """None: the radius is the step."""


def build(threat: Threat, options: FgsmOptions) -> ProjectedGradient:
    """X + ε · sign(∇ CE) (Goodfellow et al. 2015); with `l2` the gradient's direction in place of its sign."""
    return ProjectedGradient(threat, PgdOptions(steps=1, step_size=threat.epsilon, start="clean"))


attack = Method(
    summary="Fast gradient sign method: one step of length epsilon from the image, Linf or L2.",
    options=FgsmOptions,
    build=build,
    presets={"fgsm": {"epsilon": "8/255"}},
)
