"""The colours of the figures in both themes, as values of CSS custom properties.

Every accent and every step of confidence has a contrast of at least 3:1 with the paper and with the surface of a page,
and the accents stay apart under the three kinds of dichromacy (Machado et al. 2009). Shapes say what colours say.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "--ink": "#1b1f24",
        "--muted": "#5a636e",
        "--grid": "#e3e7ec",
        "--paper": "#ffffff",
        "--accent-1": "#0067a8",
        "--accent-2": "#d1550a",
        "--accent-3": "#25a157",
        "--accent-4": "#b13f74",
        "--accent-5": "#4e3e19",
        "--accent-6": "#371192",
        "--confidence-1": "#d9603f",
        "--confidence-2": "#c4486a",
        "--confidence-3": "#a13788",
        "--confidence-4": "#78289c",
        "--confidence-5": "#4b1a9c",
        "--confidence-6": "#14106e",
    }
)
"""Name of the custom property to its value on light paper; `--confidence-6` is the most confident."""

DARK: Mapping[str, str] = MappingProxyType(
    {
        "--ink": "#e7eaee",
        "--muted": "#a5aeb9",
        "--grid": "#2a3038",
        "--paper": "#111418",
        "--accent-1": "#4aa8f0",
        "--accent-2": "#f58442",
        "--accent-3": "#8fe8c0",
        "--accent-4": "#f2508f",
        "--accent-5": "#f3eda2",
        "--accent-6": "#9d63f7",
        "--confidence-1": "#b0509f",
        "--confidence-2": "#cb5a80",
        "--confidence-3": "#e2735f",
        "--confidence-4": "#f29a47",
        "--confidence-5": "#f8c93a",
        "--confidence-6": "#f7f48a",
    }
)
"""The same on dark paper."""
