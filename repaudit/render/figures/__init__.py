"""Drawings of what a report measured, made from its `figures` alone.

A new kind of figure is one file in `plots`; its name is the drawing's, with `-` for `_`. Files are listed, and imported
only when something is drawn.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.render.figures._drawing import Drawing, drawn, to_png, to_svg_file
from repaudit.render.figures._plot import Plot
from repaudit.render.figures._style import house_style

if TYPE_CHECKING:
    from repaudit.report import Report

__all__ = ["Drawing", "drawings", "names", "to_png", "to_svg_file"]


def drawings(report: Report) -> tuple[Drawing, ...]:
    """Every figure whose data the report holds; data that are missing or make no sense leave out theirs alone.

    The same report gives the same bytes.
    """
    found = []
    with house_style():
        for name in names():
            plot = _load(name)
            for sketch in plot.sketches(report):
                stem = "-".join([name.replace("_", "-"), *([sketch.part] if sketch.part else [])])
                found.append(drawn(sketch, stem, plot.audit))
    return tuple(found)


def names() -> list[str]:
    """Every kind of figure, without importing one."""
    folder = Path(__file__).with_name("plots")
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def _load(name: str) -> Plot:
    plot = import_module(f"{__name__}.plots.{name}").plot
    if not isinstance(plot, Plot):
        raise TypeError(f"repaudit/render/figures/plots/{name}.py must define `plot = Plot(…)`")
    return plot
