"""How long and how well aligned features are, and how sure the model is of them (RS, Fig. 3 left)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._canvas import BOTTOM, LEFT, RIGHT, WIDTH, Box, panel, sheet, span_axis
from repaudit.render.figures._confidence import LEVELS, scale
from repaudit.render.figures._data import Column, Cosine, Count, Data, Share, Size, read
from repaudit.render.figures._marks import Look, Shape, key, marks, place_in
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, measured
from repaudit.render.headlines import headline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

MOST_POINTS = 2_500
HEIGHT = 340.0


class Scatter(Data):
    """`geometry.scatter`: a sample of the images."""

    aligned = ("rms", "confidence", "correct", "cosine_minimum_loss", "cosine_class_mean")
    images: Count
    rms: Column[Size]
    confidence: Column[Share]
    correct: Column[bool]
    cosine_minimum_loss: Column[Cosine | None] | None = None
    cosine_class_mean: Column[Cosine | None] | None = None


CENTERS = {"minimum_loss": "point of minimum loss", "class_mean": "class mean"}


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the scatter about the points of minimum loss, else about the class means."""
    data = read(Scatter, report.figures.get("geometry.scatter"))
    if data is None or len(data.rms) > MOST_POINTS:
        return
    for center in CENTERS:
        cosines = getattr(data, f"cosine_{center}")
        if cosines is None or all(cosine is None for cosine in cosines):
            continue
        table = np.array(
            [
                (cosine, rms, confidence, correct)
                for cosine, rms, confidence, correct in zip(
                    cosines, data.rms, data.confidence, data.correct, strict=True
                )
                if cosine is not None
            ],
            dtype=np.float64,
        )
        yield _sketch(report, table, data.images, center)
        return


def _sketch(report: Report, table: np.ndarray, images: int, center: str) -> Sketch:
    """From (m, 4): cosine, RMS, confidence, whether the answer is right."""
    words = CENTERS[center]
    shown, wrong = len(table), int((table[:, 3] == 0).sum())
    told = f"{shown:,} of the {images:,} images" if shown < images else counted(shown, "image")
    key_of = headline(report, f"geometry.pearson.{center}")
    kind = "Spearman" if ".spearman." in key_of else "Pearson"
    relation = measured(report, key_of, f"{kind} correlation of confidence and cosine")
    together = f" {relation}, all images." if relation else ""
    return Sketch(
        title="Feature RMS and cosine, by confidence",
        caption=f"{told}, {wrong:,} of them answered wrong (crosses): RMS of the feature against its cosine to the "
        f"{words} of the true class.{together}",
        alternative=f"Scatter of {counted(shown, 'image')}. Cosine to the {words} of the true class has its median at "
        f"{np.median(table[:, 0]):.2f}, RMS of the feature at {np.median(table[:, 1]):.3g}, confidence at "
        f"{np.median(table[:, 2]):.3f}.{together}",
        paint=partial(paint, table, words),
    )


def paint(table: np.ndarray, words: str, inks: Inks) -> Figure:
    """Right answers first, the surest below; crosses of wrong answers on top."""
    figure = sheet(HEIGHT)
    scale(figure, inks)
    right = Look(inks.muted, Shape.DOT)
    key(figure, inks, 2, [(right, "right"), (Look(inks.muted, Shape.CROSS), "wrong")], left=290)
    x, y = span_axis(f"cosine to the {words}", table[:, 0].tolist()), span_axis("feature RMS", table[:, 1].tolist())
    axes = panel(figure, inks, Box(LEFT, 62, WIDTH - LEFT - RIGHT, HEIGHT - 62 - BOTTOM), x, y)
    points, steps = place_in(axes, table[:, 0], table[:, 1]), np.searchsorted(LEVELS, table[:, 2])
    for shape, correct, size in ((Shape.DOT, 1, 3.6), (Shape.CROSS, 0, 6.0)):
        for step in reversed(range(len(LEVELS) + 1)):
            chosen = points[(steps == step) & (table[:, 3] == correct)]
            marks(figure, chosen, shape, inks.confidence[step], size=size, layer=4.0 - correct)
    return figure


plot = Plot(audit="geometry", sketches=sketches)
