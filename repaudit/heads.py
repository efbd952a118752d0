"""Where the linear head of every architecture of timm and torchvision is: the shipped table."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit import shipped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_COLUMNS = ("library", "name", "family", "parameters", "classes", "kind", "layers", "width", "proof", "reason")


CLASSES_OF_LABELS = (1000, 11221, 11821, 19168, 21841, 21842, 21843)
"""Widths of what is trained on ImageNet's and ImageNet-21k's labels. What answers with another is made to lie beside
a text: CLIP, MCI, ViTamin and the perception encoders answer with 512 to 1,280 numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One architecture."""

    library: str
    """`timm` or `torchvision`."""
    name: str
    """Without a tag: weights do not move a head."""
    family: str
    """File of the library that defines it."""
    parameters: int
    classes: int
    """0 where it is no classifier."""
    kind: str
    """As `repaudit.classifier.HeadCard.kind`."""
    layers: tuple[str, ...]
    """Names of the layers whose input is the feature."""
    width: int | None
    """Of the feature; None without a linear head."""
    proof: str
    """`values`: `features @ W.T + b == logits` on random weights; `shapes`: the graph ends in that layer."""
    reason: str | None
    """Why there is no linear head."""

    @property
    def embeds(self) -> bool:
        """As its library offers it, it answers with an embedding of the image rather than with classes."""
        return self.classes not in (0, *CLASSES_OF_LABELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All architectures, and what was walked when."""

    walked: str
    """Date, as 2026-01-31."""
    versions: Mapping[str, str]
    rows: tuple[Row, ...]


def read(path: Path | None = None) -> Table:
    """The table that ships with this version, or one that `write` wrote."""
    with (path or shipped.assets() / "heads.csv").open(encoding="utf-8", newline="") as file:
        walked, *versions = file.readline().removeprefix("#").split()
        names = [part.partition("=") for part in versions]
        rows = tuple(_row(line) for line in csv.DictReader(file))
    return Table(walked=walked, versions={name: version for name, _, version in names}, rows=rows)


def write(table: Table, path: Path) -> None:
    """As `read` reads it."""
    versions = " ".join(f"{name}={version}" for name, version in table.versions.items())
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {table.walked} {versions}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in table.rows:
            values = {name: getattr(row, name) for name in _COLUMNS} | {"layers": " ".join(row.layers)}
            writer.writerow("" if values[name] is None else values[name] for name in _COLUMNS)


def _row(line: Mapping[str, str]) -> Row:
    return Row(
        library=line["library"],
        name=line["name"],
        family=line["family"],
        parameters=int(line["parameters"]),
        classes=int(line["classes"]),
        kind=line["kind"],
        layers=tuple(line["layers"].split()),
        width=int(line["width"]) if line["width"] else None,
        proof=line["proof"],
        reason=line["reason"] or None,
    )
