"""What a gate says, and when it fails."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from repaudit import gates
from repaudit.errors import InvalidProfile
from repaudit.finding import Better, Bounds, KeySpec, Measurement, Skipped, Unit, key_specs
from repaudit.gates.telling import beside
from repaudit.metrics.intervals import Discordant, basic_bootstrap, two_sided, wilson
from repaudit.profiles import Severity, parse_gate
from repaudit.report import AuditEntry, BaselineSection, Comparison, Outcome


def share(key: str, successes: int, n: int = 1000, better: Better = Better.HIGHER) -> Measurement:
    return Measurement(
        key=key, value=successes / n, unit=Unit.FRACTION, better=better, n=n, interval=wilson(successes, n)
    )


def bare(key: str, value: float, unit: Unit = Unit.RATIO) -> Measurement:
    return Measurement(
        key=key, value=value, unit=unit, better=Better.LOWER, n=10, interval_reason="not resampled: cost"
    )


def declared(*patterns: str) -> tuple[KeySpec, ...]:
    return key_specs(Unit.RATIO, Better.LOWER, Bounds.ANY, *patterns)


def refused(text: str, specs, elsewhere=None) -> InvalidProfile:
    with pytest.raises(InvalidProfile) as refusal:
        gates.check([parse_gate(text)], specs, elsewhere)
    return refusal.value


def judged(report, *texts):
    return gates.judge(report, [parse_gate(text) for text in texts])


def outcome(report, text: str) -> Outcome:
    return judged(report, text)[0].outcome


# --- grammar


@pytest.mark.parametrize(
    ("text", "metric", "relative", "operator", "limit", "level", "strict"),
    [
        ("top1 >= 0.79", "top1", False, ">=", 0.79, None, False),
        ("ece <= 0.05 @95%", "ece", False, "<=", 0.05, 0.95, False),
        ("ece<=.05@97.5%", "ece", False, "<=", 0.05, 0.975, False),
        ("ece <= 5e-2 @ 95 % strict", "ece", False, "<=", 0.05, 0.95, True),
        ("worse(top1) <= 0.005 @95%", "top1", True, "<=", 0.005, 0.95, False),
        ("worse( calibration.ece ) <= -0.01", "calibration.ece", True, "<=", -0.01, None, False),
        ("ood.msp.fpr_id@95ood <= 0.5 @95%", "ood.msp.fpr_id@95ood", False, "<=", 0.5, 0.95, False),
    ],
)
def test_a_gate_is_read_as_the_grammar_says(text, metric, relative, operator, limit, level, strict):
    gate = parse_gate(text)

    assert (gate.metric, gate.relative, gate.operator, gate.limit, gate.strict) == (
        metric,
        relative,
        operator,
        limit,
        strict,
    )
    assert gate.level == (level if level is None else pytest.approx(level))


@given(
    metric=st.from_regex(r"[a-z][a-z0-9_]{0,8}(\.[a-z0-9_]{1,8}){0,2}", fullmatch=True),
    relative=st.booleans(),
    at_least=st.booleans(),
    limit=st.floats(allow_nan=False, allow_infinity=False),
    ending=st.sampled_from(["", " @95%", " @99.5%", " @95% strict"]),
)
def test_reading_a_gate_and_its_text_again_gives_the_same_gate(metric, relative, at_least, limit, ending):
    operator = ">=" if at_least and not relative else "<="
    written = f"{f'worse({metric})' if relative else metric}   {operator} {limit!r}{ending}"

    gate = parse_gate(written)

    assert gate.limit == limit
    assert parse_gate(gate.text) == gate
    assert gate.point_form + ending == gate.text
    assert gate.condition == gate.text.removeprefix(f"worse({metric}) " if relative else f"{metric} ")


@pytest.mark.parametrize(
    ("slip", "mended"),
    [
        ("ece < 0.05", "ece <= 0.05"),
        ("top1 > .7 @95%", "top1 >= .7 @95%"),
        ("ece =< 0.05", "ece <= 0.05"),
        ("ece ≤ 0.05", "ece <= 0.05"),
        ("ece <= 0.05 strict", "ece <= 0.05 @95% strict"),
        ("ece <= 0.05 @95", "ece <= 0.05 @95%"),
        ("ece <= 0.05 @0.95", "ece <= 0.05 @95%"),
        ("top1 >= 75%", "top1 >= 0.75"),
        ("ece <= 0.05 @40%", "ece <= 0.05 @95%"),
        ("ece <= 0.05 @100%", "ece <= 0.05 @95%"),
        ("worse(top1) >= 0.005", "worse(top1) <= 0.005"),
        ("worse( ece )>=0 @ 95% strict", "worse( ece )<=0 @ 95% strict"),
    ],
)
def test_a_common_slip_is_refused_with_the_gate_that_was_meant(slip, mended):
    with pytest.raises(InvalidProfile) as refused:
        parse_gate(slip)

    assert slip in refused.value.problem
    assert refused.value.remedy == mended
    parse_gate(mended)


@pytest.mark.parametrize(
    "text", ["", "ece", "ece <=", "ece == 0.1", "better(ece) <= 0.1", "ece <= nan", "ece <= 1e999", "a and b <= 1"]
)
def test_what_is_no_gate_is_refused_by_name(text):
    with pytest.raises(InvalidProfile) as refused:
        parse_gate(text)

    assert f"`{text}`" in refused.value.problem


# --- judging


def test_a_gate_without_level_compares_the_value_and_the_limit_itself_holds(make_report):
    report = make_report(share("accuracy.top1", 750))

    assert outcome(report, "accuracy.top1 >= 0.75") is Outcome.PASS
    assert outcome(report, "accuracy.top1 <= 0.75") is Outcome.PASS
    assert outcome(report, "accuracy.top1 >= 0.7501") is Outcome.FAIL
    assert outcome(report, "accuracy.top1 <= 0.7499") is Outcome.FAIL


@pytest.mark.parametrize("level", [90, 95, 99])
def test_under_a_level_the_one_sided_wilson_bounds_of_scipy_are_where_verdicts_change(make_report, level):
    report = make_report(share("accuracy.top1", 812))
    two_sided = binomtest(812, 1000).proportion_ci(confidence_level=1 - 2 * (1 - level / 100), method="wilson")
    step = 1e-9

    for operator, bad, good in ((">=", two_sided.high, two_sided.low), ("<=", two_sided.low, two_sided.high)):
        outward = step if operator == ">=" else -step
        at = {
            "beyond the favourable bound": bad + outward,
            "just inside it": bad - outward,
            "before the unfavourable bound": good + outward,
            "at the proven side": good - outward,
        }
        said = {name: outcome(report, f"top1 {operator} {float(limit)!r} @{level}%") for name, limit in at.items()}
        strict = {
            name: outcome(report, f"top1 {operator} {float(limit)!r} @{level}% strict") for name, limit in at.items()
        }

        assert list(said.values()) == [Outcome.FAIL, Outcome.UNPROVEN, Outcome.UNPROVEN, Outcome.PASS]
        assert list(strict.values()) == [Outcome.FAIL, Outcome.FAIL, Outcome.FAIL, Outcome.PASS]


def test_the_bound_that_decided_stands_in_the_verdict(make_report):
    report = make_report(share("accuracy.top1", 812))
    bounds = binomtest(812, 1000).proportion_ci(confidence_level=0.9, method="wilson")

    failed, unproven, passed = judged(report, "top1 >= 0.9 @95%", "top1 >= 0.81 @95%", "top1 >= 0.7 @95%")

    assert failed.bound == pytest.approx(bounds.high, abs=1e-12)
    assert unproven.bound == passed.bound == pytest.approx(bounds.low, abs=1e-12)
    assert f"{bounds.high:.3g}" in failed.reason
    assert "not proven with n = 1,000" in unproven.reason
    assert (failed.failed, unproven.failed, passed.failed) == (True, False, False)
    assert failed.observed == 0.812


def test_a_reason_shows_enough_digits_to_tell_the_number_from_its_limit(make_report):
    verdict = judged(make_report(bare("collapse.nc1", 0.05000001)), "nc1 <= 0.05")[0]

    assert "0.05000001" in verdict.reason


def test_a_metric_that_was_skipped_fails_its_gate_and_says_why(make_report):
    report = make_report(Skipped(key="robustness.fgsm.asr", reason="no image was right to begin with"))

    verdict = judged(report, "fgsm.asr <= 0.5")[0]

    assert verdict.outcome is Outcome.NOT_MEASURED
    assert verdict.failed
    assert verdict.metric == "robustness.fgsm.asr"
    assert verdict.observed is None
    assert "no image was right" in verdict.reason


@pytest.mark.parametrize(
    ("pattern", "metric"),
    [
        ("geometry.*", "geometry.cosine.class_mean"),
        ("geometry.*", "geometry.rms"),
        ("robustness.*.asr", "robustness.pgd_w.asr"),
        ("robustness.*.asr", "pgd_w.asr"),
    ],
)
def test_a_metric_of_a_skipped_family_was_not_measured(make_report, pattern, metric):
    report = make_report(skipped={pattern: "no linear head"})

    assert outcome(report, f"{metric} <= 0.5") is Outcome.NOT_MEASURED


def test_a_family_does_not_swallow_metrics_beside_it(make_report):
    report = make_report(share("accuracy.top1", 10), skipped={"robustness.*.asr": "no gradients"})

    with pytest.raises(InvalidProfile):
        judged(report, "robustness.fgsm.margin <= 0.5")


def test_what_was_measured_before_an_audit_broke_is_judged_by_its_value(make_report):
    report = make_report(share("accuracy.top1", 750), skipped={"accuracy.top1": "the audit could not finish"})

    assert outcome(report, "top1 >= 0.7") is Outcome.PASS


def test_a_warning_gate_never_fails_the_run(make_report):
    report = make_report(
        share("accuracy.top1", 500), Skipped(key="accuracy.top5", reason="the model has only 5 classes")
    )
    warnings = [parse_gate(text, severity=Severity.WARN) for text in ("top1 >= 0.9", "top5 >= 0.9")]

    verdicts = gates.judge(report, warnings)

    assert [verdict.outcome for verdict in verdicts] == [Outcome.FAIL, Outcome.NOT_MEASURED]
    assert not any(verdict.failed for verdict in verdicts)
    assert report.with_verdicts(verdicts).verdict.status == "pass"


def test_images_without_a_verdict_take_the_proof_from_an_attack_s_gates(make_report):
    def attacked(errors: int):
        return make_report(
            share("robustness.fgsm.robust_accuracy", 900),
            share("robustness.fgsm.error_share", errors, better=Better.LOWER),
            share("robustness.pgd_w.robust_accuracy", 900),
        )

    for text in ("fgsm.robust_accuracy >= 0.5", "fgsm.robust_accuracy >= 0.5 @95%"):
        assert outcome(attacked(0), text) is Outcome.PASS
        assert outcome(attacked(1), text) is Outcome.UNPROVEN
    assert outcome(attacked(0), "fgsm.robust_accuracy >= 0.5 @95% strict") is Outcome.PASS
    assert outcome(attacked(1), "fgsm.robust_accuracy >= 0.5 @95% strict") is Outcome.FAIL
    assert outcome(attacked(1), "fgsm.robust_accuracy >= 0.95") is Outcome.FAIL
    assert outcome(attacked(1), "pgd_w.robust_accuracy >= 0.5") is Outcome.PASS
    assert outcome(attacked(1), "error_share <= 0.01") is Outcome.PASS


def test_a_level_on_a_metric_that_never_has_an_interval_is_refused_before_measuring_with_the_point_form():
    specs = key_specs(Unit.RATIO, Better.NEITHER, Bounds.NONE, "calibration.temperature")

    assert refused("temperature <= 1.5 @95% strict", specs).remedy == "temperature <= 1.5"
    gates.check([parse_gate("temperature <= 1.5")], specs)


def test_an_interval_that_few_images_left_out_is_a_failed_gate_and_leaves_the_others_judged(make_report):
    report = make_report(bare("geometry.rms", 1.4), share("accuracy.top1", 750))

    without, beside = judged(report, "rms <= 1.5 @95%", "top1 >= 0.7 @95%")

    assert (without.outcome, without.failed, without.observed) == (Outcome.NOT_MEASURED, True, 1.4)
    assert "no interval: not resampled: cost" in without.reason
    assert beside.outcome is Outcome.PASS


def test_a_level_beyond_what_the_resamples_can_say_is_refused_before_measuring(make_report, rng):
    ece = Measurement(
        key="calibration.ece",
        value=0.05,
        unit=Unit.FRACTION,
        better=Better.LOWER,
        n=1000,
        interval=basic_bootstrap(0.05, rng.normal(0.05, 0.005, 1000)),
    )
    report = make_report(ece)
    specs = key_specs(Unit.FRACTION, Better.LOWER, Bounds.RESAMPLED, "calibration.ece")

    assert outcome(report, "ece <= 0.09 @99.5%") is Outcome.PASS
    gates.check([parse_gate("ece <= 0.09 @99.5%")], specs)
    assert refused("ece <= 0.09 @99.9%", specs).remedy == "ece <= 0.09 @99.5%"
    assert outcome(report, "ece <= 0.09 @99.9%") is Outcome.NOT_MEASURED


def test_a_percentage_is_refused_before_measuring_exactly_where_a_fraction_is_declared():
    specs = key_specs(Unit.FRACTION, Better.HIGHER, Bounds.ANY, "accuracy.top1")

    assert refused("top1 >= 75 @95%", specs).remedy == "top1 >= 0.75 @95%"
    assert refused("top1 >= 1.0001 @95%", specs).remedy == "top1 >= NUMBER from 0 to 1 @95%"
    gates.check([parse_gate("nc1 <= 75")], declared("collapse.nc1"))


def test_a_short_name_of_several_declared_keys_is_refused_before_measuring():
    error = refused("asr <= 0.5", declared("robustness.fgsm.asr", "robustness.worst.asr"))

    assert error.detail == "robustness.fgsm.asr, robustness.worst.asr"
    assert error.remedy == "robustness.fgsm.asr <= 0.5"


def test_a_key_that_other_parameters_would_give_is_refused_with_those_parameters():
    error = refused("pgd_s.asr <= 0.5", declared("robustness.fgsm.asr"), {"robustness.pgd_s.asr": "--set x=y"})

    assert error.remedy == "--set x=y"
    assert "robustness.pgd_s.asr" in error.problem


@pytest.mark.parametrize(("better", "operator"), [(Better.LOWER, "<="), (Better.HIGHER, ">=")])
def test_the_limit_that_replaces_a_comparison_points_the_way_in_which_the_metric_is_good(better, operator):
    specs = key_specs(Unit.FRACTION, better, Bounds.ANY, "a.metric")

    assert f"metric {operator} NUMBER" in refused("worse(metric) <= 0.01", specs).remedy


@pytest.mark.parametrize("better", list(Better))
def test_the_limit_that_replaces_a_comparison_is_not_refused_in_its_turn(better):
    specs = key_specs(Unit.RATIO, better, Bounds.NONE, "a.metric")
    remedy = refused("worse(metric) <= 0.01 @95%", specs).remedy

    gates.check([parse_gate(remedy.partition("such as ")[2].replace("NUMBER", "2"))], specs)


def test_a_short_name_means_what_was_declared_even_where_its_whole_family_was_skipped(make_report):
    report = make_report(skipped={"collapse.*": "only one class has images"})

    verdict = gates.judge(report, [parse_gate("nc1 <= 1")], declared("collapse.nc1", "collapse.nc3"))[0]

    assert (verdict.outcome, verdict.metric) == (Outcome.NOT_MEASURED, "collapse.nc1")
    assert "only one class" in verdict.reason


def test_a_declared_key_of_which_nothing_was_said_is_a_failed_gate_and_no_error(make_report):
    verdict = gates.judge(make_report(), [parse_gate("nc1 <= 1")], declared("collapse.nc1"))[0]

    assert verdict.outcome is Outcome.NOT_MEASURED


def test_a_percentage_where_a_fraction_is_meant_is_refused_with_the_fraction(make_report):
    report = make_report(share("accuracy.top1", 750), bare("calibration.temperature", 1.4))

    with pytest.raises(InvalidProfile) as refused:
        judged(report, "top1 >= 75 @95%")

    assert refused.value.remedy == "top1 >= 0.75 @95%"
    assert outcome(report, "temperature <= 1.5") is Outcome.PASS


def test_an_unknown_metric_is_refused_with_the_nearest(make_report):
    with pytest.raises(InvalidProfile) as refused:
        judged(make_report(share("accuracy.top1", 750)), "tpo1 >= 0.5")

    assert refused.value.remedy == "top1 >= 0.5"
    assert refused.value.exit_status == 2


def test_a_short_name_of_several_metrics_is_refused_with_all_of_them(make_report):
    report = make_report(share("robustness.fgsm.asr", 1), share("robustness.pgd_w.asr", 1))

    with pytest.raises(InvalidProfile) as refused:
        judged(report, "asr <= 0.5")

    assert "robustness.fgsm.asr, robustness.pgd_w.asr" in refused.value.detail
    assert outcome(report, "fgsm.asr <= 0.5") is Outcome.PASS


def test_a_short_name_is_matched_by_whole_segments(make_report):
    report = make_report(share("calibration.ece", 10), share("calibration.smooth_ece", 20))

    assert judged(report, "ece <= 0.5")[0].metric == "calibration.ece"


def test_a_comparison_with_a_baseline_is_refused_before_and_after_measuring(make_report):
    gate = parse_gate("worse(top1) <= 0.005 @95%")

    for refuse in (
        lambda: gates.check([gate], declared("accuracy.top1")),
        lambda: gates.judge(make_report(share("accuracy.top1", 1)), [gate]),
    ):
        with pytest.raises(InvalidProfile, match="baseline"):
            refuse()


def test_gates_are_checked_against_what_the_audits_can_yield():
    patterns = declared("accuracy.top1", "calibration.ece", "geometry.cosine.*", "robustness.*.asr", "a.rms", "b.rms")

    gates.check(
        [parse_gate(f"{name} <= 0.5") for name in ("top1", "geometry.cosine.class_mean", "fgsm.asr", "asr", "a.rms")],
        patterns,
    )
    for unknown in ("top5", "geometry.rms", "fgsm.margin", "accuracy.top1.x", "rms"):
        with pytest.raises(InvalidProfile):
            gates.check([parse_gate(f"{unknown} <= 0.5")], patterns)


def test_the_summary_counts_every_outcome(make_report):
    report = make_report(share("accuracy.top1", 812))
    report = report.with_verdicts(judged(report, "top1 >= 0.9", "top1 >= 0.8", "top1 >= 0.81 @95%"))

    assert report.verdict.status == "fail"
    assert report.verdict.counts == {"pass": 1, "pass unproven": 1, "fail": 1, "not measured": 0, "waived": 0}
    assert make_report().verdict.status == "no gates"


def test_verdicts_come_in_the_order_of_the_gates_whatever_the_audits(make_report):
    report = make_report(share("accuracy.top1", 812), bare("collapse.nc1", 0.5))
    extra = AuditEntry(id="geometry", version=1, status="ok", params={}, images_count=5)
    report = report.model_copy(update={"audits": [extra, *report.audits]})
    texts = ["nc1 <= 1", "top1 >= 0.5", "collapse.nc1 <= 2"]

    assert [verdict.gate for verdict in judged(report, *texts)] == texts


def test_a_gate_is_a_value_that_never_changes():
    gate = parse_gate("ece <= 0.05")

    assert replace(gate, severity=Severity.WARN) != gate
    assert hash(gate) == hash(parse_gate("ece  <=  0.05"))


def test_what_fails_by_its_value_is_never_proven_good_by_a_reflected_bound(make_report):
    replicates = np.linspace(0.02, 0.06, 1000)
    ece = Measurement(
        key="calibration.ece", value=0.02, unit=Unit.FRACTION, better=Better.LOWER, n=1000,
        interval=basic_bootstrap(0.02, replicates),
    )  # fmt: skip
    report = make_report(ece)

    assert ece.interval.high <= 0.02
    assert outcome(report, "ece <= 0.0195") == Outcome.FAIL
    assert outcome(report, "ece <= 0.0195 @95% strict") == Outcome.FAIL
    assert outcome(report, "ece <= 0.0195 @95%") == Outcome.UNPROVEN


@pytest.mark.parametrize("n", [11, 13, 17, 1000])
def test_a_limit_that_all_images_reach_is_not_proven_bad(make_report, n):
    report = make_report(share("accuracy.top1", n, n), share("robustness.fgsm.error_share", 0, n, Better.LOWER))

    assert outcome(report, "top1 >= 1 @95%") == Outcome.UNPROVEN
    assert outcome(report, "error_share <= 0 @95%") == Outcome.UNPROVEN


def test_a_baseline_with_images_without_a_verdict_proves_nothing(make_report):
    share = Measurement(
        key="robustness.fgsm.robust_accuracy", value=0.5, unit=Unit.FRACTION, better=Better.HIGHER, n=200,
        interval=wilson(100, 200),
    )  # fmt: skip
    beside = Comparison(
        value=0.5, baseline=0.4, worse=-0.1, unit=Unit.FRACTION, better=Better.HIGHER, n=200,
        interval=two_sided(Discordant(10, 30, 200), "mcnemar-score-tango"), interval_reason=None, detectable=0.05,
        baseline_error_share=0.3,
    )  # fmt: skip
    section = BaselineSection(sha256="0" * 64, model="before", weights_sha256="1" * 64)
    report = make_report(share).model_copy(update={"baseline": section, "comparisons": {share.key: beside}})

    (verdict,) = gates.judge(report, [parse_gate("worse(robustness.fgsm.robust_accuracy) <= 0.005")])
    sound = report.model_copy(
        update={"comparisons": {share.key: beside.model_copy(update={"baseline_error_share": 0.0})}}
    )

    assert verdict.outcome == Outcome.UNPROVEN
    assert "30 % of the baseline's images gave no finite logits" in verdict.reason
    assert (
        gates.judge(sound, [parse_gate("worse(robustness.fgsm.robust_accuracy) <= 0.005")])[0].outcome == Outcome.PASS
    )


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_a_number_stands_on_the_side_of_its_limit_on_which_it_is(value, limit):
    shown = float(beside(value, limit))

    assert (shown < limit, shown > limit) == (value < limit, value > limit)


def test_a_share_just_below_its_limit_is_not_rounded_above_it(make_report):
    report = make_report(share("accuracy.top1", 852, 900))

    (verdict,) = gates.judge(report, [parse_gate("top1 >= 0.9469")])

    assert verdict.reason == "accuracy.top1 is 0.9467, below the limit 0.9469."


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ("worse(top1) <= 0.005 @95%", "beyond the limit fails this gate four times of five"),
        ("worse(top1) <= 0.5 @95% strict", "passes four times of five only if its true worsening is"),
        ("worse(top1) <= 0.5", "@95% would tell a true worsening by"),
    ],
)
def test_a_relative_gate_tells_what_it_can_tell_of_its_own_condition(make_report, gate, told):
    top1 = share("accuracy.top1", 852, 900)
    compared = Comparison(
        value=0.947, baseline=0.963, worse=0.016, unit=Unit.FRACTION, better=Better.HIGHER, n=900,
        interval=two_sided(Discordant(25, 11, 900), "mcnemar-score-tango"), interval_reason=None, detectable=0.0165,
    )  # fmt: skip
    section = BaselineSection(sha256="0" * 64, model="before", weights_sha256="1" * 64)
    report = make_report(top1).model_copy(update={"baseline": section, "comparisons": {top1.key: compared}})

    (verdict,) = gates.judge(report, [parse_gate(gate)])

    assert told in verdict.reason
    # the standard error of a difference of 25 and 11 discordant pairs, by hand: sqrt(36 - 14² / 900) / 900
    error = (36 - 14**2 / 900) ** 0.5 / 900
    assert f"{(1.6448536 + 0.8416212) * error:.3g}" in verdict.reason
