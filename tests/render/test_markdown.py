"""The report as Markdown, read by an independent Markdown parser."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from repaudit import gates
from repaudit.finding import Better, Figure, Measurement, Notice, Skipped, Unit
from repaudit.metrics.intervals import wilson
from repaudit.profiles import Severity, parse_gate
from repaudit.render.markdown import LARGEST, MARK, to_markdown
from repaudit.render.markdown_text import code, prose
from repaudit.render.plain import safe
from repaudit.report import BaselineSection, Outcome, RunStatus, WarningEntry

OURS = {"h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code", "strong"}
ADDRESSED = re.compile(r"@\w|[#!&%~^]\d|\b[A-Za-z]+-\d|://|\bwww\.|\b[0-9a-f]{7,40}\b|\w\.[A-Za-z]")
"""What GitHub and GitLab turn into links and calls after rendering, outside of code."""


class Page(HTMLParser):
    """The elements of a page in their order, its text outside of code, and its code."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.elements, self.attributes, self.comments, self.code, self.text = [], [], [], [], []
        self._inside = False
        self.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes
        if tag == "code":
            self._inside = True
            self.code.append("")

    def handle_endtag(self, tag):
        if tag == "code":
            self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.code[-1] += data
        else:
            self.text.append(data)

    def handle_comment(self, data):
        self.comments.append(data)


def share(key: str, value: float, n: int = 1000) -> Measurement:
    return Measurement(
        key=key, value=value, unit=Unit.FRACTION, better=Better.HIGHER, n=n, interval=wilson(round(value * n), n)
    )


def bare(key: str, value: float) -> Measurement:
    return Measurement(
        key=key, value=value, unit=Unit.RATIO, better=Better.LOWER, n=1000, interval_reason="not resampled: cost"
    )


def judged(report, *texts: str, severity: Severity = Severity.FAIL):
    return report.with_verdicts(gates.judge(report, [parse_gate(text, severity=severity) for text in texts]))


def structure(markdown: str) -> list[str]:
    return [element for element in Page(markdown).elements if element != "code"]


def rows(markdown: str, title: str) -> list[str]:
    table = markdown.split(f"### {title}\n\n")[1].split("\n\n")[0]
    return table.splitlines()[2:]


def test_the_mark_comes_first_and_the_verdict_before_any_number(make_report):
    text = to_markdown(judged(make_report(share("accuracy.top1", 0.812)), "top1 >= 0.9"))

    assert text.startswith(f"{MARK}\n")
    assert text.split("\n\n")[1] == "## repaudit: FAIL"
    assert text.index("FAIL") < text.index("0.812")


@pytest.mark.parametrize(("gate", "said"), [("top1 >= 0.9", "FAIL"), ("top1 >= 0.8", "pass"), (None, "no gates")])
def test_the_title_says_how_the_gates_came_out(make_report, gate, said):
    report = make_report(share("accuracy.top1", 0.812))

    assert f"\n## repaudit: {said}\n" in to_markdown(judged(report, gate) if gate else report)


def test_what_did_not_finish_has_no_verdict(make_report):
    report = judged(make_report(share("accuracy.top1", 0.812)), "top1 >= 0.8")
    stopped = report.run.model_copy(update={"status": RunStatus.PARTIAL, "message": "interrupted (SIGINT)"})
    text = to_markdown(report.model_copy(update={"run": stopped}))

    assert "## repaudit: NOT FINISHED" in text
    assert "interrupted (SIGINT)" in text


def test_gates_stand_with_their_numbers_and_what_failed_stands_first(make_report):
    report = make_report(share("accuracy.top1", 0.812), Skipped(key="calibration.ece", reason="the labels are hidden"))
    text = to_markdown(judged(report, "top1 >= 0.8", "top1 >= 0.9", "ece <= 0.1"))

    assert rows(text, "Gates") == [
        "| **FAIL** | `top1 >= 0.9` | 0.812 | `accuracy.top1` is 0.812, below the limit 0.9. |",
        "| **NOT MEASURED** | `ece <= 0.1` | – | `calibration.ece` was not measured: the labels are hidden |",
        "| pass | `top1 >= 0.8` | 0.812 | `accuracy.top1` is 0.812. |",
    ]


def test_what_passes_without_proof_what_only_warns_and_what_is_waived_are_told_apart(make_report, make_verdict):
    report = make_report(share("accuracy.top1", 0.812))
    verdicts = [
        make_verdict(Outcome.UNPROVEN),
        make_verdict(Outcome.FAIL, level="warn", failed=False),
        make_verdict(Outcome.WAIVED),
        make_verdict("postponed", failed=False),
        make_verdict("revoked", failed=True),
    ]
    words = [row.split(" | ")[0] for row in rows(to_markdown(report.with_verdicts(verdicts)), "Gates")]

    assert words == ["| **revoked**", r"| pass \~", "| warn: fail", "| waived until 2026-12-31", "| postponed"]


def test_metrics_stand_with_their_interval_or_the_reason_why_there_is_none(make_report):
    low, high = wilson(812, 1000).low, wilson(812, 1000).high
    text = to_markdown(make_report(share("accuracy.top1", 0.812), bare("calibration.ece", 0.062)))

    assert rows(text, "Metrics") == [
        f"| `accuracy.top1` | 0.812 | {low:.3f} – {high:.3f} | 1,000 |",
        "| `calibration.ece` | 0.0620 | none: not resampled: cost | 1,000 |",
    ]


def test_robustness_never_stands_without_its_radius_and_what_its_gradients_are_worth(make_report):
    verdicts = Figure(key="robustness.fgsm.verdicts", data={"norm": "linf", "epsilon": 8 / 255})
    text = to_markdown(make_report(share("robustness.fgsm.robust_accuracy", 0.6), verdicts))

    assert "radius: fgsm linf 8/255" in text
    assert "gradient masking: not checked" in text


def test_what_is_missing_and_what_to_mind_are_told_with_their_reasons(make_report):
    report = make_report(
        share("accuracy.top1", 0.812),
        Skipped(key="calibration.ece", reason="the labels are hidden"),
        Skipped(key="calibration.mce", reason="not needed: nobody asks"),
        Notice(code="few", message="there are `few` images"),
    )
    text = to_markdown(report)

    assert "### Not measured\n\n- `calibration.ece`: the labels are hidden\n" in text
    assert "nobody asks" not in text
    assert "### Mind\n\n- there are `few` images\n" in text
    assert "**Next:** " in text


def test_a_baseline_is_named_with_what_differs(make_report):
    section = BaselineSection(sha256="4" * 64, model="timm:old", weights_sha256="5" * 64, notes=["other preprocessing"])
    text = to_markdown(make_report(share("accuracy.top1", 0.812), baseline=section))

    assert " · beside `timm:old`\n" in text
    assert "- beside the baseline: other preprocessing\n" in text


def test_the_gates_that_are_advised_can_be_copied(make_report):
    page = Page(to_markdown(make_report(share("accuracy.top1", 0.812))))

    assert "gates: [top1 >= 0.75]" in page.code


def test_foreign_text_makes_no_element_link_or_comment(foreign_report, foreign):
    page = Page(to_markdown(foreign_report(foreign)))

    assert set(page.elements) <= OURS
    assert {name for name, _ in page.attributes} <= {"style"}
    assert page.comments == [" repaudit report "]


def test_foreign_text_changes_nothing_in_how_the_page_is_built(foreign_report, foreign):
    harmless = structure(to_markdown(foreign_report("harmless")))

    assert structure(to_markdown(foreign_report(foreign or "empty"))) == harmless


def test_every_row_of_every_table_has_as_many_cells_as_its_head(foreign_report, foreign):
    tables = []
    for element in Page(to_markdown(foreign_report(foreign))).elements:
        if element == "table":
            tables.append([])
        elif element == "tr":
            tables[-1].append(0)
        elif element in {"td", "th"}:
            tables[-1][-1] += 1

    assert [set(table) for table in tables] == [{4}, {4}]
    assert len(tables[0]) == 1 + 8


def test_outside_of_code_no_foreign_text_calls_anybody_or_refers_to_anything(foreign_report, foreign):
    page = Page(to_markdown(foreign_report(foreign)))

    assert [text for text in page.text if ADDRESSED.search(text)] == []


def test_a_foreign_name_is_shown_as_it_is(foreign):
    page = Page(f"before {code(foreign)} after")

    assert page.code == ([safe(foreign)] if foreign.strip() else [])
    assert "".join(page.text).strip() == ("before  after" if foreign.strip() else "before – after")


SIGNS = st.sampled_from(list("|`<>[]()@#!&\\_*~-+=.:;/%$^{}\"' 01aAb\n\t\u200b\u202eé"))


@settings(deadline=None, max_examples=400)
@example("&#0", "| {} |")
@given(
    st.text(SIGNS, max_size=40) | st.text(st.characters(max_codepoint=0x250), max_size=60),
    st.sampled_from(["| {} |", "- {}", "{}", "**x:** {}"]),
)
def test_no_text_acts_and_none_is_lost(text, place):
    table = "| a |\n| --- |\n" if place.startswith("|") else ""
    page = Page(table + place.format(prose(text)))
    shown = "".join([*page.text, *page.code])

    assert set(page.elements) <= OURS
    assert not any(ADDRESSED.search(part) for part in page.text)
    kept = re.sub(r"[\s`]", "", safe(text, 400))
    assert sorted(re.sub(r"[\s`–]", "", shown).replace("x:", "", place.startswith("**"))) == sorted(
        kept.replace("–", "") + ("a" if table else "")
    )


@pytest.mark.parametrize(
    "sentence",
    [
        "A plain sentence, with (a parenthesis), 0.6 % and 95% of “it”; isn't it? Yes!",
        "8/255 and 0.4/255, -0.008 – 0.017, +1, 1,000 or 0.62: all numbers.",
        "held-out and either/or",
    ],
)
def test_plain_sentences_stay_as_they_are(sentence):
    assert prose(sentence) == sentence


def test_what_stands_in_backticks_or_is_a_name_becomes_code():
    said = "`pgd_w` is (`a b`), see calibration.ece (or worse(a.b)): x <= 1"

    assert prose(said) == r"`pgd_w` is (`a b`), see `calibration.ece` (or `worse(a.b)`): x \<= 1"


def test_an_enormous_report_is_cut_after_a_whole_line_and_says_so(make_report):
    warnings = [WarningEntry(code="many", message=f"number {row} {'é' * 300}") for row in range(5_000)]
    text = to_markdown(make_report(warnings=warnings))
    lines = text.splitlines()

    assert 0.99 * LARGEST < len(text.encode()) <= LARGEST
    assert lines[-1].startswith("The rest was left out")
    bullets = [line for line in lines if line.startswith("- number")]
    assert bullets == [f"- {warning.message}" for warning in warnings[: len(bullets)]]
