"""Which audits run with which parameters, and which conditions their numbers must meet."""

from __future__ import annotations

from repaudit.profiles.gate import Gate, Severity, parse_gate
from repaudit.profiles.resolve import ResolvedProfile, fingerprint, load, names, summary, text
from repaudit.profiles.waiver import Waiver, read_waiver

__all__ = [
    "Gate",
    "ResolvedProfile",
    "Severity",
    "Waiver",
    "fingerprint",
    "load",
    "names",
    "parse_gate",
    "read_waiver",
    "summary",
    "text",
]
