"""A waiver excuses one gate until a day, never longer, never another gate, and never in silence."""

import io
import json
import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repaudit import gates
from repaudit.finding import Better, Measurement, Notice, Skipped, Unit
from repaudit.judge import judge_again
from repaudit.metrics.intervals import wilson
from repaudit.profiles import Severity, Waiver, load, parse_gate, read_waiver
from repaudit.record import judged as judged_scan
from repaudit.render.terminal import console_for, print_report, print_summary
from repaudit.report import BaselineSection, Outcome, RunStatus, read, write

DAY = date(2026, 12, 31)
EVIL = "<script>alert(1)</script>\x1b[31m\nsecond line\u202e" + "x" * 10_000


def share(key: str, successes: int, n: int = 1000, better: Better = Better.HIGHER) -> Measurement:
    return Measurement(
        key=key, value=successes / n, unit=Unit.FRACTION, better=better, n=n, interval=wilson(successes, n)
    )


@pytest.fixture
def report(make_report):
    """Accuracy .75, calibration error .08, attack success .4 and .6; one attack could not say anything."""
    return make_report(
        share("accuracy.top1", 750),
        share("calibration.ece", 80, better=Better.LOWER),
        share("robustness.fgsm.asr", 400, better=Better.LOWER),
        share("robustness.pgd_w.asr", 600, better=Better.LOWER),
        Skipped(key="robustness.pgd_s.asr", reason="no image was right to begin with"),
    )


def waiver(gate: str, until: date = DAY, reason: str = "a fix is under way", model: str | None = None) -> Waiver:
    return Waiver(gate=gate, until=until, reason=reason, model=model)


def excused(report, texts, waivers, today: date = DAY, severity: Severity = Severity.FAIL):
    wanted = [parse_gate(text, severity=severity) for text in texts]
    judged = report.with_verdicts(gates.judge(report, wanted))
    return gates.apply_waivers(judged, wanted, waivers, today)


def outcomes(report, texts, waivers, **others):
    return [verdict.outcome for verdict in excused(report, texts, waivers, **others).gates]


def warned(report) -> list[str]:
    return [warning.code for warning in report.warnings]


# --- until when


def test_a_waiver_excuses_through_its_last_day_and_no_longer(report):
    (on_the_day,) = excused(report, ["ece <= 0.05"], [waiver("ece")], DAY).gates
    (day_after,) = excused(report, ["ece <= 0.05"], [waiver("ece")], DAY + timedelta(days=1)).gates

    assert (on_the_day.outcome, on_the_day.failed) == (Outcome.WAIVED, False)
    assert (on_the_day.waiver.until, on_the_day.waiver.reason) == (DAY, "a fix is under way")
    assert (day_after.outcome, day_after.failed, day_after.waiver) == (Outcome.FAIL, True, None)
    assert day_after.reason == "calibration.ece is 0.08, above the limit 0.05; its waiver expired on 2026-12-31."


def test_an_excused_gate_keeps_the_number_that_decided_and_says_until_when_and_why(report):
    (plain,) = excused(report, ["ece <= 0.05"], []).gates
    (verdict,) = excused(report, ["ece <= 0.05"], [waiver("ece")]).gates

    assert verdict.reason == (
        "calibration.ece is 0.08, above the limit 0.05; waived until 2026-12-31: a fix is under way"
    )
    kept = {"gate", "metric", "level", "limit", "observed", "bound"}
    assert verdict.model_dump(include=kept) == plain.model_dump(include=kept)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(until=st.dates(), today=st.dates())
def test_on_any_day_the_gate_is_excused_exactly_up_to_the_last(report, until, today):
    (verdict,) = excused(report, ["ece <= 0.05"], [waiver("ece", until)], today).gates

    assert verdict.failed == (today > until)
    assert (verdict.outcome == Outcome.WAIVED) == (today <= until)
    assert until.isoformat() in verdict.reason


def test_of_two_waivers_the_one_that_lasts_longer_counts_and_the_other_can_go(report):
    short, long = waiver("ece", DAY), waiver("calibration.ece", DAY + timedelta(days=100))

    for both in ([short, long], [long, short]):
        judged = excused(report, ["ece <= 0.05"], both, DAY + timedelta(days=1))
        assert judged.gates[0].waiver.until == long.until
        assert [warning.message for warning in judged.warnings] == [
            "the waiver of `ece` until 2026-12-31 is not needed: another waiver of the gate lasts longer; "
            "take it out of the profile"
        ]


# --- which gate


def test_what_was_not_measured_can_be_excused_and_what_holds_stays_a_pass(report):
    texts = ["robustness.pgd_s.asr <= 0.5", "top1 >= 0.7", "top1 >= 0.75 @95%"]
    judged = excused(report, texts, [waiver("pgd_s.asr"), waiver("top1")])

    assert [verdict.outcome for verdict in judged.gates] == [Outcome.WAIVED, Outcome.PASS, Outcome.UNPROVEN]
    assert "no image was right to begin with; waived until 2026-12-31" in judged.gates[0].reason
    assert judged.gates[1].waiver is judged.gates[2].waiver is None


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("ece <= 0.05", [0]),
        ("  ece<=0.05", [0]),
        ("calibration.ece <= 0.01 @ 95 %", [1]),
        ("ece", [0, 1]),
        ("calibration.ece", [0, 1]),
        ("fgsm.asr", [2]),
        ("robustness.pgd_w.asr", [3]),
        ("asr", []),
        ("ce", []),
        ("calibration", []),
        ("ece <= 0.06", []),
        ("ece < 0.05", []),
        ("worse(ece)", []),
    ],
)
def test_a_waiver_excuses_the_gate_of_its_text_or_those_on_its_metric_and_no_other(report, name, which):
    texts = ["ece <= 0.05", "calibration.ece <= 0.01 @95%", "fgsm.asr <= 0.1", "robustness.pgd_w.asr <= 0.1"]
    written = read_waiver({"gate": name, "until": "2026-12-31", "reason": "why"}, lambda *_: "here")

    judged = excused(report, texts, [written], DAY - timedelta(days=30))

    assert [row for row, verdict in enumerate(judged.gates) if not verdict.failed] == which
    assert warned(judged) == ([] if which else ["waiver-without-gate"])


def test_a_relative_gate_is_meant_by_the_metric_inside_it_and_alone_by_its_whole_value(report):
    beside = report.model_copy(update={"baseline": BaselineSection(sha256="0", model="old", weights_sha256="1")})
    texts = ["top1 >= 0.9", "worse(top1) <= 0", "worse(accuracy.top1) <= 0.1"]

    for name, which in (
        ("top1", [0, 1, 2]),
        ("accuracy.top1", [0, 1, 2]),
        ("worse(top1)", [1, 2]),
        ("worse( accuracy.top1 )", [1, 2]),
        ("worse(top1) <= 0", [1]),
    ):
        judged = excused(beside, texts, [waiver(name)])
        assert [row for row, verdict in enumerate(judged.gates) if not verdict.failed] == which


def test_a_short_name_means_first_of_all_what_a_gate_calls_so(make_report):
    report = make_report(share("accuracy.top1", 1), share("calibration.top1_after", 1), share("probe.top1", 1))
    texts = ["accuracy.top1 >= 0.5", "probe.top1 >= 0.5"]

    assert outcomes(report, texts, [waiver("top1")]) == [Outcome.FAIL, Outcome.FAIL]
    with_short = report.model_copy(update={"metrics": {k: v for k, v in report.metrics.items() if "probe" not in k}})
    assert outcomes(with_short, ["top1 >= 0.5"], [waiver("top1")]) == [Outcome.WAIVED]


def test_a_name_of_several_gated_metrics_excuses_none_and_names_them(report):
    judged = excused(report, ["fgsm.asr <= 0.1", "pgd_w.asr <= 0.1"], [waiver("asr")])

    assert all(verdict.failed for verdict in judged.gates)
    assert "short for robustness.fgsm.asr, robustness.pgd_w.asr; name one" in judged.warnings[0].message


@pytest.mark.parametrize(
    ("model", "outcome"),
    [
        (None, Outcome.WAIVED),
        ("net", Outcome.WAIVED),
        ("timm:*", Outcome.WAIVED),
        ("n?t", Outcome.WAIVED),
        ("NET", Outcome.FAIL),
        ("resnet*", Outcome.FAIL),
    ],
)
def test_a_waiver_for_a_model_excuses_that_model_alone(report, model, outcome):
    judged = excused(report, ["ece <= 0.05"], [waiver("ece", model=model)])

    assert (report.model.ref, report.model.resolved) == ("net", "timm:net")
    assert judged.gates[0].outcome is outcome
    assert [code for code in warned(judged) if code != "waiver-expires-soon"] == []


def test_a_gate_that_only_warns_can_be_excused_too(report):
    (verdict,) = excused(report, ["ece <= 0.05"], [waiver("ece")], severity=Severity.WARN).gates

    assert (verdict.outcome, verdict.failed) == (Outcome.WAIVED, False)


# --- what is said of the waivers themselves


@pytest.mark.parametrize(("days", "told"), [(15, False), (14, True), (1, True), (0, True), (-1, False)])
def test_a_waiver_that_is_needed_is_warned_of_from_14_days_before_its_end(report, days, told):
    judged = excused(report, ["ece <= 0.05"], [waiver("ece")], DAY - timedelta(days=days))

    assert warned(judged) == ["waiver-expires-soon"] * told
    assert all("`ece` until 2026-12-31" in warning.message for warning in judged.warnings)


@pytest.mark.parametrize("today", [DAY - timedelta(days=3), DAY + timedelta(days=300)])
def test_a_waiver_of_what_holds_is_warned_of_whether_it_has_ended_or_not(report, today):
    judged = excused(report, ["ece <= 0.5"], [waiver("ece")], today)

    assert warned(judged) == ["waiver-not-needed"]
    assert "what it excuses holds" in judged.warnings[0].message


def test_a_waiver_without_a_gate_is_warned_of_with_the_nearest_whatever_model_it_is_for(report):
    for model in (None, "another"):
        judged = excused(report, ["ece <= 0.05"], [waiver("eec", model=model)])
        assert warned(judged) == ["waiver-without-gate"]
        assert "nearest: `ece" in judged.warnings[0].message
        assert judged.gates[0].failed


def test_judging_again_replaces_what_was_said_of_waivers_and_nothing_else(make_report):
    report = make_report(
        share("calibration.ece", 80, better=Better.LOWER), Notice(code="softmax-outputs", message="as it was")
    )
    once = excused(report, ["ece <= 0.05"], [waiver("ece")])
    without = excused(once, ["ece <= 0.05"], [])

    assert warned(once) == ["softmax-outputs", "waiver-expires-soon"]
    assert excused(once, ["ece <= 0.05"], [waiver("ece")]) == once
    assert warned(without) == ["softmax-outputs"]
    assert without.gates[0].failed


# --- the report


def test_the_day_is_recorded_and_changes_nothing_else_until_a_waiver_changes_its_state(report):
    first, second = (
        json.loads(excused(report, ["ece <= 0.05"], [waiver("ece")], day).to_json())
        for day in (date(2026, 3, 1), date(2026, 3, 2))
    )

    assert (first["run"].pop("judged_on"), second["run"].pop("judged_on")) == ("2026-03-01", "2026-03-02")
    assert first == second
    assert first["gates"][0]["waiver"] == {"until": "2026-12-31", "reason": "a fix is under way"}


def test_the_summary_counts_what_is_waived_and_passes(report):
    judged = excused(report, ["ece <= 0.05", "top1 >= 0.7"], [waiver("ece")])

    assert judged.verdict.status == "pass"
    assert judged.verdict.counts == {"pass": 1, "pass unproven": 0, "fail": 0, "not measured": 0, "waived": 1}


def test_a_report_of_before_there_were_waivers_reads_and_is_judged(report, tmp_path):
    content = json.loads(excused(report, ["ece <= 0.05"], []).to_json())
    del content["run"]["judged_on"], content["gates"][0]["waiver"], content["verdict"]["counts"]["waived"]
    (tmp_path / "old.json").write_text(json.dumps(content))

    old = read(tmp_path / "old.json")

    assert old.run.judged_on is None
    assert old.gates[0].waiver is None
    assert outcomes(old, ["ece <= 0.05"], [waiver("ece")]) == [Outcome.WAIVED]


def test_a_foreign_reason_is_kept_as_it_is_and_acts_nowhere(report, tmp_path):
    judged = excused(report, ["ece <= 0.05"], [waiver("ece", reason=EVIL)])
    write(judged, tmp_path / "report.json")
    stream = io.StringIO()
    print_report(judged, console_for(stream))
    text = stream.getvalue()

    assert read(tmp_path / "report.json") == judged
    assert judged.gates[0].waiver.reason == EVIL
    assert "\n" not in judged.gates[0].reason
    assert not {"\x1b", "\u202e"} & set(text)
    assert "calibration.ece is 0.08, above the limit 0.05; waived until 2026-12-31: <script>" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100
    assert len(text) < 4000


# --- the exit status


def profile_of(folder: Path, text: str):
    (folder / "own.yaml").write_text(text)
    return load("own.yaml", audits=None, settings=[], limit=None, directory=folder)


WAIVED = """\
audits: [calibration]
gates: [ece <= 0.05]
waivers:
  - {gate: ece, until: 2026-12-31, reason: a fix is under way}
"""


@pytest.mark.parametrize(
    ("status", "before", "today", "after"),
    [
        (RunStatus.COMPLETE, 0, DAY, 0),
        (RunStatus.COMPLETE, 0, DAY + timedelta(days=1), 1),
        (RunStatus.PARTIAL, 3, DAY, 3),
        (RunStatus.FAILED, 3, DAY + timedelta(days=1), 3),
        (RunStatus.PARTIAL, 130, DAY, 130),
    ],
)
def test_a_scan_and_a_second_judgement_exit_alike_and_a_crash_is_never_excused(
    report, tmp_path, status, before, today, after
):
    run = report.run.model_copy(update={"status": status, "exit_code": before})
    profile = profile_of(tmp_path, WAIVED)
    scanned = judged_scan(report.model_copy(update={"run": run}), profile, (), today)
    write(report.model_copy(update={"run": run}), tmp_path / "report.json")

    again = judge_again(tmp_path, profile="own.yaml", settings=[], baseline=None, directory=tmp_path, today=today)

    assert scanned.run.exit_code == again.run.exit_code == after
    assert scanned.gates == again.gates
    assert scanned.run.judged_on == again.run.judged_on == today


def test_a_report_judged_by_its_own_gates_is_judged_by_its_own_waivers(report, tmp_path):
    own = {"gates": ["ece <= 0.05"], "waivers": [{"gate": "ece", "until": "2026-12-31", "reason": EVIL}]}
    section = report.profile.model_copy(update={"resolved": own})
    write(report.model_copy(update={"profile": section}), tmp_path / "report.json")

    def judged(*settings, today=DAY, profile=None):
        return judge_again(
            tmp_path, profile=profile, settings=settings, baseline=None, directory=tmp_path, today=today
        ).gates[0]

    assert judged().outcome is Outcome.WAIVED
    assert judged().waiver.reason == EVIL
    assert judged(today=DAY + timedelta(days=1)).failed
    assert judged("waivers=[]").failed
    assert judged("gates=[ece <= 0.05]").failed


# --- the words


def summary(report) -> str:
    stream = io.StringIO()
    print_summary(report, console_for(stream))
    return stream.getvalue().partition(" · profile")[0]


def next_step(report) -> str:
    stream = io.StringIO()
    print_report(report, console_for(stream))
    return " ".join(stream.getvalue().split("Next:")[-1].split())


def test_the_summary_says_how_many_are_waived_and_until_when(report):
    later = waiver("fgsm.asr", DAY + timedelta(days=9))
    texts = ["ece <= 0.05", "top1 >= 0.7", "fgsm.asr <= 0.1"]

    assert summary(excused(report, texts[:2], [waiver("ece")])) == "1 of 2 gates waived until 2026-12-31"
    assert summary(excused(report, texts, [later, waiver("ece")])) == (
        "2 of 3 gates waived, the first until 2026-12-31"
    )
    assert summary(excused(report, texts, [waiver("ece")])) == (
        "1 of 3 gates failed: fgsm.asr <= 0.1 (0.400) · 1 of 3 gates waived until 2026-12-31"
    )
    assert summary(excused(report, ["ece <= 0.05", "top1 >= 0.75 @95%"], [waiver("ece")])) == (
        "1 of 2 gates waived until 2026-12-31, 1 unproven"
    )


def test_the_next_step_says_when_what_is_waived_fails_again(report):
    assert next_step(excused(report, ["ece <= 0.05"], [waiver("ece")])) == (
        "what is waived fails again after 2026-12-31; mend it before then."
    )
    assert "waived" not in next_step(excused(report, ["top1 >= 0.7"], [waiver("ece")]))


def test_the_verdict_is_a_word_in_the_table_and_explained_below(report):
    stream = io.StringIO()
    judged = excused(report, ["ece <= 0.05"], [waiver("ece")])
    print_report(judged, console_for(stream))
    lines = stream.getvalue().splitlines()

    assert next(line for line in lines if " ece " in line).endswith("<= 0.05  waived")
    assert any(line.startswith("waived calibration.ece is 0.08, above the limit 0.05;") for line in lines)


def test_the_example_of_the_documentation_is_a_profile_that_does_what_the_page_says(report, tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "gates.md").read_text()
    (example,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "waivers:" in text]
    profile = profile_of(tmp_path, f"audits: [accuracy, calibration]\n{example}")
    model = report.model.model_copy(update={"ref": "resnet50.a1_in1k"})

    judged = judged_scan(report.model_copy(update={"model": model}), profile, (), DAY)

    assert [verdict.outcome for verdict in judged.gates] == [Outcome.PASS, Outcome.WAIVED]
    assert judged.gates[1].waiver.until == DAY
