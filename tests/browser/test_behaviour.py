"""What the page does in a real browser: it opens quietly, sorts, changes its colours, and runs nothing foreign."""

import pytest

ORDER = "return [...arguments[0].tBodies[0].rows].map((row) => row.cells[arguments[1]].textContent.trim())"
CLASSES = "table.classes"


def column(browser, table, number: int) -> list[str]:
    return browser.run(ORDER, table, number)


def first_table(browser):
    return browser.driver.find_element("css selector", CLASSES)


def sort_states(browser, table) -> list[str | None]:
    return browser.run(
        "return [...arguments[0].tHead.rows[0].cells].map((head) => head.getAttribute('aria-sort'))", table
    )


def press(browser, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser.driver, duration=0).send_keys(*keys).perform()


def test_the_page_opens_without_a_word_in_the_console_and_asks_for_nothing(browser, full_page):
    browser.driver.get_log("browser")
    browser.requests()

    browser.open(full_page)
    browser.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")

    assert browser.driver.get_log("browser") == []
    asked = browser.requests()
    assert asked[0] == full_page.as_uri()
    assert [address for address in asked[1:] if not address.startswith("data:image/jpeg;base64,")] == []
    assert browser.run("return [...document.images].every((image) => image.complete && image.naturalWidth === 64)")


def test_names_that_hold_scripts_run_nothing(browser, full_page):
    browser.open(full_page)

    assert browser.run("return window.hacked === undefined")
    assert browser.run("return document.scripts.length") == 1
    assert browser.run("return document.images.length") == 1
    assert "<script>window.hacked = 1</script>" in browser.run("return document.body.innerText")


def test_a_click_sorts_numbers_by_their_size_and_a_second_one_turns_the_order(browser, full_page):
    browser.open(full_page)
    table = first_table(browser)
    images = table.find_elements("css selector", "button.sort")[2]

    images.click()
    assert column(browser, table, 2) == sorted(column(browser, table, 2), key=int)
    assert sort_states(browser, table) == [None, None, "ascending", None, None]
    images.click()
    assert column(browser, table, 2) == sorted(column(browser, table, 2), key=int, reverse=True)
    assert sort_states(browser, table) == [None, None, "descending", None, None]
    assert browser.run("return document.getElementById('said').textContent") == "Sorted by Images, descending."


def test_whole_rows_move_when_a_table_is_sorted(browser, full_page):
    browser.open(full_page)
    table = first_table(browser)
    rows = set(zip(column(browser, table, 0), column(browser, table, 2), column(browser, table, 3), strict=True))

    table.find_elements("css selector", "button.sort")[0].click()

    assert column(browser, table, 0) == sorted(column(browser, table, 0), key=int)
    assert (
        set(zip(column(browser, table, 0), column(browser, table, 2), column(browser, table, 3), strict=True)) == rows
    )


def test_the_keyboard_alone_reaches_a_column_and_sorts_by_it(browser, full_page):
    from selenium.webdriver.common.keys import Keys

    browser.open(full_page)
    reached = []
    for _ in range(60):
        press(browser, Keys.TAB)
        focused = browser.driver.switch_to.active_element
        reached.append(focused.get_attribute("class") or focused.text)
        if "sort" in (focused.get_attribute("class") or "") and focused.text == "Right":
            break
    assert reached[0] == "skip"
    assert reached[1] == "theme"
    assert "sort" in reached[-1], "sixty tabs do not reach the column"
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"

    press(browser, Keys.ENTER)
    table = first_table(browser)
    assert sort_states(browser, table)[3] == "ascending"
    press(browser, Keys.SPACE)
    assert sort_states(browser, table)[3] == "descending"
    assert browser.run("return document.activeElement.textContent") == "Right"


@pytest.mark.parametrize(
    ("system", "first", "then"), [("light", "Dark mode", "Light mode"), ("dark", "Light mode", "Dark mode")]
)
def test_the_button_turns_the_colours_that_the_system_asked_for(browser, full_page, system, first, then):
    paper = "return getComputedStyle(document.body).backgroundColor"
    browser.open(full_page, scheme=system)
    button = browser.driver.find_element("id", "theme")
    before, said = browser.run(paper), button.text
    button.click()
    after, says = browser.run(paper), button.text

    colours = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 20, 24)"}
    assert (said, says) == (first, then)
    assert before == colours.pop(system)
    assert [after] == list(colours.values())


def test_the_first_tab_skips_to_the_content(browser, full_page):
    from selenium.webdriver.common.keys import Keys

    browser.open(full_page)
    press(browser, Keys.TAB, Keys.ENTER)

    assert browser.run("return document.activeElement.id") == "content"


def test_a_gate_leads_to_its_metric_even_inside_a_closed_part(browser, full_page):
    browser.open(full_page)
    link = browser.driver.find_element("css selector", 'table.gates a[href="#metric-robustness.pgd.asr"]')
    link.click()

    assert browser.run("return document.querySelector(':target').id") == "metric-robustness.pgd.asr"


def test_without_scripts_the_page_says_the_same_and_shows_no_dead_button(browser, full_page):
    browser.open(full_page)
    whole = browser.run("return document.querySelector('main').textContent")
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(full_page)
        buttons = browser.driver.find_elements("css selector", "button")
        assert [button.is_displayed() for button in buttons] == [False]
        text = browser.driver.find_element("css selector", "main").get_property("textContent")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})

    assert text == whole
