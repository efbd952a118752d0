"""The settings under which matplotlib paints: its own defaults and ours, whatever the user's are."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FONT = "DejaVu Sans"
"""Comes with matplotlib, so that the same text is equally wide on every machine."""
TEXT = 13.0
"""Points; 10 pixels where the drawing is as wide as a telephone."""


@contextmanager
def house_style() -> Iterator[None]:
    """All figures are made and saved within; the settings that were there before come back."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # names of classes come in every script; the browser has the letters that the font lacks
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.family": [FONT],
                "font.size": TEXT,
                "text.parse_math": False,
                "path.simplify": False,
                "svg.fonttype": "none",
                "svg.hashsalt": "repaudit",
                "axes.unicode_minus": True,
            }
        )
        yield
