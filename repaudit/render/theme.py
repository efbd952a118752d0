"""The colours of a page in both themes, as CSS custom properties; figures use the same ones."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from repaudit.render.figures import palette

if TYPE_CHECKING:
    from collections.abc import Mapping

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        **palette.LIGHT,
        "--surface": "#f6f7f9",
        "--line": "#dce1e7",
        "--link": "#0b57a4",
        "--good": "#14663a",
        "--good-soft": "#e9f5ee",
        "--bad": "#a61b1b",
        "--bad-soft": "#fdeeec",
        "--warn": "#7a4b00",
        "--warn-soft": "#fdf4e1",
    }
)
"""On light paper, and in print. All text colours reach a contrast of 4.5:1 with the paper and their own soft ground."""

DARK: Mapping[str, str] = MappingProxyType(
    {
        **palette.DARK,
        "--surface": "#1a1e24",
        "--line": "#313842",
        "--link": "#8ec1ff",
        "--good": "#74d29d",
        "--good-soft": "#11291c",
        "--bad": "#ff9a90",
        "--bad-soft": "#351818",
        "--warn": "#f0bd63",
        "--warn-soft": "#2e2411",
    }
)
"""On dark paper."""


def css() -> str:
    """Light unless the reader's system, or the page's button, asks for dark; print is always light."""
    light, dark = _declared("light", LIGHT), _declared("dark", DARK)
    return (
        f":root {{{light}}}\n"
        f'@media screen and (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{{dark}}} }}\n'
        f'@media screen {{ :root[data-theme="dark"] {{{dark}}} }}\n'
    )


def _declared(scheme: str, colours: Mapping[str, str]) -> str:
    return f"color-scheme: {scheme}; " + " ".join(f"{name}: {value};" for name, value in colours.items())
