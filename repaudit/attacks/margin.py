"""Projected gradient descent on the margin: the "CW" of the Virtual Smoothing paper, not Carlini & Wagner's attack."""

from __future__ import annotations

from repaudit.attacks import Method
from repaudit.attacks.objectives import margin
from repaudit.attacks.pgd import PgdOptions, ProjectedGradient

attack = Method(
    summary="Projected gradient descent on the margin, largest other logit − the label's, Linf or L2.",
    options=PgdOptions,
    build=lambda threat, options: ProjectedGradient(threat, options, margin),
    presets={
        # Training Deep Neural Networks with Virtual Smoothing Classes (AAAI 2025), its "CW": PGD-20 on this loss;
        # the paper writes 8/255 as .031 and 2/255 as .00784
        "margin_pgd": {"epsilon": "8/255", "steps": 20, "step_size": "2/255"},
    },
)
