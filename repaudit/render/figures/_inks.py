"""The colours that a figure is painted with: a theme's, or stand-ins that become CSS custom properties."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from repaudit.render.figures.palette import LIGHT

if TYPE_CHECKING:
    from collections.abc import Mapping

STEPS = 6
"""Accents, and steps of confidence."""
STAND_INS: Mapping[str, str] = MappingProxyType({name: f"#fe01{place:02x}" for place, name in enumerate(LIGHT)})
"""Custom property to the colour that stands for it until the picture is written; no theme has any of them."""


@dataclass(frozen=True, slots=True)
class Inks:
    """Colours by what they are for, as `#rrggbb`."""

    ink: str
    muted: str
    grid: str
    paper: str
    accents: tuple[str, ...]
    """(6,)"""
    confidence: tuple[str, ...]
    """(6,), the most confident last."""

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Inks:
        """Those of a theme (`palette.LIGHT`), or the stand-ins."""
        return cls(
            ink=values["--ink"],
            muted=values["--muted"],
            grid=values["--grid"],
            paper=values["--paper"],
            accents=tuple(values[f"--accent-{step}"] for step in range(1, STEPS + 1)),
            confidence=tuple(values[f"--confidence-{step}"] for step in range(1, STEPS + 1)),
        )
