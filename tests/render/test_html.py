"""The HTML page: whatever a report holds, it is one small file whose foreign text stays text."""

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from repaudit import gates
from repaudit.finding import Better, Figure, Measurement, Notice, Skipped, Unit
from repaudit.metrics.intervals import Interval, Replicates, wilson
from repaudit.profiles import parse_gate
from repaudit.render.html import LARGEST_PAGE, to_html
from repaudit.render.page import key, page, prose
from repaudit.render.plain import safe
from repaudit.report import AuditEntry, BaselineSection, Comparison, RunStatus, WarningEntry
from repaudit.report.document import parse

VOID = {"meta", "img", "br", "wbr"}
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "p", "button", "main", "h1", "h2", "h3", "section",
    "nav", "ul", "li", "dl", "div", "dt", "dd", "span", "strong", "code", "pre", "table", "thead", "tbody", "tr", "th",
    "td", "details", "summary", "figure", "figcaption", "img", "br", "wbr", "footer", "script",
}  # fmt: skip
DRAWN = {
    "svg",
    "g",
    "path",
    "text",
    "tspan",
    "rect",
    "use",
    "defs",
    "clippath",
    "title",
    "desc",
    "lineargradient",
    "stop",
}
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0 a picture").decode()


class Page(HTMLParser):
    """A page taken apart; raises where a tag is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags, self.attributes, self.open, self.words = [], [], [], []
        self.by_id = {}
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.attributes += [(tag, name, value or "", "svg" in self.open) for name, value in attributes]
        if "id" in dict(attributes):
            self.by_id.setdefault(dict(attributes)["id"], []).append(len(self.words))
        if tag in {"td", "th", "span", "dt", "dd", "li", "br", "p"}:
            self.words.append(" ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    def shown(self) -> str:
        return " ".join("".join(self.words).split())

    def after(self, anchor: str, count: int = 40) -> str:
        """The words that follow an element."""
        (start,) = self.by_id[anchor]
        return " ".join("".join(self.words[start : start + count]).split())

    def headings(self) -> list[int]:
        return [int(tag[1]) for tag, _ in self.tags if re.fullmatch("h[1-6]", tag)]


def bare(name: str, value: float = 0.25, **changes) -> Measurement:
    values = {"unit": Unit.RATIO, "better": Better.LOWER, "n": 100, "interval_reason": "not resampled: cost"}
    return Measurement(key=name, value=value, **(values | changes))


def share(name: str, successes: int, n: int = 1000) -> Measurement:
    return Measurement(
        key=name, value=successes / n, unit=Unit.FRACTION, better=Better.HIGHER, n=n, interval=wilson(successes, n)
    )


def per_class(count: int, images: int = 50) -> Figure:
    right = [((7 * at) % count) / count for at in range(count)]
    series = {"class": list(range(count)), "name": [f"class {at}" for at in range(count)]}
    return Figure(key="accuracy.per_class", data={**series, "images": [images] * count, "accuracy": right, "n": 1})


def entry(name: str, **changes) -> AuditEntry:
    values = {"version": 1, "status": "ok", "params": {}, "images_count": 10}
    return AuditEntry(id=name, **(values | changes))


def answer(text: str) -> str:
    """What stands in the large line."""
    found = re.search(r'class="answer">.*?</span>(.*?)</span></h2>', text, flags=re.DOTALL)
    return " ".join(found[1].split())


def test_no_foreign_text_becomes_an_element_an_attribute_or_an_address(foreign, foreign_report):
    text = to_html(foreign_report(foreign))
    found = Page(text)

    assert {tag for tag, _ in found.tags} <= ALLOWED | DRAWN
    assert sum(tag == "script" for tag, _ in found.tags) == 1
    assert [name for _, name, _, _ in found.attributes if name.startswith("on")] == []
    assert {value[0] for _, name, value, _ in found.attributes if name == "href"} == {"#"}
    assert [value for _, name, value, _ in found.attributes if name in {"src", "action", "srcset", "data"}] == []
    assert all(re.fullmatch(r"--share: [\d.]+%", value) for _, name, value, drawn in found.attributes
               if name == "style" and not drawn)  # fmt: skip
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", text) == []
    assert len(text.encode()) < 300_000


def test_every_element_is_closed_every_id_is_one_and_every_link_leads_somewhere(foreign, foreign_report):
    found = Page(to_html(foreign_report(foreign)))

    assert [name for name, places in found.by_id.items() if len(places) > 1] == []
    assert [name for name in found.by_id if re.search(r"\s", name) or not name] == []
    named = [value for _, name, value, _ in found.attributes if name == "aria-labelledby"]
    links = [value[1:] for _, name, value, _ in found.attributes if name == "href"]
    targets = {word for value in named for word in value.split()} | set(links)
    assert targets - set(found.by_id) == set()


def test_headings_never_skip_a_level(foreign_report):
    levels = Page(to_html(foreign_report("text"))).headings()

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_a_key_with_its_breaks_and_a_sentence_with_its_code_read_as_they_were_written(text):
    assert Markup(
        str(key(text)).replace("<wbr>", "").removeprefix("<code>").removesuffix("</code>")
    ).unescape() == safe(text, 2000)
    assert prose(text).striptags().replace("`", "").split() == safe(text, 2000).replace("`", "").split()


def test_what_stands_between_backticks_is_code_and_a_lone_backtick_stays():
    assert prose("use `a < b` here") == Markup("use <code>a &lt; b</code> here")
    assert prose("a ` alone <b>") == Markup("a ` alone &lt;b&gt;")


def test_the_only_script_that_may_run_is_the_pages_own(make_report):
    text = to_html(make_report(share("accuracy.top1", 900)))
    script = re.search(r"<script>(.*?)</script>", text, flags=re.DOTALL)[1]
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]

    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert text.index('<meta name="generator" content="repaudit') < 500


def test_a_title_and_a_summary_are_text_and_a_body_is_not():
    text = page("<b>title</b>", "<h2>body</h2>", summary='a "summary" & more')

    assert "<h1>&lt;b&gt;title&lt;/b&gt;</h1>" in text
    assert "<h2>body</h2>" in text
    assert "a &#34;summary&#34; &amp; more" in text
    assert Page(text).headings() == [1, 2]


def test_every_metric_has_a_row_with_its_value_its_count_and_its_interval_or_the_reason(make_report):
    names = ["accuracy.top1", "calibration.brier", "collapse.nc3", "robustness.own.asr", "future.thing", "future.else"]
    audits = [entry(name) for name in ("accuracy", "calibration", "geometry", "robustness")]
    report = make_report(share(names[0], 812), *(bare(name) for name in names[1:]), audits=audits)
    found = Page(to_html(report))

    low, high = report.metrics["accuracy.top1"].interval.low, report.metrics["accuracy.top1"].interval.high
    assert f"0.812 {low:.3f} – {high:.3f} 1,000" in found.after("metric-accuracy.top1")
    for name in names[1:]:
        assert "0.250 none: not resampled: cost 100" in found.after(f"metric-{name}")
    assert [found.by_id[f"metric-{name}"] > found.by_id["audit-geometry"] for name in names[1:4]] == [False, True, True]


def test_metrics_of_an_audit_that_the_report_does_not_list_come_last(make_report):
    found = Page(to_html(make_report(share("accuracy.top1", 900), bare("ood.energy.auroc"))))

    assert found.by_id["metric-ood.energy.auroc"] > found.by_id["audit-other"] > found.by_id["metric-accuracy.top1"]


def test_an_audit_shows_its_question_its_sentence_and_what_it_could_not_say(make_report):
    report = make_report(
        share("accuracy.top1", 900),
        audits=[
            entry(
                "accuracy",
                question="How often is it right?",
                skipped={"accuracy.top5": "it has five classes", "accuracy.top9": "not needed: nobody asks"},
            ),
            entry("geometry", status="skipped", reason="there is no linear head"),
            entry("robustness", status="error", reason="out of memory"),
        ],
    )
    found = Page(to_html(report))

    assert "accuracy How often is it right? It answers 90.0 % of 1,000 images right." in found.after("audit-accuracy")
    assert "Not measured accuracy.top5: it has five classes" in found.shown()
    assert "0 more metrics accuracy.top9: not needed: nobody asks" in found.shown()
    assert found.after("audit-geometry").startswith("geometry It was skipped: there is no linear head")
    assert found.after("audit-robustness").startswith("robustness It could not finish: out of memory")


def judged(make_report, make_verdict, *outcomes, **changes):
    verdicts = [make_verdict(outcome) for outcome in outcomes]
    return make_report(share("accuracy.top1", 812)).with_verdicts(verdicts).model_copy(update=changes)


@pytest.mark.parametrize(
    ("outcomes", "word"),
    [
        (["pass"], "Passes"),
        (["pass", "fail", "waived"], "Fails"),
        (["pass", "not measured"], "Fails"),
        (["pass", "pass unproven"], "Passes, unproven"),
        (["waived", "pass unproven"], "Passes, with waivers"),
        ([], "No gates, no verdict"),
    ],
)
def test_the_large_line_is_the_verdict(make_report, make_verdict, outcomes, word):
    assert answer(to_html(judged(make_report, make_verdict, *outcomes))) == word


def test_a_warning_alone_passes_with_warnings(make_report, make_verdict):
    verdict = make_verdict("fail", level="warn", failed=False)

    assert answer(to_html(make_report().with_verdicts([verdict]))) == "Passes, with warnings"


def test_what_was_not_finished_has_no_verdict_however_its_gates_stand(make_report, make_verdict):
    report = judged(make_report, make_verdict, "pass")
    run = report.run.model_copy(update={"status": RunStatus.PARTIAL, "message": "interrupted", "exit_code": 130})
    text = to_html(report.model_copy(update={"run": run}))

    assert answer(text) == "Not finished: no verdict"
    assert "partial: interrupted" in text


def test_masked_gradients_take_the_worth_from_gates_on_robustness_only(make_report, make_verdict):
    battery = Figure(
        key="masking.battery", data={"zero_gradient": {"verdict": "failed", "value": 0.3, "sentence": "x"}}
    )
    report = make_report(share("accuracy.top1", 812), battery)

    on_accuracy = report.with_verdicts([make_verdict("pass")])
    on_robustness = report.with_verdicts([make_verdict("pass", metric="robustness.pgd.robust_accuracy")])
    assert answer(to_html(on_accuracy)) == "Passes"
    assert answer(to_html(on_robustness)) == "Passes, but its gradients are masked"


def test_failures_stand_before_what_passed_and_say_why(make_report, make_verdict):
    verdicts = [make_verdict("pass", reason="all is well"), make_verdict("fail", gate="top1 >= 0.99", reason="too few")]
    found = Page(to_html(make_report(share("accuracy.top1", 812)).with_verdicts(verdicts)))

    gates = found.after("gates", 120)
    assert gates.index("FAIL") < gates.index("pass")
    head, _, rest = found.shown().partition("Next:")
    assert "too few" in head
    assert "all is well" not in head
    assert "all is well" in rest


def test_outcomes_and_units_of_a_later_minor_version_are_shown_as_they_are(make_report, make_verdict):
    metric = make_report(bare("accuracy.top1")).metrics["accuracy.top1"].model_copy(update={"unit": "furlongs"})
    report = make_report(metrics={"accuracy.top1": metric}, schema_version="1.7")
    text = to_html(parse(report.with_verdicts([make_verdict("doubtful", failed=False)]).to_json(), "later"))

    assert ">doubtful<" in text
    assert Page(text).by_id["metric-accuracy.top1"]


def test_of_many_classes_the_worst_are_seen_at_once_and_all_on_demand(make_report):
    found = Page(to_html(make_report(share("accuracy.top1", 500), per_class(1000))))

    rows = [
        attributes["data-value"]
        for tag, attributes in found.tags
        if tag == "td" and attributes.get("class") == "number share"
    ]
    assert len(rows) == 20 + 1000
    assert rows[:20] == [str(at / 1000) for at in range(20)]
    # Wilson of 0 in 50: the upper end is z²/(n + z²) = 3.84/53.84 = 7.1 %.
    assert "0 class 0 50 0.0 % 0 – 7 %" in found.shown()
    assert "All 1,000 classes" in found.shown()


def test_few_classes_have_one_table(make_report):
    found = Page(to_html(make_report(share("accuracy.top1", 500), per_class(20))))

    assert sum(attributes.get("class") == "number share" for _, attributes in found.tags) == 20
    assert "All 20" not in found.shown()


@pytest.mark.parametrize(
    "data",
    [{}, {"class": [1]}, {"class": [1], "name": ["a"], "images": [3], "accuracy": [1.5]},
     {"class": [1, 2], "name": ["a"], "images": [3], "accuracy": [1.0]}, {"class": "ab", "name": 1, "images": None}],
)  # fmt: skip
def test_a_class_table_of_another_form_is_left_out(make_report, data):
    text = to_html(make_report(share("accuracy.top1", 500), Figure(key="accuracy.per_class", data=data)))

    assert 'class="sortable classes"' not in text


def picture(jpeg: object, **changes) -> dict[str, object]:
    return {"id": "a.png", "label": 3, "prediction": 5, "label_name": "cat", "prediction_name": None,
            "confidence": 0.987, "jpeg": jpeg} | changes  # fmt: skip


def test_mistakes_are_pictures_with_words_for_those_who_cannot_see_them(make_report):
    figure = Figure(key="mistakes.most_confident", data={"images": [picture(JPEG)], "n": 1})
    found = Page(to_html(make_report(figure, audits=[entry("mistakes")])))

    ((_, attributes),) = [(tag, each) for tag, each in found.tags if tag == "img"]
    assert attributes["src"] == f"data:image/jpeg;base64,{JPEG}"
    assert attributes["alt"] == "a.png: labelled cat, answered 5"
    assert "5 98.7 % is labelled cat" in found.shown()


@pytest.mark.parametrize(
    "jpeg", [None, 7, "", "http://evil.example/x.jpg", f'{JPEG}" onerror="x', JPEG + "\n", "PHN2Zz4=", "/9j/<svg>"]
)
def test_what_is_no_jpeg_in_base64_is_no_picture(make_report, jpeg):
    figure = Figure(key="mistakes.most_confident", data={"images": [picture(jpeg)], "n": 1})
    text = to_html(make_report(figure, audits=[entry("mistakes")]))

    assert "<img" not in text
    assert "For 1 more there is no place in this page" in text


def test_a_baseline_stands_beside_with_what_could_have_been_detected(make_report):
    compared = Comparison(
        value=0.8, baseline=0.85, worse=0.05, unit="fraction", better="higher", n=900,
        interval=wilson(5, 100), interval_reason=None, detectable=0.02,
    )  # fmt: skip
    baseline = BaselineSection(sha256="b" * 64, model="the old one", weights_sha256="0" * 64, notes=["other mean"])
    report = make_report(share("accuracy.top1", 800), baseline=baseline, comparisons={"accuracy.top1": compared})
    found = Page(to_html(report))

    section = found.after("baseline", 120)
    assert "the old one (the same weights)" in section
    assert "other mean" in section
    assert "accuracy.top1 accuracy 0.850 0.800 +0.0500 +0.0215 – +0.112 900 0.0200" in section


def test_the_command_can_be_pasted(make_report):
    report = make_report(share("accuracy.top1", 800))
    run = report.run.model_copy(update={"argv": ["scan", "net", "--set", "gates=[top1 >= 0.9]"]})

    assert (
        "repaudit scan net --set 'gates=[top1 >= 0.9]'" in Page(to_html(report.model_copy(update={"run": run}))).shown()
    )


def test_the_same_report_gives_the_same_bytes(foreign_report):
    report = foreign_report("<text>")

    assert to_html(report) == to_html(parse(report.to_json(), "again"))


@pytest.fixture
def monster(make_report, make_verdict):
    """A report in which everything that can grow has grown."""
    long = "<&\"'\x00>" * 2000
    names = [f"audit{at}.{long}{number}" for at in range(60) for number in range(60)]
    report = make_report(
        *(bare(name, note=long, interval_reason=long) for name in names),
        *(Notice(code=f"n{at}", message=f"{at}{long}") for at in range(3000)),
        Figure(
            key="accuracy.per_class",
            data={
                "class": list(range(30_000)),
                "name": [long] * 30_000,
                "images": [5] * 30_000,
                "accuracy": [0.2] * 30_000,
            },
        ),
        Figure(key="mistakes.most_confident", data={"images": [picture(JPEG[:-4] + "A" * 90_000)] * 60, "n": 60}),
        Figure(key="masking.battery", data={f"{at}{long}": {"verdict": long, "sentence": long} for at in range(900)}),
        *(Skipped(key=f"accuracy.{at}.{long}", reason=f"{at}{long}") for at in range(900)),
        audits=[
            entry("accuracy", skipped={f"accuracy.{at}.{long}": f"{at}{long}" for at in range(900)}),
            entry("masking"),
            entry("mistakes"),
            *(entry(f"audit{at}", question=long, reason=long, status="error") for at in range(60)),
        ],
    )
    verdicts = [make_verdict("fail", gate=f"{at}{long}", metric=long, reason=long) for at in range(5000)]
    resolved = {f"{at}{long}": [long] * 3 for at in range(300)}
    profile = report.profile.model_copy(update={"name": long, "resolved": resolved})
    model = report.model.model_copy(
        update={"resolved": long, "notes": [long] * 900, "files": {f"{at}{long}": long for at in range(900)}}
    )
    run = report.run.model_copy(update={"argv": [long] * 900, "message": long})
    return report.with_verdicts(verdicts).model_copy(update={"profile": profile, "model": model, "run": run})


def test_a_page_stays_below_two_megabytes_whatever_the_report_holds(monster):
    text = to_html(monster)

    assert LARGEST_PAGE == 2_000_000
    assert len(text.encode()) < LARGEST_PAGE
    assert answer(text) == "Fails"
    assert "more gates in the JSON" in Page(text).shown()


def test_a_large_report_keeps_what_fits(make_report):
    report = make_report(
        share("accuracy.top1", 500),
        per_class(1000),
        *(bare(f"robustness.attack_{at}.asr") for at in range(300)),
        warnings=[WarningEntry(code="x", message=f"warning {at}") for at in range(100)],
        audits=[entry("accuracy"), entry("robustness")],
    )
    found = Page(to_html(report))

    assert sum(name.startswith("metric-robustness") for name in found.by_id) == 300
    assert "warning 99" in found.shown()
    assert "94 more" in found.shown()


def test_rendering_needs_no_torch_and_importing_no_matplotlib(make_report, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(make_report(share("accuracy.top1", 500)).to_json())
    code = f"""
import sys
from pathlib import Path
from repaudit.render.html import to_html
assert "matplotlib" not in sys.modules
from repaudit.report import read
assert "accuracy.top1" in to_html(read(Path({str(path)!r})))
print(*sys.modules)
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"torch", "torchvision", "timm", "sklearn", "scipy.stats", "pandas"} & set(loaded) == set()


def test_a_gate_that_passes_stands_in_the_verdict_with_its_limit_and_its_value(make_report):
    report = make_report(share("accuracy.top1", 947))
    judged = report.with_verdicts(gates.judge(report, [parse_gate("top1 >= 0.90")]))

    box = to_html(judged).split('class="reasons"')[1].split("</ul>")[0]

    assert "top1 &gt;= 0.90: 0.947" in box.replace("<wbr>", "")


def reflected(value: float, low: float, high: float) -> Measurement:
    quantiles = tuple(value for _ in range(199))
    interval = Interval(
        level=0.95, low=low, high=high, method="basic-bootstrap", state=Replicates(value, quantiles, 0.0)
    )
    return Measurement(
        key="calibration.ece", value=value, unit=Unit.FRACTION, better=Better.LOWER, n=900, interval=interval
    )


@pytest.mark.parametrize(
    ("high", "bound", "told"),
    [(0.0109, None, True), (0.0119, 0.0109, True), (0.0119, 0.0117, False), (0.02, None, False)],
)
def test_a_bound_on_the_far_side_of_a_binned_error_is_explained(make_report, high, bound, told):
    report = make_report(reflected(0.0116, 0.0, high), audits=[entry("calibration")])
    if bound is not None:
        verdict = gates.judge(report, [parse_gate("ece <= 0.05")])[0]
        changes = {"gate": "ece <= 0.05 @95%", "bound": bound, "outcome": "pass"}
        report = report.with_verdicts([verdict.model_copy(update=changes)])

    text = to_html(report)

    assert ("the bootstrap subtracts the bias that a binned error of few images has (n = 900)" in text) == told
