"""Which attacks a report speaks of: a share says nothing without its radius."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.render.plain import safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from repaudit.report import Report


LARGEST = 1e6
"""No attack has a larger radius; what a foreign report says beyond is not shown."""


def radius(report: Report, key: str) -> str:
    """`linf 8/255` or `l2 0.5`: the threat of the attack `key`; nothing where the report does not say."""
    return threat(report.figures.get(f"robustness.{key}.verdicts", {}))


def threat(figure: Mapping[str, JsonValue]) -> str:
    """The same of a figure that holds `norm` and `epsilon`."""
    norm, epsilon = figure.get("norm"), figure.get("epsilon")
    if not isinstance(norm, str) or isinstance(epsilon, bool) or not isinstance(epsilon, int | float):
        return ""
    if not 0 < epsilon < LARGEST:
        return ""
    return f"{safe(norm)} {epsilon * 255:.4g}/255" if norm == "linf" else f"{safe(norm)} {epsilon:.4g}"


def attacks_line(report: Report) -> str:
    """Every attack with its radius, in one line of any length; attacks of one radius stand together."""
    together: dict[str, list[str]] = {}
    for key in report.figures:
        parts = key.split(".")
        if len(parts) == 3 and parts[0] == "robustness" and parts[2] == "verdicts" and radius(report, parts[1]):
            together.setdefault(radius(report, parts[1]), []).append(safe(parts[1]))
    return "radius: " + "; ".join(f"{', '.join(keys)} {ball}" for ball, keys in together.items()) if together else ""
