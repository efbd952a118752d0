"""The page of a comparison in a real browser: quiet, sortable, and as wide as the window."""

import numpy as np
import pytest

from repaudit.leaderboard import leaderboard
from repaudit.published import Paper
from repaudit.render.leaderboard.html import to_html

HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'>" + "A" * 500
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


@pytest.mark.parametrize("width", [320, 1440])
def test_only_the_tables_of_a_comparison_scroll_sideways(browser, comparison, width):
    browser.open(comparison, width=width)

    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("return document.querySelectorAll('.scroll').length") == 3
