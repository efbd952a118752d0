"""JUnit XML, validated against a schema of the common form and read by another parser."""

from datetime import date
from pathlib import Path
from xml.dom import minidom

import pytest
import xmlschema

from repaudit import audits
from repaudit.finding import Better, Measurement, Unit
from repaudit.metrics.intervals import wilson
from repaudit.render.junit import to_junit
from repaudit.report import AuditEntry, Outcome, RunStatus
from repaudit.report.run import Cost
from repaudit.report.verdicts import WaiverEntry

SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))
RESULTS = ("failure", "error", "skipped", "system-out")


def parsed(report) -> minidom.Element:
    text = to_junit(report)
    SCHEMA.validate(text)
    return minidom.parseString(text.encode()).documentElement


def cases(report) -> dict[str, minidom.Element]:
    found = parsed(report).getElementsByTagName("testcase")
    return {case.getAttribute("name"): case for case in found}


def result(case: minidom.Element) -> tuple[str, str, str] | None:
    """The tag, the message and the text of what a case came to; None where it simply passed."""
    found = [element for tag in RESULTS for element in case.getElementsByTagName(tag)]
    if not found:
        return None
    (element,) = found
    text = element.firstChild.data if element.firstChild else ""
    return element.tagName, element.getAttribute("message"), text


@pytest.fixture
def measured(make_report):
    top1 = Measurement(
        key="accuracy.top1", value=0.812, unit=Unit.FRACTION, better=Better.HIGHER, n=1000, interval=wilson(812, 1000)
    )
    return make_report(top1)


def stopped(report, status=RunStatus.PARTIAL, message="interrupted (SIGINT)"):
    return report.model_copy(update={"run": report.run.model_copy(update={"status": status, "message": message})})


def test_the_schema_itself_refuses_what_is_no_junit():
    for wrong in (
        '<testsuites><testsuite name="a" tests="1" failures="0"/></testsuites>',
        '<testsuites><testcase name="a" classname="b"/></testsuites>',
        '<testsuites><testsuite name="a" tests="-1" failures="0" errors="0"/></testsuites>',
    ):
        assert not SCHEMA.is_valid(wrong)


def test_a_suite_is_a_model_and_a_case_a_gate(measured, make_verdict):
    root = parsed(measured.with_verdicts([make_verdict(Outcome.PASS)]))
    (suite,) = root.getElementsByTagName("testsuite")
    (case,) = suite.getElementsByTagName("testcase")

    assert root.getAttribute("name") == "repaudit"
    assert suite.getAttribute("name") == "timm:net"
    assert suite.getAttribute("timestamp") == "2024-01-01T00:00:00"
    assert (case.getAttribute("classname"), case.getAttribute("name")) == ("accuracy", "top1 >= 0.9")
    assert float(case.getAttribute("time")) == measured.run.audits["accuracy"].duration_s == 0.5
    assert result(case) is None


def test_what_was_measured_can_be_identified(measured, make_verdict):
    root = parsed(measured.with_verdicts([make_verdict()]))
    found = root.getElementsByTagName("property")
    properties = {each.getAttribute("name"): each.getAttribute("value") for each in found}

    assert properties["model"] == "net"
    assert properties["weights_sha256"] == "0" * 64
    assert properties["data_fingerprint"] == "2" * 64
    assert properties["profile"] == "quick"
    assert properties["tool_version"] == "0.1.0"


@pytest.mark.parametrize("name", audits.names())
def test_a_case_stands_under_the_audit_that_measures_it_with_its_time(measured, make_verdict, name):
    cost = Cost(duration_s=1.25, forward_rows=0, backward_rows=0)
    run = measured.run.model_copy(update={"audits": {name: cost}})
    keys = [key.replace("*", "fgsm") for key in audits.load(name).keys]
    verdicts = [make_verdict(metric=key, gate=f"{key} <= 1") for key in keys]
    told = cases(measured.model_copy(update={"run": run}).with_verdicts(verdicts)).values()

    assert {(case.getAttribute("classname"), case.getAttribute("time")) for case in told} == {(name, "1.250")}


def test_a_failed_gate_is_a_failure_with_its_reason_and_its_numbers(measured, make_verdict):
    (case,) = cases(measured.with_verdicts([make_verdict(bound=0.83)])).values()
    tag, message, text = result(case)

    assert (tag, message) == ("failure", "accuracy.top1 is 0.812, below the limit 0.9.")
    assert case.getElementsByTagName("failure")[0].getAttribute("type") == "fail"
    lines = text.split("\n")
    assert lines[:4] == [message, "limit: 0.9", "observed: 0.812", "bound: 0.83"]
    interval = wilson(812, 1000)
    assert lines[-1] == f"95 % interval: {interval.low!r} to {interval.high!r}"


def test_what_was_not_measured_failed(measured, make_verdict):
    (case,) = cases(measured.with_verdicts([make_verdict(Outcome.NOT_MEASURED, observed=None)])).values()

    assert case.getElementsByTagName("failure")[0].getAttribute("type") == "not-measured"


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.NOT_MEASURED])
def test_what_only_warns_passes_and_says_so(measured, make_verdict, outcome):
    (case,) = cases(measured.with_verdicts([make_verdict(outcome, level="warn", failed=False)])).values()
    tag, _, text = result(case)

    assert tag == "system-out"
    assert text.startswith(f"warn: {outcome}: accuracy.top1 is 0.812")


def test_what_passes_without_proof_passes_and_says_so(measured, make_verdict):
    (case,) = cases(measured.with_verdicts([make_verdict(Outcome.UNPROVEN)])).values()
    tag, _, text = result(case)

    assert tag == "system-out"
    assert text.startswith("pass ~: ")


def test_what_is_waived_is_skipped_until_its_day(measured, make_verdict):
    waiver = WaiverEntry(until=date(2026, 12, 31), reason="the next export mends it")
    (case,) = cases(measured.with_verdicts([make_verdict(Outcome.WAIVED, waiver=waiver)])).values()

    assert result(case)[:2] == ("skipped", "waived until 2026-12-31: the next export mends it")


def test_an_outcome_of_a_later_version_counts_as_it_says(measured, make_verdict):
    verdicts = [
        make_verdict("revoked", failed=True, gate="one"),
        make_verdict("postponed", failed=False, gate="two"),
    ]
    found = cases(measured.with_verdicts(verdicts))

    assert result(found["one"])[0] == "failure"
    assert found["one"].getElementsByTagName("failure")[0].getAttribute("type") == "revoked"
    assert result(found["two"])[0] == "system-out"


def test_a_scan_that_did_not_finish_is_an_error_beside_its_gates(measured, make_verdict):
    found = cases(stopped(measured.with_verdicts([make_verdict(Outcome.PASS)])))

    assert set(found) == {"top1 >= 0.9", "scan finished"}
    assert result(found["scan finished"])[:2] == ("error", "interrupted (SIGINT)")


def test_without_gates_each_audit_is_a_case(measured):
    entries = [
        AuditEntry(id="a", version=1, status="ok", params={}, images_count=1),
        AuditEntry(id="b", version=1, status="skipped", reason="no gradients", params={}, images_count=0),
        AuditEntry(id="c", version=1, status="error", reason="ValueError: x", params={}, images_count=1),
    ]
    found = parsed(measured.model_copy(update={"audits": entries})).getElementsByTagName("testcase")

    assert [case.getAttribute("classname") for case in found] == ["a", "b", "c"]
    assert [result(case) and result(case)[:2] for case in found] == [
        None, ("skipped", "no gradients"), ("error", "ValueError: x"),
    ]  # fmt: skip


def test_no_file_is_without_a_case(measured):
    (case,) = cases(measured.model_copy(update={"audits": []})).values()

    assert result(case) is None


def test_the_counts_are_those_of_the_cases(measured, make_verdict):
    verdicts = [make_verdict(outcome) for outcome in Outcome]
    verdicts += [make_verdict(level="warn", failed=False), make_verdict(), make_verdict("revoked", failed=True)]
    root = parsed(stopped(measured.with_verdicts(verdicts)))
    (suite,) = root.getElementsByTagName("testsuite")

    assert {name: suite.getAttribute(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "9", "failures": "4", "errors": "1", "skipped": "1",
    }  # fmt: skip
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        assert root.getAttribute(name) == suite.getAttribute(name) == str(len(root.getElementsByTagName(tag)))


@pytest.mark.parametrize("started", ["", "yesterday", "2024-13-41T25:61:61", "2024-01-01T10:00:00.123456+02:00"])
def test_a_moment_that_is_none_is_left_out(measured, started):
    report = measured.model_copy(update={"run": measured.run.model_copy(update={"started_utc": started})})
    (suite,) = parsed(report).getElementsByTagName("testsuite")

    assert suite.getAttribute("timestamp") == ("2024-01-01T10:00:00" if started.startswith("2024-01") else "")


def test_foreign_text_is_no_markup_and_leaves_the_file_valid(foreign_report, foreign):
    harmless, root = parsed(foreign_report("harmless")), parsed(foreign_report(foreign))

    def tags(element):
        return [each.tagName for each in element.getElementsByTagName("*")]

    assert tags(root) == tags(harmless)
    assert len(to_junit(foreign_report(foreign))) < 100_000


def test_foreign_text_is_shown_with_its_escapes(measured, make_verdict):
    (case,) = cases(measured.with_verdicts([make_verdict(reason="<b>\x00\x1b[31m]]>\n\ufffe")])).values()

    assert result(case)[1] == r"<b>\x00\x1b[31m]]>\n\ufffe"
