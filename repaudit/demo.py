"""The whole pipeline on something small that is always there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.conductor import Order, Scanned, carry_out
from repaudit.profiles import load

if TYPE_CHECKING:
    from repaudit.progress import Progress

MODEL = "embedded:digits-cnn"
DATA = "digits"
PROFILE = "demo"
CREDIT = (
    'Data: UCI "Optical Recognition of Handwritten Digits" (CC BY 4.0), as scikit-learn ships them;\n'
    "  900 digits by writers that the network never saw."
)


def demonstrate(progress: Progress, *, argv: tuple[str, ...] = ()) -> Scanned:
    """Scans the embedded network on the embedded digits, keeping nothing: every run shows all the work."""
    profile = load(PROFILE, audits=None, settings=(), limit=None, directory=Path.cwd())
    order = Order(model=MODEL, data=DATA, profile=profile, device="cpu", keep=False, argv=argv)
    return carry_out(order, progress)
