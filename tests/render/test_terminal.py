"""The terminal report fits, says what failed and why, and lets no foreign name act."""

import io
import re

import numpy as np
import pytest

from repaudit import gates
from repaudit.finding import Better, Figure, Measurement, Notice, Skipped, Unit
from repaudit.metrics.intervals import Interval, Mean, basic_bootstrap, wilson
from repaudit.profiles import Severity, load, parse_gate
from repaudit.render.plain import number, safe, value_and_interval
from repaudit.render.terminal import console_for, print_report, print_summary
from repaudit.report import AuditEntry, Metric, RunStatus

ESCAPE = re.compile(r"\x1b")


def share(key: str, successes: int, n: int = 1000) -> Measurement:
    return Measurement(
        key=key,
        value=successes / n,
        unit=Unit.FRACTION,
        better=Better.HIGHER,
        n=n,
        interval=wilson(successes, n),
    )


def bare(key: str, value: float) -> Measurement:
    return Measurement(
        key=key, value=value, unit=Unit.RATIO, better=Better.LOWER, n=1000, interval_reason="not resampled: cost"
    )


def printed(report, *, verbose: bool = False) -> str:
    stream = io.StringIO()
    print_report(report, console_for(stream), verbose=verbose)
    return stream.getvalue()


def judged(report, *texts: str, severity: Severity = Severity.FAIL):
    return report.with_verdicts(gates.judge(report, [parse_gate(text, severity=severity) for text in texts]))


def row(text: str, metric: str) -> str:
    return next(line for line in text.splitlines() if re.search(rf"(^| ){re.escape(metric)} ", line))


def measured(key: str, value: float, low: float, high: float) -> Measurement:
    interval = Interval(level=0.95, low=low, high=high, method="student-t", state=Mean(value, 0.1, 100))
    return Measurement(key=key, value=value, unit=Unit.FRACTION, better=Better.NEITHER, n=100, interval=interval)


@pytest.fixture
def calibrated(make_report):
    """A report in which every family of headlines occurs."""
    keys = {
        "calibration.ece": 0.062,
        "calibration.null_ece": 0.032,
        "calibration.temperature": 1.4,
        "calibration.ece_heldout": 0.062,
        "calibration.ece_after_temperature": 0.009,
        "calibration.feature_scale": 0.71,
        "calibration.ece_after_feature_scale": 0.009,
        "geometry.pearson.class_mean": 0.56,
        "geometry.pearson.minimum_loss": 0.62,
        "geometry.spearman.weight_centered_predicted": 0.5,
        "cones.never_share": 0.981,
        "robustness.fgsm.asr": 0.4,
        "robustness.fgsm.robust_accuracy": 0.6,
        "robustness.fgsm.error_share": 0.0,
        "robustness.pgd_w.asr": 0.97,
        "robustness.worst.asr": 0.98,
    }
    gap = measured("calibration.signed_gap", 0.07, 0.05, 0.09)
    return make_report(share("accuracy.top1", 812), gap, *(bare(key, value) for key, value in keys.items()))


def test_no_line_is_longer_than_100_columns_and_none_ends_in_blanks(calibrated):
    for verbose in (False, True):
        report = judged(
            calibrated, "top1 >= 0.9 @95% strict", "robustness.pgd_w.asr <= 0.5", "pgd_w.asr <= 0.25000000000000001"
        )
        lines = printed(report, verbose=verbose).splitlines()

        assert max(len(line) for line in lines) <= 100
        assert [line for line in lines if line != line.rstrip()] == []


def test_the_table_names_its_columns_and_puts_the_verdict_beside_its_metric(calibrated):
    text = printed(judged(calibrated, "top1 >= 0.9 @95%", "ece <= 0.1"))
    low, high = wilson(812, 1000).low, wilson(812, 1000).high

    assert "Audit Metric Value 95% interval n Gate Verdict" in re.sub(" +", " ", text)
    assert re.sub(" +", " ", row(text, "top1")) == f"accuracy top1 0.812 {low:.3f} – {high:.3f} 1,000 >= 0.9 @95% FAIL"
    assert re.sub(" +", " ", row(text, "ece")) == "calibration ece 0.0620 1,000 <= 0.1 pass"


def test_each_failure_is_explained_by_the_number_that_decided(calibrated):
    report = judged(calibrated, "top1 >= 0.9 @95%", "fgsm.asr <= 0.1")
    text = " ".join(printed(report).split())

    for verdict in report.gates:
        assert f"FAIL {verdict.reason}" in text
    assert "2 of 2 gates failed" in text


def test_passing_without_proof_is_marked_and_explained(calibrated):
    text = printed(judged(calibrated, "top1 >= 0.81 @95%"))

    assert row(text, "top1").endswith("pass ~")
    assert "~ accuracy.top1 is 0.812, but its one-sided 95 % lower bound" in text
    assert "the gate holds, unproven" in text


def test_a_gate_on_something_skipped_has_a_row_and_its_reason(make_report):
    report = make_report(share("accuracy.top1", 812), Skipped(key="robustness.fgsm.asr", reason="nothing to break"))
    text = printed(judged(report, "fgsm.asr <= 0.5"))

    assert row(text, "fgsm.asr").endswith("NOT MEASURED")
    assert "· robustness.fgsm.asr: nothing to break" in text
    assert "1 of 1 gates failed" in text


def test_a_warning_is_a_word_and_fails_nothing(calibrated):
    text = printed(judged(calibrated, "top1 >= 0.9", severity=Severity.WARN))

    assert row(text, "top1").endswith("warn: fail")
    assert "failed" not in text.splitlines()[-2]


def test_headlines_come_first_and_everything_else_with_verbose(calibrated):
    short, full = printed(calibrated), printed(calibrated, verbose=True)
    hidden = "spearman.weight_centered_predicted"

    assert hidden not in short
    assert hidden in full
    shown = [key for key in calibrated.metrics if f" {key.partition('.')[2]} " in short]
    assert f"{len(calibrated.metrics) - len(shown)} more metrics with -v" in short
    assert "more metrics" not in full
    assert all(f" {key.partition('.')[2]} " in full for key in calibrated.metrics)


def test_a_metric_with_a_gate_is_never_hidden(calibrated):
    text = printed(judged(calibrated, "geometry.spearman.weight_centered_predicted >= 0.4"))

    assert row(text, "spearman.weight_centered_predicted").endswith("pass")


def test_images_without_a_verdict_are_shown_as_soon_as_there_is_one(make_report):
    assert "error_share" not in printed(make_report(bare("robustness.fgsm.error_share", 0.0)))
    assert "error_share" in printed(make_report(bare("robustness.fgsm.error_share", 0.001)))


def test_a_family_nobody_foresaw_is_shown_whole(make_report):
    text = printed(make_report(bare("novelty.one", 1.0), bare("novelty.two", 2.0)))

    assert row(text, "one")
    assert row(text, "two")


def test_the_numbers_are_put_in_words(calibrated):
    text = " ".join(printed(calibrated).split())

    assert (
        "Over-confident by 7.0 points; on the held-out half temperature 1.40 takes ECE from 0.062 to 0.009, "
        "and scaling the features by 0.710 takes it to 0.009."
    ) in text
    assert "The most successful attack, pgd_w, breaks 97.0 % of the right answers (saturated" in text
    assert "98.1 % of the right answers stay right" in text


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        (0.05, "Over-confident by 5.0 points"),
        (-0.05, "Under-confident by 5.0 points"),
        (0.001, "no more than sampling"),
    ],
)
def test_over_and_under_confidence_are_claimed_only_beyond_sampling(make_report, gap, said):
    assert said in printed(make_report(measured("calibration.signed_gap", gap, gap - 0.01, gap + 0.01)))


def test_a_binned_error_within_the_band_of_a_perfect_model_does_not_deny_a_gap_that_is_proven(make_report):
    gap = measured("calibration.signed_gap", -0.005, -0.006, -0.004)
    within = Notice(code="calibration-error-within-chance", message="no more than a perfectly calibrated model shows")
    text = printed(make_report(gap, bare("calibration.ece", 0.004), bare("calibration.null_ece", 0.003), within))

    assert "more than chance explains" not in text
    assert "Under-confident by 0.5 points, which its binned error is too coarse to show on so few images." in text


def test_an_association_that_the_interval_does_not_tell_from_none_is_not_claimed(make_report):
    keys = ("geometry.pearson.class_mean", "geometry.pearson.minimum_loss")
    text = " ".join(printed(make_report(*(measured(key, 0.02, -0.9, 0.9) for key in keys))).split())

    assert "is associated with" not in text
    assert "With 100 images no association" in text


def test_ranks_are_the_headline_where_the_audit_says_so_and_the_others_mean_where_classes_are_small(make_report):
    names = ("class_mean", "class_mean_loo", "minimum_loss")
    values = {f"geometry.{kind}.{name}": size for kind, size in (("pearson", 0.5), ("spearman", 0.9)) for name in names}
    few = Notice(code="few-images-per-class", message="few")
    centers = Figure(key="geometry.centers", data={"headline_correlation": "spearman"})
    text = printed(make_report(*(measured(key, value, 0.4, 0.95) for key, value in values.items()), few, centers))

    assert "Spearman +0.90" in text
    assert "class mean (of the others)" in " ".join(text.split())
    assert "pearson.minimum_loss" not in text
    assert row(text, "spearman.class_mean_loo")


def test_a_temperature_that_does_not_help_is_not_recommended(make_report):
    report = make_report(
        bare("calibration.signed_gap", 0.01),
        bare("calibration.ece", 0.02),
        bare("calibration.temperature", 1.2),
        bare("calibration.ece_heldout", 0.01),
        bare("calibration.ece_after_temperature", 0.02),
    )
    text = " ".join(printed(judged(report, "ece <= 0.001")).split())

    assert "temperature 1.20 does not lower ECE" in text
    assert "divide the logits" not in text


def test_the_last_line_says_what_to_do_next(calibrated):
    assert "repaudit.yaml" in printed(calibrated).split("Next:")[-1]
    assert "divide the logits by 1.40" in printed(judged(calibrated, "ece <= 0.05")).split("Next:")[-1]
    assert "more images" in printed(judged(calibrated, "top1 >= 0.81 @95%")).split("Next:")[-1]
    stopped = calibrated.model_copy(update={"run": calibrated.run.model_copy(update={"status": RunStatus.PARTIAL})})
    assert "the same command again" in printed(stopped).split("Next:")[-1]


@pytest.mark.parametrize(
    ("scanned", "file", "audits"),
    [("quick", "repaudit.yaml", 5), ("standard", "repaudit.yaml", 7), ("pyproject.toml", "pyproject.toml", 5)],
)
def test_the_gates_that_are_advised_can_be_pasted_into_the_file_that_is_named(
    calibrated, tmp_path, scanned, file, audits
):
    section = calibrated.profile.model_copy(update={"name": scanned})
    advice = " ".join(printed(calibrated.model_copy(update={"profile": section})).split("Next:")[-1].split())
    text = re.search("`(.+)`", advice)[1]
    (tmp_path / file).write_text(f"[tool.repaudit]\n{text}" if file.endswith(".toml") else text)

    found = load(None, audits=None, settings=[], limit=None, directory=tmp_path)

    assert f"into {file}" in advice
    assert ("without --profile" in advice) == (file == "repaudit.yaml")
    assert [gate.text for gate in found.gates] == ["top1 >= 0.75", "ece <= 0.05 @95%"]
    assert len(found.audits) == audits


def test_gates_are_advised_only_on_what_was_measured(make_report):
    advice = printed(make_report(share("accuracy.top1", 812))).split("Next:")[-1]

    assert "top1 >= 0.75" in advice
    assert "ece" not in advice


def test_an_audit_that_broke_is_named_with_its_reason(make_report):
    broken = AuditEntry(id="cones", version=1, status="error", reason="ValueError: x", params={}, images_count=5)
    text = printed(make_report(share("accuracy.top1", 1), audits=[broken]))

    assert "cones could not finish: ValueError: x" in text


def test_foreign_names_cannot_colour_move_or_mark_up(make_report):
    evil = "\x1b[31mred\x07\r\nnew line [bold]markup[/bold] :smile: \u202edrowssap \x9b2J"
    report = make_report(share("accuracy.top1", 812), Notice(code="x", message=evil))
    report = report.model_copy(
        update={
            "model": report.model.model_copy(update={"resolved": evil}),
            "data": report.data.model_copy(update={"ref": evil + "x" * 10_000, "subset": evil}),
            "audits": [AuditEntry(id=evil, version=1, status="error", reason=evil, params={}, images_count=1)],
        }
    )
    text = printed(report)

    assert ESCAPE.search(text) is None
    assert not set("\x07\r\u202e\x9b") & set(text)
    assert "[bold]markup[/bold] :smile:" in " ".join(text.split())
    assert "\\x1b[31mred\\x07\\r\\n" in text
    assert len(text) < 5000


def test_a_terminal_gets_colours_and_no_color_takes_them_away(calibrated, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    report = judged(calibrated, "top1 >= 0.9")
    coloured, plain = Terminal(), Terminal()
    print_report(report, console_for(coloured))
    monkeypatch.setenv("NO_COLOR", "1")
    print_report(report, console_for(plain))

    assert "\x1b[1;31mFAIL" in coloured.getvalue()
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", plain.getvalue()) is None
    without = [re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()) for stream in (coloured, plain)]
    assert without[0] == without[1] == printed(report)


def test_a_pipe_is_100_columns_wide_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")

    assert console_for(io.StringIO()).width == 100


def test_a_stream_that_knows_only_ascii_is_no_error(calibrated):
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    print_report(calibrated, console_for(stream))
    stream.flush()

    assert b"accuracy" in buffer.getvalue()


def test_the_summary_is_one_line(calibrated):
    stream = io.StringIO()
    print_summary(judged(calibrated, "top1 >= 0.9", "ece <= 0.1"), console_for(stream))

    assert stream.getvalue() == "1 of 2 gates failed: top1 >= 0.9 (0.812) · profile quick · scanned in 1.5 s\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.0, "1.00"), (0.05, "0.0500"), (0.00012345, "0.000123"), (1234.5, "1,234"), (-2.5, "-2.50")],
)
def test_a_number_shows_three_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize("value", [1e-9, -1e-5, 3.21e7, 1e300])
def test_numbers_far_from_one_keep_their_size(value):
    assert float(number(value)) == pytest.approx(value, rel=0.005)


@pytest.mark.parametrize("half_width", [0.3, 0.011, 0.0035, 2.0, 40.0])
def test_an_interval_is_printed_to_a_tenth_of_its_width_or_better(half_width):
    low, high = 5.123456 - half_width, 5.123456 + half_width
    interval = Interval(level=0.95, low=low, high=high, method="student-t", state=Mean(5.123456, 1.0, 10))
    metric = Metric(
        value=5.123456, unit="ratio", better="lower", n=10, interval=interval, interval_reason=None, note=""
    )

    value, bounds = value_and_interval(metric)

    printed_low, printed_high = (float(part) for part in bounds.split(" – "))
    for shown, exact in ((float(value), 5.123456), (printed_low, low), (printed_high, high)):
        assert abs(shown - exact) <= half_width / 10


def test_long_names_are_shortened_in_the_middle():
    assert safe("a" * 50 + "b" * 50, 11) == "aaaaa…bbbbb"
    assert safe("short", 11) == "short"


def test_what_nobody_misses_is_shown_only_to_those_who_want_everything(make_report):
    report = make_report(
        Skipped(key="a.b", reason="not needed: it would say nothing"), Skipped(key="a.c", reason="gone")
    )

    assert "would say nothing" not in printed(report)
    assert "gone" in printed(report)
    assert "would say nothing" in printed(report, verbose=True)


def test_every_attack_is_shown_with_its_radius_and_the_strongest_is_named_with_its_own(make_report):
    def attack(key, norm, epsilon, asr):
        return (
            Figure(key=f"robustness.{key}.verdicts", data={"norm": norm, "epsilon": epsilon, "n": 1000}),
            measured(f"robustness.{key}.asr", asr, asr - 0.01, asr + 0.01),
        )

    text = printed(
        make_report(
            *attack("fgsm", "linf", 8 / 255, 0.3),
            *attack("pgd_s", "linf", 8 / 255, 0.4),
            *attack("far", "l2", 0.5, 0.2),
        )
    )

    assert "radius: far l2 0.5; fgsm, pgd_s linf 8/255" in text
    assert "The most successful attack, pgd_s (linf 8/255), breaks 40.0 %" in " ".join(text.split())


@pytest.mark.parametrize("epsilon", [10**400, True, -1.0, 0, "8/255", None])
def test_a_radius_that_is_none_is_not_shown(make_report, epsilon):
    figure = Figure(key="robustness.fgsm.verdicts", data={"norm": "linf", "epsilon": 0.1})
    report = make_report(figure, measured("robustness.fgsm.asr", 0.3, 0.2, 0.4))
    report.figures["robustness.fgsm.verdicts"]["epsilon"] = epsilon

    text = printed(report)

    assert "radius:" not in text
    assert "The most successful attack, fgsm, breaks" in text


def test_every_shown_value_that_its_interval_does_not_hold_is_explained(make_report):
    def error(key, value, *replicates):
        interval = basic_bootstrap(value, np.repeat(replicates, 100))
        return Measurement(key=key, value=value, unit=Unit.FRACTION, better=Better.LOWER, n=50, interval=interval)

    # reflected about .10, resamples of .22 to .24 give −.04 to −.02, cut at 0; those of .08 to .12 hold .10
    beside = [error(f"calibration.{name}", 0.10, 0.22, 0.24) for name in ("ece", "ece_heldout")]
    held = error("calibration.ece_after_temperature", 0.10, 0.08, 0.12)
    told = " ".join(printed(make_report(*beside, held)).split())

    assert "calibration.ece, calibration.ece_heldout lie outside the interval beside it" in told
    assert "ece_after_temperature lie" not in told
    assert "outside the interval" not in printed(make_report(held))
