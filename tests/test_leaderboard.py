"""Models side by side: who is told apart, what keeps a pair from being made, and that order decides nothing."""

import hashlib
import io
import json
import math

import numpy as np
import pytest

from repaudit.compare import compare, open_side
from repaudit.errors import InvalidReport, UsageError
from repaudit.finding import Better
from repaudit.leaderboard import Leaderboard, Standing, leaderboard
from repaudit.leaderboard.columns import order
from repaudit.published import Paper
from repaudit.report import RunStatus

N = 100


def right(gained: int, lost: int) -> np.ndarray:
    """60 of 100 right in both; `gained` more that the other has wrong, `lost` fewer."""
    answers = np.arange(N) < 60
    answers[60 : 60 + gained] = True
    answers[:lost] = False
    return answers


REFERENCE = right(0, 0)


def shares(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.3, 0.99, N)


@pytest.fixture
def three(save_report):
    """A reference, a model that is better at top1, and one that is worse at everything."""
    outcome = np.where(REFERENCE, 0, 3)
    return [
        save_report("reference", REFERENCE, confidence=shares(1), outcome=outcome),
        save_report("better", right(12, 1), confidence=shares(2), outcome=np.where(right(12, 1), 0, 3)),
        save_report("worse", right(1, 20), confidence=shares(3), outcome=np.where(right(1, 20), 1, 3)),
    ]


def by_name(board: Leaderboard):
    return {row.name: row for row in board.rows}


# --- what is told apart


@pytest.mark.parametrize(
    ("gained", "lost", "standing"),
    [
        (9, 1, Standing.BETTER),  # McNemar: (9 − 1)/√10 = 2.53, beyond 1.96
        (6, 2, Standing.UNPROVEN),  # (6 − 2)/√8 = 1.41
        (1, 9, Standing.WORSE),
        (5, 0, Standing.BETTER),  # √5 = 2.24
        (3, 0, Standing.UNPROVEN),  # √3 = 1.73
        (0, 0, Standing.UNPROVEN),
    ],
)
def test_accuracy_is_told_apart_exactly_where_mcnemars_test_says_so(save_report, gained, lost, standing):
    paths = [save_report("one", REFERENCE), save_report("other", right(gained, lost))]

    cell = leaderboard(paths).rows[1].cells["accuracy.top1"]

    assert cell.value == pytest.approx((60 + gained - lost) / 100)
    assert cell.difference.value == pytest.approx((gained - lost) / 100)
    assert cell.difference.n == N
    assert cell.difference.low < cell.difference.value < cell.difference.high
    assert cell.standing is standing
    z = (gained - lost) / math.sqrt(max(gained + lost, 1))
    assert (cell.standing is not Standing.UNPROVEN) == (abs(z) > 1.959964)


def test_a_difference_has_the_sign_of_the_metric_and_its_standing_the_sense_of_its_direction(three):
    rows = by_name(leaderboard(three, everything=True))
    confident = {name: shares(seed) for name, seed in (("reference", 1), ("worse", 3))}
    likely = {
        name: np.where(answers, confident[name], 1 - confident[name])
        for name, answers in (("reference", REFERENCE), ("worse", right(1, 20)))
    }

    nll = rows["worse"].cells["calibration.nll"].difference
    asr = rows["worse"].cells["robustness.fgsm.asr"]

    assert nll.value == pytest.approx((np.log(likely["reference"]) - np.log(likely["worse"])).mean())
    assert asr.difference.value == 1.0  # all 40 that both have right hold here and break there
    assert asr.difference.n == 40
    assert asr.standing is Standing.WORSE
    assert rows["worse"].cells["robustness.fgsm.robust_accuracy"].difference.value == -0.6
    assert rows["better"].cells["accuracy.top1"].standing is Standing.BETTER


def test_win_and_loss_are_counted_by_metric(three):
    rows = by_name(leaderboard(three, metrics=["top1", "fgsm.robust_accuracy", "fgsm.asr", "rms"]))

    assert rows["better"].tally.better == ["accuracy.top1", "robustness.fgsm.robust_accuracy"]
    assert rows["better"].tally.unproven == ["robustness.fgsm.asr"]
    assert rows["worse"].tally.worse == ["accuracy.top1", "robustness.fgsm.robust_accuracy", "robustness.fgsm.asr"]
    tally = rows["reference"].tally
    assert tally.better == tally.worse == tally.unproven == tally.unpaired == []


def test_a_report_beside_itself_differs_by_exactly_nothing(three):
    board = leaderboard([three[0], three[0]], everything=True)
    own, again = board.rows

    assert [own.name, again.name] == [f"reference ({three[0]}) #1", f"reference ({three[0]}) #2"]
    assert all(cell.difference is None and cell.standing is None for cell in own.cells.values())
    paired = [again.cells[column.key] for column in board.columns if column.paired]
    assert len(paired) == 6
    assert {cell.difference.value for cell in paired} == {0.0}
    assert {math.copysign(1, cell.difference.value) for cell in paired} == {1.0}
    assert {cell.standing for cell in paired} == {Standing.UNPROVEN}
    assert "the same weights as the reference" in again.notes


def test_the_order_of_the_others_changes_no_number(three):
    reference, one, other = three

    assert by_name(leaderboard([reference, one, other])) == by_name(leaderboard([reference, other, one]))


@pytest.mark.parametrize("key", ["accuracy.top1", "calibration.ece", "calibration.nll", "robustness.fgsm.asr"])
def test_exchanging_the_reference_turns_the_sign(three, key):
    forward = leaderboard([three[0], three[2]], everything=True).rows[1].cells[key]
    back = leaderboard([three[2], three[0]], everything=True).rows[1].cells[key]
    opposite = {Standing.BETTER: Standing.WORSE, Standing.WORSE: Standing.BETTER}

    assert forward.difference.value == -back.difference.value
    assert forward.difference.low == pytest.approx(-back.difference.high, rel=0.15, abs=0.01)
    assert back.standing is opposite.get(forward.standing, forward.standing)


@pytest.mark.parametrize("key", ["accuracy.top1", "calibration.ece", "calibration.nll", "robustness.fgsm.asr"])
def test_a_gate_beside_the_same_baseline_sees_the_same_numbers(three, key):
    cell = leaderboard(three, everything=True).rows[2].cells[key]
    worse = compare(key, open_side(three[2]), open_side(three[0]))
    sign = -1 if worse.better is Better.HIGHER else 1

    assert cell.difference.value == sign * worse.worse
    assert sorted([cell.difference.low, cell.difference.high]) == sorted(
        [sign * worse.interval.low, sign * worse.interval.high]
    )
    assert cell.difference.detectable == worse.detectable


def test_as_many_chance_findings_are_told_as_five_percent_of_the_comparisons(three):
    found = leaderboard(three, metrics=["top1", "nll", "rms"]).false_findings

    assert (found.comparisons, found.level, found.expected) == (4, 0.95, 0.2)


def test_images_without_a_verdict_take_the_proof_away(save_report):
    lost = np.where(REFERENCE, 1, 3)
    lost[0] = 2
    paths = [
        save_report("one", REFERENCE, outcome=np.where(REFERENCE, 0, 3)),
        save_report("other", REFERENCE, outcome=lost),
    ]

    board = leaderboard(paths)
    cell = board.rows[1].cells["robustness.fgsm.robust_accuracy"]

    assert cell.difference.high < 0
    assert cell.standing is Standing.UNPROVEN
    assert "1 % of the images gave no finite logits" in cell.reason
    assert "robustness.fgsm.error_share" in [column.key for column in board.columns]


def test_resamples_of_too_few_pairs_prove_nothing(save_report):
    few = np.arange(10) < 5
    cell = leaderboard([save_report("one", few), save_report("other", ~few)]).rows[1].cells["calibration.nll"]

    assert (cell.difference.low, cell.difference.high) == (None, None)
    assert cell.standing is Standing.UNPROVEN
    assert "fewer than 20 pairs" in cell.reason


# --- what cannot be paired


def test_what_has_no_bad_direction_or_no_row_stands_with_its_value_alone(three):
    board = leaderboard(three)
    columns = {column.key: column for column in board.columns}

    assert columns["geometry.rms"].reason == "neither direction is better"
    assert columns["robustness.worst.robust_accuracy"].reason == "does not follow from the per-image rows"
    for key in ("geometry.rms", "robustness.worst.robust_accuracy"):
        cell = board.rows[1].cells[key]
        assert cell.value is not None
        assert (cell.difference, cell.standing) == (None, None)


@pytest.mark.parametrize("broken", ["missing", "changed", "never"])
def test_a_report_without_its_rows_is_listed_unpaired_with_the_reason(three, save_report, broken):
    rows = three[1] / "per_image.npz"
    if broken == "missing":
        rows.unlink()
    elif broken == "changed":
        rows.write_bytes(rows.read_bytes() + b"x")
    else:
        three[1] = save_report("better", right(12, 1), sidecar=False)

    found = by_name(leaderboard(three))

    told = {"missing": "No such file", "changed": "is not the file", "never": "not kept with per-image rows"}
    assert told[broken] in found["better"].unpaired
    assert {cell.standing for cell in found["better"].cells.values()} <= {Standing.UNPAIRED, None}
    assert found["worse"].unpaired is None
    assert found["worse"].tally.worse


def forge(folder, content: bytes) -> None:
    """Puts other rows beside a report, and their hash into it."""
    report = json.loads((folder / "report.json").read_text())
    report["per_image"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "per_image.npz").write_bytes(content)


def table(**columns: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **columns)
    return stream.getvalue()


IDS = np.array([f"image-{row:05d}" for row in range(N)])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (table(id=np.array([f"elsewhere-{row}" for row in range(N)]), label=np.zeros(N)), "of other images"),
        (table(id=IDS, label=np.zeros(3)), "is no table of images"),
        (table(label=np.zeros(N)), "is no table of images"),
        (table(id=np.array(["x", None], dtype=object)), "is no table of images"),
        (b"", "is no table of images"),
        (b"PK\x03\x04 and no more", "is no table of images"),
    ],
)
def test_rows_that_are_not_of_these_images_are_not_paired_whatever_the_report_says(three, save_report, content, told):
    other = save_report("other", REFERENCE)
    forge(other, content)

    row = leaderboard([three[0], other]).rows[1]

    assert told in row.unpaired
    assert row.cells["accuracy.top1"].value == 0.6


def test_rows_without_the_column_of_a_metric_leave_out_that_metric_only(three, save_report):
    other = save_report("other", REFERENCE)
    forge(other, table(id=IDS, log_p_label=np.zeros(N)))

    cells = leaderboard([three[0], other]).rows[1].cells

    assert cells["accuracy.top1"].reason == "it has no per-image `label`"
    assert cells["calibration.nll"].standing is Standing.BETTER


def test_a_reference_without_rows_pairs_nothing(three):
    (three[0] / "per_image.npz").unlink()

    board = leaderboard(three)

    assert board.false_findings.comparisons == 0
    assert all("the reference has no per-image rows" in row.unpaired for row in board.rows[1:])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fingerprint": "f" * 64}, "fingerprint of ids, bytes and labels: 222"),
        ({"subset": "stratified 10 of 100"}, "subset: all in the reference, stratified 10 of 100 here"),
        ({"labels": "by folder"}, "labels: given in the reference, by folder here"),
    ],
)
def test_other_images_are_refused_with_every_difference_unless_it_is_wanted(three, save_report, change, told):
    paths = [*three, save_report("elsewhere", right(20, 0), data=change)]

    with pytest.raises(InvalidReport, match="1 of the reports cannot be compared with the first") as refused:
        leaderboard(paths)
    board = leaderboard(paths, allow_different_data=True)
    rows = by_name(board)

    assert told in refused.value.detail
    assert refused.value.detail.startswith("elsewhere: ")
    assert "--allow-different-data" in refused.value.remedy
    assert rows["elsewhere"].cells["accuracy.top1"].value == 0.8
    assert "other images" in rows["elsewhere"].unpaired
    assert rows["elsewhere"].tally.unpaired == [column.key for column in board.columns if column.paired][:3]
    assert rows["worse"].tally.worse


def test_an_audit_that_was_asked_otherwise_unpairs_its_own_metrics_only(save_report):
    paths = [
        save_report("one", REFERENCE),
        save_report("other", right(12, 1), params={"calibration": {"bins": 10}}),
    ]

    cells = leaderboard(paths).rows[1].cells

    assert cells["calibration.ece"].standing is Standing.UNPAIRED
    assert cells["calibration.ece"].reason == "audit calibration: bins is 15 in the reference, 10 here"
    assert cells["accuracy.top1"].standing is Standing.BETTER
    assert cells["calibration.nll"].difference is not None  # no bin enters it


def test_another_attack_beside_does_not_unpair_an_attack_that_was_asked_alike(save_report):
    outcome = np.where(REFERENCE, 0, 3)
    fgsm, pgd = {"name": "fgsm", "key": "fgsm"}, {"name": "pgd", "key": "pgd_w"}
    paths = [
        save_report("one", REFERENCE, outcome=outcome),
        save_report("other", REFERENCE, outcome=outcome, params={"robustness": {"attacks": [pgd, fgsm], "limit": 9}}),
        save_report("limited", REFERENCE, outcome=outcome, params={"robustness": {"attacks": [fgsm], "limit": 5}}),
    ]

    rows = by_name(leaderboard(paths, everything=True))

    assert rows["other"].cells["robustness.fgsm.asr"].standing is Standing.UNPROVEN
    assert rows["limited"].cells["robustness.fgsm.asr"].reason == (
        "audit robustness: limit is 9 in the reference, 5 here"
    )


def test_where_audits_leave_nothing_to_pair_the_comparison_is_refused(save_report):
    paths = [save_report("one", REFERENCE), save_report("other", REFERENCE, params={"calibration": {"bins": 10}})]

    with pytest.raises(InvalidReport, match="cannot be compared") as refused:
        leaderboard(paths, metrics=["ece"])

    assert refused.value.detail == "other: audit calibration: bins is 15 in the reference, 10 here"
    assert leaderboard(paths, metrics=["ece"], allow_different_data=True).rows[1].tally.unpaired


def test_what_one_report_lacks_says_why(three, save_report):
    paths = [three[0], save_report("bare", REFERENCE)]

    cells = leaderboard(paths, everything=True).rows[1].cells
    turned = leaderboard(paths[::-1], everything=True).rows[1].cells

    assert cells["robustness.fgsm.asr"].value is None
    assert cells["robustness.fgsm.asr"].reason == "audit robustness was not asked for"
    assert turned["robustness.fgsm.asr"].standing is Standing.UNPAIRED
    assert turned["robustness.fgsm.asr"].reason == "the reference has none: audit robustness was not asked for"


def test_a_partial_report_is_marked(three, save_report):
    stopped = {"status": RunStatus.PARTIAL, "message": "interrupted", "exit_code": 130}
    row = leaderboard([three[0], save_report("stopped", REFERENCE, run=stopped)]).rows[1]

    assert (row.status, row.message) == (RunStatus.PARTIAL, "interrupted")


def test_other_preprocessing_is_a_remark(three, save_report):
    row = leaderboard([three[0], save_report("other", REFERENCE, model={"preprocess": {"mean": [0.1]}})]).rows[1]

    assert row.unpaired is None
    assert row.notes == ["preprocessed otherwise than the reference"]


# --- names, columns, order


def test_reports_of_one_model_are_told_apart_by_their_files(save_report):
    first, second, third = save_report("net", REFERENCE), save_report("net", REFERENCE), save_report("x", REFERENCE)

    names = [row.name for row in leaderboard([first, second / "report.json", third]).rows]

    assert names == [f"net ({first})", f"net ({second})", "x"]


def test_headlines_are_shown_and_everything_on_demand(three):
    headlines = [column.key for column in leaderboard(three).columns]
    everything = [column.key for column in leaderboard(three, everything=True).columns]

    assert headlines == [
        "accuracy.top1",
        "calibration.ece",
        "calibration.nll",
        "geometry.rms",
        "robustness.fgsm.robust_accuracy",
        "robustness.worst.robust_accuracy",
    ]
    assert everything == [*headlines, "robustness.fgsm.asr", "robustness.fgsm.error_share"]


def test_columns_are_those_asked_for_by_full_or_short_name(three):
    board = leaderboard(three, metrics=["nll", "robustness.fgsm.asr", "top1"])

    assert [column.key for column in board.columns] == ["calibration.nll", "robustness.fgsm.asr", "accuracy.top1"]
    assert [column.title for column in board.columns] == ["nll", "fgsm.asr", "top1"]


@pytest.mark.parametrize(
    ("asked", "problem", "remedy"),
    [
        ({"metrics": ["tpo1"]}, "--metrics: no report has a metric `tpo1`", "--metrics top1"),
        ({"sort": "eec"}, "--sort: no report has a metric `eec`", "--sort ece"),
        ({"sort": "zzzzzzzz"}, "--sort: no report has a metric `zzzzzzzz`", "repaudit list metrics"),
        (
            {"metrics": ["robust_accuracy"]},
            "--metrics: `robust_accuracy` is short for 2 metrics",
            "--metrics robustness.fgsm.robust_accuracy",
        ),
    ],
)
def test_a_name_that_means_no_metric_or_several_is_refused_with_what_was_meant(three, asked, problem, remedy):
    with pytest.raises(UsageError) as refused:
        leaderboard(three, **asked)

    assert refused.value.problem == problem
    assert refused.value.remedy == remedy


@pytest.mark.parametrize(
    ("metric", "names"),
    [("top1", ["better", "reference", "worse"]), ("fgsm.asr", ["reference", "better", "worse"])],
)
def test_rows_are_sorted_best_first_and_the_reference_stays_what_it_is(three, metric, names):
    board = leaderboard([three[0], three[2], three[1]], sort=metric)

    assert [row.name for row in board.rows] == names
    assert board.reference == "reference"
    assert [row.name for row in board.rows if row.reference] == ["reference"]


def test_a_metric_that_sorts_is_shown(three):
    board = leaderboard(three, metrics=["top1"], sort="nll")

    assert [column.key for column in board.columns] == ["accuracy.top1", "calibration.nll"]


def test_what_was_not_measured_is_sorted_last_and_ties_stay_as_they_were():
    assert order([0.2, None, 0.1, 0.2], Better.LOWER) == [2, 0, 3, 1]
    assert order([0.2, None, 0.1, 0.2], Better.HIGHER) == [0, 3, 2, 1]
    assert order([None, 1.0, 3.0], Better.NEITHER) == [2, 1, 0]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_reports_are_no_comparison(three, count):
    with pytest.raises(UsageError, match="a comparison needs two reports") as refused:
        leaderboard(three[:count])

    assert refused.value.exit_status == 2
    assert "repaudit compare" in refused.value.remedy


# --- the papers' rows


def test_published_rows_of_the_same_architecture_stand_beside_and_are_never_judged(three, save_report):
    paths = [three[0], save_report("net", REFERENCE, model={"architecture": "resnet50"})]

    board = leaderboard(paths, published=Paper.RS)

    assert {entry.name.partition(",")[0] for entry in board.published} == {"ResNet50"}
    assert board.published[0].values["accuracy.top1"] == 0.761
    assert any("those of ResNet50" in note for note in board.notes)
    assert [row.name for row in board.rows] == ["reference", "net"]
    assert "robustness.fgsm.asr" in [column.key for column in board.columns]


def test_without_a_published_row_of_the_architecture_all_are_shown(three):
    board = leaderboard(three, published=Paper.RS)

    assert len(board.published) == 31
    assert any("none of the reports' architectures" in note for note in board.notes)


# --- the JSON


def test_the_json_is_strict_and_reads_back_to_the_last_bit(three):
    board = leaderboard(three, published=Paper.VS)

    values = json.loads(board.to_json(), parse_constant=pytest.fail)

    assert Leaderboard.model_validate(values) == board
    assert values["tool"]["name"] == "repaudit"
    assert values["kind"] == "comparison"
    assert values["rows"][1]["cells"]["accuracy.top1"]["standing"] == "better"


class Listener:
    def __init__(self):
        self.stages = []

    def stage(self, name, total, unit):
        from repaudit.progress import SilentProgress

        self.stages.append(name)
        return SilentProgress().stage(name, total, unit)


def test_a_long_comparison_says_for_each_model_that_it_is_alive(three, save_report):
    listener = Listener()
    leaderboard(three, progress=listener)
    assert listener.stages == []

    many = {"images_count": 20_000}
    paths = [save_report(name, REFERENCE, data=many) for name in ("one", "two", "three")]
    leaderboard(paths, progress=listener)

    assert listener.stages == ["comparing two", "comparing three"]
