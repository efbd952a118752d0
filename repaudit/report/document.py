"""The whole report and its JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

from pydantic import Field, JsonValue, ValidationError

from repaudit.errors import InvalidReport
from repaudit.report.comparisons import BaselineSection, Comparison
from repaudit.report.findings import AuditEntry, Metric, WarningEntry
from repaudit.report.provenance import DataSection, ModelSection, ProfileSection, Tool
from repaudit.report.run import Run
from repaudit.report.section import Section, Sorted
from repaudit.report.sidecar import PerImage, sidecar_name, to_bytes
from repaudit.report.verdicts import Verdict, VerdictSummary
from repaudit.report.writing import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

SCHEMA_VERSION = "1.0"
_AGAIN = "repaudit scan MODEL --data DATA -o FILE.json writes a new one"


class Report(Section):
    """What one scan found. Everything outside `run` is the same for the same inputs."""

    schema_version: Annotated[str, Field(pattern=r"^1\.\d+$")] = SCHEMA_VERSION
    """Readers accept any 1.x and ignore the keys they do not know."""
    tool: Tool
    run: Run
    model: ModelSection
    data: DataSection
    profile: ProfileSection
    audits: list[AuditEntry]
    metrics: Sorted[Metric]
    """By dotted key."""
    figures: Sorted[dict[str, JsonValue]]
    """The data behind each plot, by dotted key."""
    baseline: BaselineSection | None = None
    """The report that this one was compared with; null where none was."""
    comparisons: Sorted[Comparison] = Field(default_factory=dict)
    """Paired differences to the baseline, by metric key."""
    gates: list[Verdict] = Field(default_factory=list)
    verdict: VerdictSummary = Field(default_factory=lambda: VerdictSummary.of([]))
    warnings: list[WarningEntry] = Field(default_factory=list)
    per_image: PerImage | None = None
    """The sidecar; null where the report went to a stream."""

    def with_verdicts(self, verdicts: Sequence[Verdict]) -> Report:
        """The same report, judged."""
        return self.model_copy(update={"gates": list(verdicts), "verdict": VerdictSummary.of(verdicts)})

    def to_json(self) -> str:
        """Strict ASCII JSON; lists of plain values stand on one line each.

        Raises:
            ValueError: a figure holds NaN or infinity.
        """
        return _layout(self.model_dump(mode="json"), "") + "\n"


def schema() -> dict[str, JsonValue]:
    """The JSON Schema (draft 2020-12) of the report."""
    dialect: dict[str, JsonValue] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | Report.model_json_schema(mode="serialization") | {"title": "repaudit report 1.x"}


def read(path: Path) -> Report:
    """A saved report of any 1.x.

    Raises:
        InvalidReport: the file is missing, truncated, foreign, a comparison or of another major version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidReport(f"the report {path} cannot be read: {reason}", remedy=_AGAIN) from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Report:
    """The report in a JSON text; `name` is how errors call it.

    Raises:
        InvalidReport: as for `read`.
    """
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidReport(
            f"{name} is no JSON: truncated, or another kind of file", detail=str(error), remedy=_AGAIN
        ) from None
    if isinstance(values, dict) and values.get("kind") == "comparison":
        raise InvalidReport(
            f"{name} is a comparison of several reports, not a report",
            remedy="the report.json of one model; `repaudit compare REPORT REPORT…` makes a comparison anew",
        )
    version = values.get("schema_version") if isinstance(values, dict) else None
    if not isinstance(version, str):
        raise InvalidReport(f"{name} is no report of repaudit: it has no `schema_version`", remedy=_AGAIN)
    major = version.partition(".")[0]
    if major != "1":
        newer = major.isdecimal() and int(major) > 1
        raise InvalidReport(
            f"{name} has schema version {version}; this repaudit reads 1.x",
            remedy="pip install --upgrade repaudit" if newer else _AGAIN,
        )
    try:
        return Report.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidReport(f"{name} is no report of repaudit: `{where}`: {first['msg']}", remedy=_AGAIN) from None


def write(report: Report, path: Path, *, columns: Mapping[str, np.ndarray] | None = None) -> Report:
    """Writes the JSON and, where there are columns, the sidecar beside it.

    Each file appears whole or not at all; the sidecar comes first.

    Args:
        report: as it stands.
        path: of the JSON.
        columns: (n,) each, by name, `id` and `label` among them.

    Returns:
        The report as written, which names its sidecar.

    Raises:
        InvalidOutput: the path is a folder, a device or a pipe.
        OSError: it cannot be written.
    """
    if columns is not None:
        content = to_bytes(columns)
        beside = path.with_name(sidecar_name(path))
        section = PerImage(path=beside.name, sha256=hashlib.sha256(content).hexdigest(), columns=list(columns))
        report = report.model_copy(update={"per_image": section})
        replace_file(beside, content)
    replace_file(path, report.to_json().encode("ascii"))
    return report


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not strict JSON")


def _layout(value: JsonValue, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        lines = [f"{deeper}{json.dumps(key)}: {_layout(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        lines = [f"{deeper}{_layout(item, deeper)}" for item in value]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)
