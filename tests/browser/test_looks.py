"""How the page looks: legible in both themes, on a phone, a wide screen and paper, and to those who cannot see it."""

import base64
from itertools import pairwise

import pytest

SIZES = [(360, 740), (1440, 900)]
CONTRASTS = """
const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const [r, g, b, alpha = 1] = parse(getComputedStyle(at).backgroundColor);
    if (alpha === 1) return [r, g, b];
    if (alpha !== 0) throw new Error("a half-transparent ground");
  }
  return [255, 255, 255];
};
document.querySelectorAll("details").forEach((part) => { part.open = true; });
const found = [];
for (const element of document.querySelectorAll("body *:not(script):not(style):not(title):not(desc)")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || element.closest(".unseen, .skip") || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const ink = parse(element instanceof SVGElement ? style.fill : style.color);
  const [light, dark] = [luminance(ink), luminance(ground(element))].sort((a, b) => b - a);
  const words = element.textContent.trim().slice(0, 40);
  found.push([(light + 0.05) / (dark + 0.05), element.tagName, String(element.className), words]);
}
return found;
"""
NAMED = """
return [...document.querySelectorAll("img, svg")].map((picture) => picture.getAttribute("alt")
  || (picture.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id))
      .map((part) => (part ? part.textContent : "")).join(" "));
"""
VISIBLE = """
const box = document.querySelector(arguments[0]).getBoundingClientRect();
return box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth && box.width > 0;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_from_its_ground(browser, full_page, scheme):
    browser.open(full_page, scheme=scheme)
    found = browser.run(CONTRASTS)

    assert [each for each in found if each[0] < 4.5] == []
    classes = " ".join(each[2] for each in found)
    assert all(
        tone in classes for tone in ("word good", "word warn", "word bad", "word plain", "muted", "note", "asked")
    )
    assert {"TH", "TD", "CODE", "DT", "DD", "A", "P", "BUTTON", "text"} <= {each[1] for each in found}


@pytest.mark.parametrize(("width", "height"), [(320, 640), *SIZES, (1600, 1000)])
def test_the_page_itself_never_scrolls_sideways(browser, full_page, width, height):
    browser.open(full_page, width=width, height=height)
    browser.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")

    assert browser.run("return innerWidth") == width
    assert browser.run("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_verdict_and_its_reason_are_seen_before_anything_is_scrolled(browser, full_page, width, height, scheme):
    browser.open(full_page, width=width, height=height, scheme=scheme)

    assert browser.driver.find_element("css selector", ".answer").text == "✗ Fails"
    for part in (".answer", ".stand", ".reasons li"):
        assert browser.run(VISIBLE, part), part
    size = "return parseFloat(getComputedStyle(document.querySelector(arguments[0])).fontSize)"
    assert browser.run(size, ".answer") >= 1.25 * browser.run(size, "h1")


def test_every_picture_has_words(browser, full_page):
    browser.open(full_page)
    named = browser.run(NAMED)

    assert len(named) >= 3
    assert [words for words in named if len(words) < 10] == []


def test_the_page_has_its_landmarks_its_language_and_headings_in_order(browser, full_page):
    browser.open(full_page)
    levels = browser.run("return [...document.querySelectorAll('h1, h2, h3, h4')].map((head) => +head.tagName[1])")

    assert levels[:2] == [1, 2]
    assert levels.count(1) == 1
    assert max(after - before for before, after in pairwise(levels)) == 1
    assert browser.run("return document.documentElement.lang") == "en"
    count = "return document.querySelectorAll(arguments[0]).length"
    assert [browser.run(count, tag) for tag in ("header", "main", "nav[aria-label]", "footer")] == [1, 1, 1, 1]
    assert browser.run("return [...document.querySelectorAll('th')].every((head) => head.scope)")
    assert browser.run("return [...document.querySelectorAll('[tabindex=\"0\"]')].every((part) => part.ariaLabel)")


def test_paper_is_light_and_has_neither_buttons_nor_scrolling(browser, full_page):
    browser.open(full_page, scheme="dark", media="print")
    shown = "return [...document.querySelectorAll(arguments[0])].filter((part) => part.getClientRects().length).length"

    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run(shown, "#theme, .skip, .contents") == 0
    assert browser.run("return getComputedStyle(document.querySelector('.sort'), '::after').content") == "none"
    assert browser.run("return getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
    assert browser.run("return getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"
    assert browser.run("return getComputedStyle(document.querySelector('tbody tr')).breakInside") == "avoid"


def test_the_page_prints_to_pages_with_all_its_numbers(browser, full_page):
    browser.open(full_page)
    closed = browser.run("return document.querySelectorAll('details:not([open])').length")
    printed = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
    content = base64.b64decode(printed["data"])

    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page\n") + content.count(b"/Type /Page/") > 3
    assert browser.run("return document.querySelectorAll('details:not([open])').length") == closed > 0


def test_before_printing_the_numbers_open_and_the_thousand_classes_do_not(browser, full_page):
    browser.open(full_page)
    states = "return [...document.querySelectorAll('details')].map((part) => [part.className, part.open])"
    browser.run("dispatchEvent(new Event('beforeprint'))")
    opened = browser.run(states)
    browser.run("dispatchEvent(new Event('afterprint'))")

    assert {state for name, state in opened if name == "unprinted"} == {False}
    assert {state for name, state in opened if name != "unprinted"} == {True}
    assert {state for _, state in browser.run(states)} == {False}


def test_who_wants_less_motion_gets_none(browser, full_page):
    scrolling = "return getComputedStyle(document.documentElement).scrollBehavior"
    browser.open(full_page)
    still = browser.run(scrolling)
    browser.emulate(motion="no-preference")

    assert (still, browser.run(scrolling)) == ("auto", "smooth")


def test_a_report_without_gates_or_figures_is_a_page_too(browser, write_page, make_report):
    browser.open(write_page(make_report()), width=360, height=740)

    assert browser.driver.find_element("css selector", ".answer").text == "? No gates, no verdict"
    assert browser.run("return document.documentElement.scrollWidth") <= 360
