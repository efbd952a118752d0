"""Paired statistics between two reports on the same images.

Two reports can be compared only where ids, bytes, labels and subset of the images agree, and version and parameters of
the audit in question. Preprocessing belongs to the model: that it differs is a remark.
"""

from __future__ import annotations

from repaudit.compare.beside import baseline_section, compared
from repaudit.compare.comparable import Asked, audit_differences, data_differences, needed_columns, refuse_incomparable
from repaudit.compare.pairs import compare
from repaudit.compare.sides import Side, open_side

__all__ = [
    "Asked",
    "Side",
    "audit_differences",
    "baseline_section",
    "compare",
    "compared",
    "data_differences",
    "needed_columns",
    "open_side",
    "refuse_incomparable",
]
