"""The page of a comparison in a real browser: quiet, sortable, and as wide as the window."""

import numpy as np
import pytest

from repaudit.leaderboard import leaderboard
from repaudit.published import Paper
from repaudit.render.leaderboard.html import to_html

HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'>" + "A" * 500
NAMED = ("timm:reference", "timm:first_of_two", "timm:second_of_two")
NAMES = "return [...arguments[0].tBodies[0].rows].map((row) => row.cells[0].textContent.trim())"


@pytest.fixture
def comparison(save_report, tmp_path):
    """The page of three models of accuracy .70, .90 and .80."""
    models = (("timm:reference", 70), (HOSTILE, 90), ("timm:middle", 80))
    paths = [save_report(name, np.arange(100) < right) for name, right in models]
    page = tmp_path / "comparison.html"
    page.write_text(to_html(leaderboard(paths, published=Paper.RS)), encoding="utf-8")
    return page


def test_a_comparison_opens_without_a_word_in_the_console_and_runs_nothing_foreign(browser, comparison):
    browser.driver.get_log("browser")
    browser.requests()

    browser.open(comparison)

    assert browser.driver.get_log("browser") == []
    assert browser.requests() == [comparison.as_uri()]
    assert browser.run("return window.hacked === undefined && document.scripts.length === 1")


def test_models_are_sorted_by_the_size_of_a_metric(browser, comparison):
    browser.open(comparison)
    table = browser.driver.find_element("css selector", "table.sortable")
    top1 = table.find_elements("css selector", "button.sort")[1]
    assert top1.text == "top1"

    top1.click()
    ascending = browser.run(NAMES, table)
    top1.click()
    descending = browser.run(NAMES, table)

    assert [name[:8] for name in ascending] == ["timm:ref", "timm:mid", "<script>"]
    assert descending == ascending[::-1]


@pytest.fixture
def turned(save_report, tmp_path):
    """The page of three models and all their metrics."""
    models = zip(NAMED, (70, 90, 80), strict=True)
    paths = [save_report(name, np.arange(100) < right) for name, right in models]
    board = leaderboard(paths)
    extra = [
        board.columns[0].model_copy(update={"key": name, "title": name})
        for name in (f"future.metric_{at}" for at in range(20))
    ]
    rows = [
        row.model_copy(update={"cells": {**row.cells, **{column.key: row.cells["accuracy.top1"] for column in extra}}})
        for row in board.rows
    ]
    page = tmp_path / "turned.html"
    page.write_text(
        to_html(board.model_copy(update={"rows": rows, "columns": [*board.columns, *extra]})), encoding="utf-8"
    )
    return page


def test_few_models_with_many_metrics_stand_side_by_side_in_one_window(browser, turned):
    browser.open(turned, width=1440)
    table = browser.driver.find_element("css selector", "table.grid")

    heads = browser.run("return [...arguments[0].tHead.rows[0].cells].map((head) => head.textContent.trim())", table)
    assert [head.split()[0] for head in heads] == [
        "Metric",
        "timm:reference",
        "timm:first_of_two",
        "timm:second_of_two",
    ]
    assert browser.run("return arguments[0].parentElement.scrollWidth <= arguments[0].parentElement.clientWidth", table)


def test_on_a_phone_the_names_of_metrics_stay_while_models_scroll(browser, turned):
    browser.open(turned, width=360, height=740)
    table = browser.driver.find_element("css selector", "table.grid")
    left = "return arguments[0].tBodies[0].rows[0].cells[0].getBoundingClientRect().left"
    before = browser.run(left, table)
    browser.run("arguments[0].parentElement.scrollLeft = 200", table)

    assert browser.run(left, table) == before
    assert browser.run("return arguments[0].tBodies[0].rows[0].cells[0].clientWidth", table) < 360 / 2


def test_what_a_model_is_better_and_worse_on_is_read_on_a_phone_without_scrolling(browser, turned):
    browser.open(turned, width=360, height=740)
    table = browser.driver.find_element("css selector", "table.tallies")

    assert browser.run("return arguments[0].parentElement.scrollWidth <= arguments[0].parentElement.clientWidth", table)


def test_commands_in_the_remarks_are_code_and_no_backticks(browser, turned):
    browser.open(turned)

    assert "`" not in browser.run("return document.querySelector('main').textContent")
    assert browser.run("return [...document.querySelectorAll('.foreign code')].some((code) => "
                       "code.textContent.startsWith('repaudit gate'))")  # fmt: skip


@pytest.mark.parametrize("width", [320, 1440])
def test_only_the_tables_of_a_comparison_scroll_sideways(browser, comparison, width):
    browser.open(comparison, width=width)

    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("return document.querySelectorAll('.scroll').length") == 3
