"""What scripts and notebooks use: scan, and a report that can be shown, saved and turned into a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import PrivateAttr

from repaudit import report as documents
from repaudit.errors import UsageError
from repaudit.output import prepare, rendered, reopened, save
from repaudit.output.formats import Format
from repaudit.progress import SilentProgress
from repaudit.render.headlines import shown_keys
from repaudit.render.plain import safe, value_and_interval
from repaudit.render.summary import summary_line

if TYPE_CHECKING:
    import pandas as pd

    from repaudit.progress import Progress


class Columns(Mapping[str, np.ndarray]):
    """Per-image columns by name, (n,) each; equal where all values are."""

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self._columns = dict(columns)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Columns)
            and list(self) == list(other)
            and all(np.array_equal(self[name], other[name], equal_nan=self[name].dtype.kind == "f") for name in self)
        )

    __hash__ = None  # type: ignore[assignment]


class Report(documents.Report):
    """One scan: what `repaudit.scan` returns and what `Report.load` reads back."""

    _columns: Columns = PrivateAttr(default_factory=lambda: Columns({}))

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """A saved report with its per-image rows, where they lie beside it.

        Args:
            path: of the JSON, or its folder.

        Raises:
            InvalidReport: it is missing, truncated, foreign or of a newer major version, or the rows are not its own.
        """
        return cls.of(*reopened(Path(path)))

    @classmethod
    def of(cls, report: documents.Report, columns: Mapping[str, np.ndarray] | None) -> Report:
        """The same report with what notebooks do with one."""
        own = cls.model_construct(**{name: getattr(report, name) for name in documents.Report.model_fields})
        own._columns = Columns(columns or {})
        return own

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """The per-image rows, (n,) each by name, such as `prediction`; empty where the report came without them."""
        return self._columns

    def save(self, *places: str | Path) -> tuple[Path, ...]:
        """Writes it as `-o` does: a file by its extension, a folder with everything.

        Returns:
            The files and folders written.

        Raises:
            InvalidOutput: an unknown format, or a file that is not ours.
        """
        return save(self, self._columns or None, prepare([str(place) for place in places])).paths

    def to_html(self) -> str:
        """The whole page, self-contained."""
        return rendered(self, Format.HTML)

    def to_markdown(self) -> str:
        """The report as GitHub shows it."""
        return rendered(self, Format.MARKDOWN)

    def to_dataframe(self) -> pd.DataFrame:
        """One row a metric, the key as index.

        Columns: `value`, `unit`, `better`, `n`, `low`, `high`, `level`, `method`, `interval_reason`, `note`; bounds
        are missing where there is no interval.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise UsageError("a data frame needs pandas", remedy="pip install pandas") from None
        rows = [_row(metric) for metric in self.metrics.values()]
        return pd.DataFrame(rows, index=pd.Index(list(self.metrics), name="metric"), columns=list(_COLUMNS))

    def __repr__(self) -> str:
        return (
            f"<repaudit.Report: {safe(self.model.resolved)} on {self.data.images_count:,} images of "
            f"{safe(self.data.ref)}; {summary_line(self)}>"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Verdict, gates and headline metrics, as a notebook shows them."""
        return _fragment(self)


def scan(
    model: str,
    data: str,
    *,
    profile: str | None = None,
    audits: Sequence[str] | None = None,
    settings: Sequence[str] = (),
    limit: int | None = None,
    arch: str | None = None,
    preprocess: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    adversarials: Path | None = None,
    baseline: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """`repaudit scan` for scripts and notebooks.

    Args:
        model: a model reference, such as `resnet50.a1_in1k` or `weights.pth`.
        data: a data reference, such as `imagenet-val:/data/imagenet` or `npz:test.npz`.
        profile: a shipped profile's name or a YAML file.
        audits: only these of the profile.
        settings: `KEY=VALUE` as after `--set`.
        limit: images at most, stratified by class.
        arch: the network of a checkpoint.
        preprocess: `timm:NAME`, `torchvision:NAME/WEIGHTS` or a YAML file.
        device: `auto`, `cpu`, `cuda`, …
        dtype: `float32`, or `bfloat16` for the clean pass and searches.
        adversarials: folder for images that broke the model.
        baseline: a report that `worse(…)` compares with.
        seed: of every draw.
        progress: where stages and remarks go; nowhere by default.

    Returns:
        The report, judged; `report.run.exit_code` is what the command would have returned.

    Raises:
        UsageError: something about the call must change.
        UnfinishedError: the device ran out of memory.
    """
    from repaudit.conductor import Order, carry_out
    from repaudit.profiles import load

    resolved = load(profile, audits=audits, settings=settings, limit=limit, directory=Path.cwd())
    order = Order(
        model=model,
        data=data,
        profile=resolved,
        arch=arch,
        preprocess=preprocess,
        device=device,
        dtype=dtype,
        adversarials=adversarials,
        baseline=baseline,
        seed=seed,
    )
    scanned = carry_out(order, progress or SilentProgress())
    if scanned.failure is not None:
        raise scanned.failure
    return Report.of(scanned.report, scanned.columns)


_COLUMNS = ("value", "unit", "better", "n", "low", "high", "level", "method", "interval_reason", "note")


def _row(metric: documents.Metric) -> dict[str, object]:
    interval = metric.interval
    return {
        "value": metric.value,
        "unit": str(metric.unit),
        "better": str(metric.better),
        "n": metric.n,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "level": None if interval is None else interval.level,
        "method": None if interval is None else interval.method,
        "interval_reason": metric.interval_reason,
        "note": metric.note,
    }


_BAD = (documents.Outcome.FAIL, documents.Outcome.NOT_MEASURED)
_WARNINGS = 3
"""So many are shown; the page has all."""


def _fragment(report: Report) -> str:
    """Plain HTML without style or script of its own: it must look right in whatever notebook it stands."""
    parts = [f"<p><strong>{_text(report.model.resolved)}</strong> · {_text(summary_line(report))}</p>"]
    if report.gates:
        verdicts = [(_text(each.gate), _verdict(each), _text(each.reason)) for each in report.gates]
        parts.append(_table(("gate", "verdict", "why"), verdicts))
    keys = shown_keys(report, everything=False)
    metrics = [_shown(key, report.metrics[key]) for key in keys if key in report.metrics]
    parts.append(_table(("metric", "value", "95 % interval", "n"), metrics))
    if report.warnings:
        told = "".join(f"<li>{_text(warning.message)}</li>" for warning in report.warnings[:_WARNINGS])
        left = len(report.warnings) - _WARNINGS
        more = f"<li>{left:,} more in the page</li>" if left > 0 else ""
        parts.append(f"<p>Mind:</p><ul>{told}{more}</ul>")
    return "\n".join(parts)


def _verdict(verdict: documents.Verdict) -> str:
    word = _text(str(verdict.outcome))
    return f"<strong>{word}</strong>" if verdict.outcome in _BAD else word


def _shown(key: str, metric: documents.Metric) -> tuple[str, ...]:
    value, interval = value_and_interval(metric)
    return _text(key), value, interval or f"none: {_text(metric.interval_reason or 'no reason given')}", f"{metric.n:,}"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML."""
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(foreign: str) -> str:
    return escape(safe(foreign, 400))
