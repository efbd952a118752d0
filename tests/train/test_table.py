"""The table's means, deviations and paired tests are those of the textbook."""

import csv
import io
import json

import pytest
from scipy.stats import ttest_rel

from repaudit.finding import Better, Measurement, Unit
from repaudit.metrics.intervals import wilson
from repaudit.train.method import parse_method
from repaudit.train.recipe import Recipe
from repaudit.train.runs import Run
from repaudit.train.table import Result, table_of

ONE = {0: 900, 1: 910, 2: 905, 3: 890}
OTHER = {0: 915, 1: 912, 2: 925, 3: 903}


@pytest.fixture
def result(make_report):
    def make(method, seed, right, alpha=None, held_out=None):
        top1 = Measurement(
            key="accuracy.top1", value=right / 1000, unit=Unit.FRACTION, better=Better.HIGHER, n=1000,
            interval=wilson(right, 1000),
        )  # fmt: skip
        return Result(Run(Recipe(), parse_method(method), seed, alpha), make_report(top1), held_out)

    return make


def table(result, groups):
    return table_of(
        "r", [result(method, seed, right) for method, runs in groups.items() for seed, right in runs.items()]
    )


def test_a_method_is_told_from_one_hot_by_scipys_paired_test(result):
    found = table(result, {"onehot": ONE, "vs": OTHER})
    cell = found.rows[1].cells["accuracy.top1"]
    wanted = ttest_rel([value / 1000 for value in OTHER.values()], [value / 1000 for value in ONE.values()])

    assert cell.mean == pytest.approx(0.91375)
    assert cell.difference == pytest.approx(0.0125)
    assert (cell.t, cell.p) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert cell.sd == pytest.approx((sum((x / 1000 - 0.91375) ** 2 for x in OTHER.values()) / 3) ** 0.5)


def test_only_seeds_that_both_have_are_paired(result):
    found = table(result, {"onehot": {0: 900, 1: 910, 2: 905}, "ls": {1: 911, 2: 907, 5: 990}})
    cell = found.rows[1].cells["accuracy.top1"]

    assert (cell.n, cell.pairs) == (3, 2)
    assert cell.difference == pytest.approx(0.0015)


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ({"onehot": {0: 900}, "ls": {0: 910}}, "fewer than two seeds"),
        ({"ls": {0: 910, 1: 920}}, "no run with one-hot labels"),
        ({"onehot": {0: 900, 1: 910}, "ls": {0: 901, 1: 911}}, "same for every seed"),
    ],
)
def test_where_there_is_no_test_there_is_a_reason(result, groups, reason):
    cell = table(result, groups).rows[-1].cells["accuracy.top1"]

    assert cell.t is None
    assert cell.p is None
    assert reason in cell.reason


def test_the_mass_with_the_best_accuracy_on_held_out_images_is_chosen(result):
    grid = {0.1: (0.90, 0.92), 0.3: (0.95, 0.93), 0.5: (0.94, 0.90)}
    results = [
        result("vs", seed, 900, alpha=alpha, held_out=held[seed]) for alpha, held in grid.items() for seed in (0, 1)
    ]
    found = table_of("r", [result("onehot", 0, 900), *results])

    assert [row.name for row in found.rows if row.chosen] == ["onehot", "vs α=0.3"]
    assert found.rows[2].held_out_accuracy == pytest.approx(0.94)


def test_json_and_csv_hold_every_cell(result):
    found = table(result, {"onehot": ONE, "vs": OTHER})
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))

    assert [row["name"] for row in json.loads(found.to_json())["rows"]] == ["onehot", "vs"]
    assert [(row["method"], float(row["mean"])) for row in rows] == [("onehot", 0.90125), ("vs", 0.91375)]
    assert rows[0]["t"] == ""
