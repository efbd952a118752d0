"""Reports in which everything that can come from outside is foreign text."""

from datetime import date

import pytest

from repaudit.finding import Better, Figure, Measurement, Notice, Skipped, Unit
from repaudit.metrics.intervals import wilson
from repaudit.report import AuditEntry, Outcome, RunStatus, Verdict
from repaudit.report.verdicts import WaiverEntry

FOREIGN = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "quotes": "\"double\" 'single' & ampersand &lt;b&gt; &#64;x",
    "lines": "first\nsecond\r\nthird\rfourth\u2028fifth\u0085sixth",
    "escapes": "\x1b[31mred\x1b[0m\x07\x9b2J\x08",
    "direction": "\u202edrowssap\u2066\u200f",
    "nul": "before\x00after\ufffe\uffff",
    "long": "x" * 10_000,
    "long-words": "word " * 2_000,
    "surrogate": "stray \udcff byte",
    "pipes": r"a|b \| c\\| | --- |",
    "backticks": "`a` ``b` ```c``` `d|e` ` `",
    "fence": "```\nfenced\n```",
    "links": "[text](http://evil.example) ![image](http://evil.example/x.png) [text][1] <http://evil.example>",
    "addresses": "http://evil.example/ www.evil.example ftp://evil.example mail@evil.example evil.example",
    "mentions": "@octocat, @team/name (@octocat) a@b",
    "references": "#123 GH-12 ABC-12 owner/repo#12 !12 0123456789abcdef0123456789abcdef01234567 1234567",
    "blocks": "# heading",
    "list": "- item",
    "numbered": "1. item",
    "quote": "> quoted",
    "rule": "---",
    "underline": "===",
    "emphasis": "*a* **b** _c_ __d__ ~e~ ~~f~~ $x^2$ :smile:",
    "comment": "--> <!-- ]]> </testsuites> <![CDATA[",
    "formula": '=HYPERLINK("http://evil.example","x")',
    "command": "::add-mask::secret ::set-output name=a::b ::error::c",
    "indented-command": "\n   ::stop-commands::token",
    "old-command": "##[add-mask]secret ##vso[task.setvariable variable=a]b",
    "wide": "犬 Grüße 8×8 …",
    "empty": "",
    "blank": "   ",
}


@pytest.fixture(params=FOREIGN.values(), ids=FOREIGN.keys())
def foreign(request) -> str:
    """Text that somebody else chose."""
    return request.param


@pytest.fixture
def make_verdict():
    """A verdict of any outcome; a waiver where it is waived."""

    def make(outcome: str = Outcome.FAIL, **changes) -> Verdict:
        values = {
            "gate": "top1 >= 0.9",
            "metric": "accuracy.top1",
            "level": "fail",
            "limit": 0.9,
            "observed": 0.812,
            "bound": None,
            "outcome": outcome,
            "failed": outcome in {Outcome.FAIL, Outcome.NOT_MEASURED},
            "reason": "accuracy.top1 is 0.812, below the limit 0.9.",
        }
        if outcome == Outcome.WAIVED:
            values["waiver"] = WaiverEntry(until=date(2026, 12, 31), reason="it is mended in the next export")
        return Verdict(**(values | changes))

    return make


@pytest.fixture
def foreign_report(make_report, make_verdict):
    """A report, not complete, whose every text is the given one, with every outcome of a gate."""

    def make(text: str):
        key = text or "empty"
        report = make_report(
            Measurement(
                key="accuracy.top1",
                value=0.812,
                unit=Unit.FRACTION,
                better=Better.HIGHER,
                n=1000,
                interval=wilson(812, 1000),
                note=text,
            ),
            Measurement(
                key=f"robustness.{key}.asr",
                value=0.5,
                unit=Unit.FRACTION,
                better=Better.LOWER,
                n=10,
                interval_reason=text,
                note=text,
            ),
            Figure(key="masking.battery", data={text: {"verdict": "failed", "value": 1.0, "sentence": text}}),
            Figure(key="accuracy.per_class", data={"name": [text, "b"], "images": [10, 10], "accuracy": [0.1, 0.9]}),
            Notice(code="foreign", message=text),
            Skipped(key=f"novelty.{text}", reason=text),
        )
        excused = WaiverEntry(until=date(2026, 12, 31), reason=text)
        verdicts = [make_verdict(outcome, gate=text, metric=text, reason=text) for outcome in Outcome]
        verdicts[-1] = verdicts[-1].model_copy(update={"waiver": excused})
        verdicts += [
            make_verdict(level="warn", failed=False, gate=text, metric="accuracy.top1", reason=text),
            make_verdict(text, failed=True, gate=text, metric="accuracy.top1", reason=text),
            make_verdict(text, failed=False, gate=text, metric="accuracy.top1", reason=text),
        ]
        broken = AuditEntry(id=text, version=1, status="error", reason=text, params={}, images_count=1)
        changes = {
            "run": {"status": RunStatus.PARTIAL, "message": text, "started_utc": text, "exit_code": 3},
            "model": {"ref": text, "resolved": text, "weights_sha256": text},
            "data": {"ref": text, "subset": text, "fingerprint": text},
            "profile": {"name": text, "sha256": text},
            "tool": {"version": text},
        }
        sections = {name: getattr(report, name).model_copy(update=values) for name, values in changes.items()}
        sections["audits"] = [*report.audits, broken]
        return report.with_verdicts(verdicts).model_copy(update=sections)

    return make
