"""The whole pipeline on something small that is always there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.conductor import Order, Scanned, carry_out
from repaudit.leaderboard import Entrant, board_of
from repaudit.profiles import load
from repaudit.progress import SilentProgress

if TYPE_CHECKING:
    from repaudit.leaderboard import Leaderboard
    from repaudit.progress import Progress

MODEL = "embedded:digits-cnn"
DATA = "digits"
PROFILE = "demo"
BASELINES = tuple(f"embedded:digits-{reg}" for reg in ("onehot", "ls", "mixup", "cutmix", "vs"))
"""Trained alike by the recipe `digits`, each with labels made soft in another way; the first is the reference."""
ASKED = ("accuracy", "calibration", "geometry", "robustness")
SHOWN = ("top1", "ece", "signed_gap", "nll", "rms", "geometry.cosine.class_mean", "fgsm.robust_accuracy")
LIMIT = ("robustness.limit=200", "robustness.attacks=[fgsm]")
CREDIT = (
    'Data: UCI "Optical Recognition of Handwritten Digits" (CC BY 4.0), as scikit-learn ships them;\n'
    "  900 digits by writers that the network never saw."
)


def demonstrate(progress: Progress, *, argv: tuple[str, ...] = ()) -> Scanned:
    """Scans the embedded network on the embedded digits, keeping nothing: every run shows all the work."""
    profile = load(PROFILE, audits=None, settings=(), limit=None, directory=Path.cwd())
    order = Order(model=MODEL, data=DATA, profile=profile, device="cpu", keep=False, argv=argv)
    return carry_out(order, progress)


def compare_baselines(progress: Progress, *, argv: tuple[str, ...] = ()) -> Leaderboard:
    """Scans five networks that differ in their labels alone, and puts them beside the one of one-hot labels."""
    profile = load("quick", audits=ASKED, settings=LIMIT, limit=None, directory=Path.cwd())
    entrants = []
    with progress.stage("baselines", len(BASELINES), "networks") as stage:
        for name in BASELINES:
            order = Order(model=name, data=DATA, profile=profile, device="cpu", keep=False, argv=argv)
            scanned = carry_out(order, SilentProgress())
            entrants.append(Entrant(report=scanned.report, columns=scanned.columns, file=name))
            stage.advance(1)
    return board_of(entrants, metrics=SHOWN)
