"""repaudit tells whether a pretrained image classifier can be trusted, why, and whether it may ship."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from repaudit.data import load_data
    from repaudit.public import Report, scan
    from repaudit.sources import load_model

__all__ = ["Report", "__version__", "load_data", "load_model", "scan"]

_HOME = {
    "Report": "repaudit.public",
    "load_data": "repaudit.data",
    "load_model": "repaudit.sources",
    "scan": "repaudit.public",
}


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used: `import repaudit` must not import torch."""
    if name in _HOME:
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value
    raise AttributeError(f"module `repaudit` has no attribute `{name}`")
