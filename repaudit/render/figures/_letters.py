"""How much room text takes."""

from __future__ import annotations

import unicodedata

from repaudit.render.figures._style import TEXT
from repaudit.render.plain import safe


def wide(text: str) -> float:
    """Points that a line of text takes at most, whatever font a browser has for it; needs `house_style`."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    drawn = text_to_path.get_text_width_height_descent(text, FontProperties(size=TEXT), False)[0]
    squares = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return max(float(drawn), TEXT * squares)


def fitted(text: str, points: float) -> str:
    """A foreign name as printable characters, shortened in the middle until it takes no more room than that."""
    longest = max(4, int(points / (0.4 * TEXT)))
    shown = safe(safe(text, longest), longest)
    while wide(shown) > points and len(shown) > 4:
        middle = len(shown) // 2
        shown = f"{shown[: middle - 1]}…{shown[middle + 1 :]}"
    return shown
