"""Which audits run with which parameters, and which conditions their numbers must meet."""

from __future__ import annotations

from repaudit.profiles.gate import Gate, Severity, parse_gate
from repaudit.profiles.resolve import ResolvedProfile, load, names, summary

__all__ = ["Gate", "ResolvedProfile", "Severity", "load", "names", "parse_gate", "summary"]
