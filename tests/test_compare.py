"""Two reports on the same images: their differences, and what keeps them from being compared."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repaudit.compare import Asked, Side, baseline_section, compare, compared, open_side, refuse_incomparable
from repaudit.errors import InvalidReport
from repaudit.finding import Better, Measurement, Unit
from repaudit.gates import judge
from repaudit.metrics.intervals import Discordant, bound
from repaudit.profiles import parse_gate
from repaudit.report import AuditEntry, AuditStatus, write

N = 600
BETTER = {
    "accuracy.top1": Better.HIGHER,
    "accuracy.top5": Better.HIGHER,
    "calibration.ece": Better.LOWER,
    "calibration.ece_equal_mass": Better.LOWER,
    "calibration.nll": Better.LOWER,
    "calibration.brier": Better.LOWER,
    "robustness.pgd.asr": Better.LOWER,
    "robustness.pgd.robust_accuracy": Better.HIGHER,
}


def columns_of(rng, n=N, skill=0.8):
    label = rng.integers(0, 10, n)
    right = rng.random(n) < skill
    outcome = np.where(right, rng.integers(0, 2, n), 3)
    outcome[: n // 3] = -1
    return {
        "id": np.array([f"image-{row:05d}" for row in range(n)]),
        "label": label,
        "prediction": np.where(right, label, (label + 1) % 10),
        "confidence": rng.uniform(0.3, 1.0, n),
        "top5": right | (rng.random(n) < 0.5),
        "log_p_label": -rng.exponential(0.5, n),
        "brier": rng.uniform(0, 1, n),
        "attack_pgd_outcome": outcome.astype(np.int8),
    }


def entry(name, version=1, **params):
    return AuditEntry(id=name, version=version, status=AuditStatus.OK, params=params, images_count=N)


@pytest.fixture
def side(make_report):
    def make(columns, name="now", **sections):
        findings = [
            Measurement(key=key, value=0.5, unit=Unit.FRACTION, better=better, n=N, interval_reason="made up")
            for key, better in BETTER.items()
        ]
        audits = [entry("accuracy"), entry("calibration", bins=15), entry("robustness", limit=None)]
        return Side(make_report(*findings, **{"audits": audits, **sections}), columns, name)

    return make


@pytest.fixture
def pair(side):
    rng = np.random.default_rng(1)
    return side(columns_of(rng, skill=0.75)), side(columns_of(rng, skill=0.85), "before")


def binned_error(columns, bins=15):
    """As in Guo et al. 2017, bin by bin."""
    right = columns["prediction"] == columns["label"]
    total = 0.0
    for low in np.arange(bins) / bins:
        inside = (columns["confidence"] > low) & (columns["confidence"] <= low + 1 / bins)
        if inside.any():
            total += abs((columns["confidence"][inside] - right[inside]).sum())
    return total / len(right)


EXPECTED = {
    "accuracy.top1": lambda c: -(c["prediction"] == c["label"]).mean(),
    "accuracy.top5": lambda c: -c["top5"].mean(),
    "calibration.ece": binned_error,
    "calibration.nll": lambda c: -c["log_p_label"].mean(),
    "calibration.brier": lambda c: c["brier"].mean(),
    "robustness.pgd.robust_accuracy": lambda c: -(c["attack_pgd_outcome"][N // 3 :] == 0).mean(),
}


@pytest.mark.parametrize("key", EXPECTED)
def test_worse_is_the_difference_of_the_metric_in_its_bad_direction(pair, key):
    now, before = pair

    found = compare(key, now, before)

    assert found.worse == pytest.approx(EXPECTED[key](now.columns) - EXPECTED[key](before.columns), abs=1e-9)
    assert found.interval.low <= found.worse <= found.interval.high
    assert found.n == (N - N // 3 if key.startswith("robustness") else N)
    assert found.detectable > 0


@pytest.mark.parametrize("key", BETTER)
def test_exchanging_the_reports_turns_the_sign(pair, key):
    now, before = pair

    forward, back = compare(key, now, before), compare(key, before, now)

    assert forward.worse == pytest.approx(-back.worse, abs=1e-12)
    assert forward.interval.high == pytest.approx(-back.interval.low, rel=0.15, abs=0.01)


@pytest.mark.parametrize("key", BETTER)
def test_a_report_is_no_worse_than_itself(pair, key):
    now, _ = pair

    found = compare(key, now, dataclasses.replace(now, name="itself"))

    assert found.worse == 0
    assert found.interval.low <= 0 <= found.interval.high


@pytest.mark.parametrize("key", BETTER)
def test_the_order_of_the_images_decides_nothing(pair, key, rng):
    now, before = pair
    order = rng.permutation(N)
    shuffled = dataclasses.replace(before, columns={name: each[order] for name, each in before.columns.items()})

    assert compare(key, now, shuffled) == compare(key, now, before)


def test_success_of_an_attack_is_compared_on_images_that_both_had_right(pair):
    now, before = pair
    mine, theirs = now.columns["attack_pgd_outcome"], before.columns["attack_pgd_outcome"]
    both = np.isin(mine, (0, 1)) & np.isin(theirs, (0, 1))

    found = compare("robustness.pgd.asr", now, before)

    assert found.n == both.sum()
    assert found.worse == pytest.approx((mine[both] == 1).mean() - (theirs[both] == 1).mean())
    assert isinstance(found.interval.state, Discordant)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda report: {"data": report.data.model_copy(update={"fingerprint": "other"})}, "fingerprint"),
        (lambda report: {"data": report.data.model_copy(update={"subset": "first 10"})}, "subset: first 10"),
        (lambda report: {"data": report.data.model_copy(update={"images_count": 7})}, "number: 7"),
        (lambda report: {"audits": [entry("accuracy", 2), *report.audits[1:]]}, "accuracy: version 2"),
        (lambda report: {"audits": [report.audits[0], entry("calibration", bins=10)]}, "bins is 10"),
        (lambda report: {"audits": report.audits[1:]}, "audit accuracy: not in the baseline"),
    ],
)
def test_what_is_not_the_same_is_not_compared_and_every_difference_is_listed(pair, change, told):
    now, before = pair
    other = dataclasses.replace(before, report=before.report.model_copy(update=change(before.report)))

    refuse_incomparable(Asked.of(now.report), before, ["accuracy.top1", "calibration.ece"])
    with pytest.raises(InvalidReport, match="cannot be compared") as refused:
        refuse_incomparable(Asked.of(now.report), other, ["accuracy.top1", "calibration.ece"])

    assert told in refused.value.detail
    assert "--baseline" in refused.value.remedy


def test_images_that_another_seed_chose_are_not_compared(pair):
    now, before = pair
    limited = [entry("robustness", limit=N // 2), entry("accuracy")]

    def seeded(side, seed):
        run = side.report.run.model_copy(update={"seed": seed})
        return dataclasses.replace(side, report=side.report.model_copy(update={"run": run, "audits": limited}))

    other, same = seeded(before, 1), seeded(before, 0)
    with pytest.raises(InvalidReport) as refused:
        refuse_incomparable(Asked.of(seeded(now, 0).report), other, ["robustness.pgd.asr"])

    assert "seed 1 in the baseline, 0 here" in refused.value.detail
    refuse_incomparable(Asked.of(seeded(now, 0).report), same, ["robustness.pgd.asr"])
    refuse_incomparable(Asked.of(seeded(now, 0).report), other, ["accuracy.top1"])  # of all images


def test_only_the_audits_in_question_must_agree(pair):
    now, before = pair
    audits = [*before.report.audits[:2], entry("robustness", limit=3)]
    other = dataclasses.replace(before, report=before.report.model_copy(update={"audits": audits}))

    refuse_incomparable(Asked.of(now.report), other, ["accuracy.top1"])
    with pytest.raises(InvalidReport):
        refuse_incomparable(Asked.of(now.report), other, ["robustness.pgd.asr"])


def test_preprocessing_belongs_to_the_model_and_is_a_remark(pair):
    now, before = pair
    model = before.report.model.model_copy(update={"preprocess": {"mean": [0.1]}})
    other = dataclasses.replace(before, report=before.report.model_copy(update={"model": model}))

    refuse_incomparable(Asked.of(now.report), other, ["accuracy.top1"])

    assert baseline_section(now.report, before).notes == []
    assert baseline_section(now.report, other).notes == ["the baseline is preprocessed otherwise"]


def test_a_saved_report_comes_with_its_rows_and_their_hash_is_checked(pair, tmp_path):
    now, _ = pair
    write(now.report, tmp_path / "report.json", columns=now.columns)

    opened = open_side(tmp_path)

    assert compare("calibration.ece", opened, now).worse == 0
    (tmp_path / "per_image.npz").write_bytes(b"other")
    with pytest.raises(InvalidReport, match="not the file"):
        open_side(tmp_path / "report.json")


def test_a_report_without_rows_cannot_be_a_side(pair, tmp_path):
    write(pair[0].report, tmp_path / "alone.json")

    with pytest.raises(InvalidReport, match="no per-image rows"):
        open_side(tmp_path / "alone.json")


def test_where_no_image_counts_in_both_nothing_is_compared_and_the_rest_is(pair):
    now, before = pair
    nothing = before.columns | {"attack_pgd_outcome": np.full(N, -1, dtype=np.int8)}

    report = compared(now, dataclasses.replace(before, columns=nothing), ["robustness.pgd.asr", "accuracy.top1"])

    assert list(report.comparisons) == ["accuracy.top1"]
    (verdict,) = judge(report, [parse_gate("worse(pgd.asr) <= 0.1")])
    assert verdict.failed
    assert "no image counts in both" in verdict.reason


def test_a_side_without_the_rows_of_a_metric_leaves_it_out(pair):
    now, before = pair
    bare = {name: values for name, values in now.columns.items() if name != "prediction"}

    report = compared(dataclasses.replace(now, columns=bare), before, ["calibration.nll", "accuracy.top1"])

    assert list(report.comparisons) == ["calibration.nll"]


@pytest.mark.parametrize("key", ["geometry.rms", "robustness.worst.asr", "calibration.mce"])
def test_what_is_no_function_of_the_rows_is_refused(pair, make_report, key):
    measured = Measurement(key=key, value=1.0, unit=Unit.RATIO, better=Better.LOWER, n=N, interval_reason="made up")
    now, before = (dataclasses.replace(each, report=make_report(measured)) for each in pair)

    with pytest.raises(ValueError, match="no function of the per-image columns"):
        compare(key, now, before)


def drawn(rng, n):
    """A model whose top label is right with probability confidence − .03, in random order."""
    confidence = rng.beta(4, 1.2, n)
    right = rng.random(n) < np.clip(confidence - 0.03, 0, 1)
    label = np.zeros(n, dtype=np.int64)
    return {"label": label, "prediction": np.where(right, 0, 1), "confidence": confidence}


@pytest.mark.slow
@pytest.mark.parametrize("key", ["accuracy.top1", "calibration.ece"])
def test_two_models_of_equal_truth_alarm_in_no_more_than_one_of_fifteen_draws(side, key):
    """DEFINITIONS, section 6: `worse(m) <= 0 @95%` alarms on ≤ 6.5 % of 2,000 seeded pairs, n = 1,000."""
    n, rng, alarms = 1000, np.random.default_rng(11), 0
    ids = {"id": np.array([f"{row:04d}" for row in range(n)])}
    template = side(ids)
    for _ in range(2000):
        now, before = (dataclasses.replace(template, columns=ids | drawn(rng, n)) for _ in range(2))
        alarms += bound(compare(key, now, before).interval.state, 0.95, "lower") > 0

    assert 0.01 < alarms / 2000 <= 0.065


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_equal_shares_never_prove_a_difference(seed):
    rng = np.random.default_rng(seed)
    right = rng.random(200) < 0.7
    gained = int((right & ~right[::-1]).sum())

    assert bound(Discordant(gained, gained, 200), 0.95, "lower") <= 0
