"""What one scan found, as one JSON file and one sidecar; every renderer reads only this."""

from __future__ import annotations

from repaudit.report.comparisons import BaselineSection, Comparison
from repaudit.report.document import SCHEMA_VERSION, Report, read, schema, write
from repaudit.report.findings import AuditEntry, AuditStatus, Gathered, Metric, WarningEntry, gather
from repaudit.report.provenance import (
    BadImageEntry,
    DataSection,
    HeadSection,
    ModelSection,
    ProfileSection,
    Tool,
)
from repaudit.report.run import Cost, Environment, EvaluationShapeEntry, Run, RunStatus, scrubbed
from repaudit.report.sidecar import PerImage, read_per_image
from repaudit.report.verdicts import Outcome, Verdict, VerdictSummary, WaiverEntry
from repaudit.report.writing import replace_file

__all__ = [
    "SCHEMA_VERSION",
    "AuditEntry",
    "AuditStatus",
    "BadImageEntry",
    "BaselineSection",
    "Comparison",
    "Cost",
    "DataSection",
    "Environment",
    "EvaluationShapeEntry",
    "Gathered",
    "HeadSection",
    "Metric",
    "ModelSection",
    "Outcome",
    "PerImage",
    "ProfileSection",
    "Report",
    "Run",
    "RunStatus",
    "Tool",
    "Verdict",
    "VerdictSummary",
    "WaiverEntry",
    "WarningEntry",
    "gather",
    "read",
    "read_per_image",
    "replace_file",
    "schema",
    "scrubbed",
    "write",
]
