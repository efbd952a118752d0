"""The attacks of a report as figures show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field

from repaudit.render.attacks import LARGEST, radius
from repaudit.render.figures._data import Data, read
from repaudit.render.plain import safe

if TYPE_CHECKING:
    from pydantic import JsonValue

    from repaudit.report import Metric, Report

SHOWN = 6
"""Lines that can be told apart in one figure."""
LONGEST = 13
"""Characters of a name in a key or a caption."""


Radius: TypeAlias = Annotated[float, Field(gt=1e-9, lt=LARGEST)]


class _Verdicts(Data):
    norm: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,15}$")]
    epsilon: Radius


@dataclass(frozen=True, slots=True)
class Attack:
    """One that was run and has a rate of success."""

    key: str
    """As the report has it; foreign."""
    norm: str
    epsilon: float
    success: Metric
    """Share of the initially correct images that it broke."""
    threat: str
    """Its radius in words, such as `linf 8/255`."""

    def figure(self, report: Report, name: str) -> JsonValue:
        """The data of its figure `name`; None where there are none."""
        return report.figures.get(f"robustness.{self.key}.{name}")


def attacks(report: Report) -> list[Attack]:
    """Those with a radius and a rate of success, by norm, radius and name."""
    found = []
    for figure, data in report.figures.items():
        parts = figure.split(".")
        if len(parts) != 3 or parts[0] != "robustness" or parts[2] != "verdicts":
            continue
        verdicts, success = read(_Verdicts, data), report.metrics.get(f"robustness.{parts[1]}.asr")
        if verdicts is not None and success is not None and 0 <= success.value <= 1:
            threat = radius(report, parts[1])
            found.append(Attack(parts[1], verdicts.norm, verdicts.epsilon, success, threat))
    return sorted(found, key=lambda attack: (attack.norm, attack.epsilon, attack.key))


def telling(found: list[Attack], most: int) -> list[Attack]:
    """At most so many, those that break nearest to half of the images, in the order given."""
    ranked = sorted(found, key=lambda attack: abs(attack.success.value - 0.5))[:most]
    return [attack for attack in found if attack in ranked]


def short(text: str, longest: int = LONGEST) -> str:
    """A foreign name as at most so many printable characters."""
    return safe(safe(text, longest), longest)
