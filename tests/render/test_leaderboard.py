"""The leaderboard fits wherever it goes, says what it knows in words, and lets no foreign name act."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from repaudit.leaderboard import leaderboard
from repaudit.published import Paper
from repaudit.render.leaderboard.csv import COLUMNS, to_csv
from repaudit.render.leaderboard.figures import decimals_of, shown
from repaudit.render.leaderboard.html import to_html
from repaudit.render.leaderboard.markdown import to_markdown
from repaudit.render.leaderboard.remarks import remarks
from repaudit.render.leaderboard.terminal import MOST_PUBLISHED, print_leaderboard
from repaudit.render.terminal import console_for
from repaudit.report import RunStatus

N = 200
HOSTILE = (
    "<script>alert(1)</script>",
    "a|b | c",
    "two\nlines\r\nthree",
    "\x1b[31mred\x1b[0m",
    "A" * 10_000,
    "=HYPERLINK(1)",
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\"quoted\" 'single' `tick` \\back\\",
    "\u202eright to left",
    "nul\x00nul",
    "@somebody #12 **bold** [link](http://example.invalid)",
    "{{ 7 * 7 }}{% raw %}",
)


def answers(seed: int, skill: float = 0.8) -> np.ndarray:
    return np.random.default_rng(seed).random(N) < skill


@pytest.fixture
def board(save_report):
    """Four models with every kind of standing, one of them unpaired and one partial."""
    base = answers(1)
    worse = base & (np.arange(N) % 4 > 0)
    confidence = np.random.default_rng(2).uniform(0.4, 0.95, N)
    stopped = {"status": RunStatus.PARTIAL, "message": "interrupted"}

    def save(name, right, broken, **keywords):
        outcome = np.where(right, np.where(broken, 1, 0), 3)
        return save_report(name, right, confidence=confidence, outcome=outcome, **keywords)

    half = np.arange(N) % 2 == 0
    paths = [
        save("timm:reference", base, half),
        save("timm:worse", worse, half),
        save("timm:robust", base, ~np.ones(N, bool), run=stopped),
        save("timm:bare", base, half, sidecar=False),
    ]
    return leaderboard(paths, published=Paper.RS)


def printed(board, *, verbose=False) -> str:
    stream = io.StringIO()
    print_leaderboard(board, console_for(stream), verbose=verbose)
    return stream.getvalue()


def cells(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


class Page(HTMLParser):
    """Tags with their attributes, and the text of each table cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.rows, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in {"th", "td"}:
            self.rows[-1].append("")

    def handle_data(self, data):
        self.text += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


# --- the terminal


@pytest.mark.parametrize("count", [2, 3, 5, 9])
@pytest.mark.parametrize("verbose", [False, True])
def test_no_line_is_longer_than_100_columns_however_many_models_and_metrics(save_report, count, verbose):
    paths = [
        save_report(f"timm:some_architecture_patch{n}.tag_in1k", answers(n), outcome=np.where(answers(n), n % 2, 3))
        for n in range(count)
    ]

    lines = printed(leaderboard(paths, published=Paper.RS, everything=verbose), verbose=verbose).splitlines()

    assert max(map(len, lines)) <= 100
    assert [line for line in lines if line != line.rstrip()] == []


def test_what_fits_has_models_down_and_metrics_across(save_report):
    paths = [save_report("one", answers(1)), save_report("two", answers(2))]

    lines = [cells(line) for line in printed(leaderboard(paths, metrics=["top1", "ece"])).splitlines()]

    assert lines[lines.index(["Model", "top1", "ece"]) + 2][0] == "1 one"


def test_what_does_not_fit_has_metrics_down_and_the_reference_in_every_block(save_report):
    paths = [save_report(f"model-{n}", answers(n), outcome=np.where(answers(n), n % 2, 3)) for n in range(12)]

    lines = printed(leaderboard(paths, everything=True)).splitlines()
    heads = [line for line in lines if line.startswith("Metric ") and "model-0" in line]

    assert len(heads) > 1
    assert sum(f"model-{n}" in head for head in heads for n in range(1, 12)) >= 11
    assert sum(cells(line)[0] == "top1" for line in lines) == len(heads) + 1  # and once with the differences


def test_every_difference_stands_beside_its_interval_pairs_and_word(board):
    text = printed(board)
    lines = text[text.index("Differences to the reference") : text.index("Published")].splitlines()
    rows = {row.name: row for row in board.rows}
    decimals = decimals_of(board)

    for name, key, word in (
        ("timm:worse", "accuracy.top1", "worse"),
        ("timm:robust", "accuracy.top1", "~ not told apart"),
        ("timm:robust", "robustness.fgsm.robust_accuracy", "better"),
    ):
        figures = shown(rows[name].cells[key], decimals[key])
        wanted = [figures.difference, figures.interval, "200", word]
        assert any(cells(line)[-4:] == wanted and name in line for line in lines)
    assert rows["timm:worse"].cells["accuracy.top1"].difference.value < 0
    assert not any("timm:bare" in line for line in lines)


def test_a_model_that_cannot_be_paired_and_a_partial_one_are_marked_and_explained(board):
    text = printed(board)
    flat = " ".join(text.split())

    assert any(cells(line) == ["4 timm:bare", "not paired"] for line in text.splitlines())
    assert "timm:bare is not paired: it was not kept with per-image rows." in flat
    assert "[partial]" in text
    assert "timm:robust is partial: interrupted." in flat


def test_what_chance_alone_would_show_and_what_is_no_proof_are_told(board):
    flat = " ".join(printed(board).split())
    comparisons = sum(
        cell.difference is not None and cell.difference.low is not None
        for row in board.rows
        for cell in row.cells.values()
    )

    assert f"{comparisons} comparisons at 95 %" in flat
    assert f"about {comparisons * 0.05:.2g} differences by chance" in flat
    assert "not that the models are equal" in flat
    assert "Values only: rms: neither direction is better." in flat


def test_published_rows_are_said_to_be_published_and_the_rest_is_named(board):
    text = printed(board)

    assert "Published, not paired" in text
    assert sum("ImageNet" in line and "ResNet50" in line for line in text.splitlines()) >= 4
    assert f"{31 - MOST_PUBLISHED} more published rows with -v" in text
    assert "never paired and never judged" in " ".join(text.split())
    full = printed(board, verbose=True)
    assert "ConvNeXt-T, Baseline, CIFAR-100" in full
    assert "more published rows" not in full


def test_nothing_to_compare_says_what_keeps_rows(save_report):
    paths = [save_report(name, answers(1), sidecar=False) for name in ("one", "two")]

    text = printed(leaderboard(paths))

    assert "Differences to the reference" not in text
    assert "keeps per-image rows" in " ".join(text.split())


def test_numbers_of_one_metric_have_as_many_decimals_as_the_narrowest_interval_carries(board):
    decimals = decimals_of(board)["accuracy.top1"]
    texts = [shown(row.cells["accuracy.top1"], decimals) for row in board.rows]

    assert {len(figures.value.partition(".")[2]) for figures in texts} == {decimals}
    assert decimals in {3, 4}


def test_masked_gradients_are_named_beside_robustness(save_report, make_report):
    outcome = np.where(answers(1), 0, 3)
    battery = {"masking.battery": {"one_step_gap": {"verdict": "failed"}, "restart_gain": {"verdict": "passed"}}}
    paths = [
        save_report("one", answers(1), outcome=outcome),
        save_report("masked", answers(1), outcome=outcome, figures=battery),
    ]

    told = " ".join(remarks(leaderboard(paths)))

    assert "masked fails checks for gradient masking (one_step_gap)" in told
    assert "Gradient masking was not checked for one." in told


@pytest.fixture
def masked_board(save_report):
    """A reference, and a model that is better under attack by gradients that are masked."""
    failed = {"masking.battery": {"one_step_gap": {"verdict": "failed"}}}
    none, all_ = np.zeros(N, dtype=np.int8), np.ones(N, dtype=np.int8)
    right = np.ones(N, dtype=bool)
    return leaderboard(
        [save_report("one", right, outcome=all_), save_report("feigned", right, outcome=none, figures=failed)],
        metrics=["top1", "fgsm.robust_accuracy"],
    )


def test_better_under_attack_is_never_read_without_masked_in_the_terminal(masked_board):
    lines = printed(masked_board).partition("Mind")[0].splitlines()
    told = [line for line in lines if "better" in line and "Better on" not in line]

    assert len(told) == 2  # among the values and among the differences
    assert all(line.count("better") == line.count("better masked") for line in told)
    assert any("1: fgsm.robust_accuracy (masked)" in line for line in lines)
    assert not any("masked" in line for line in lines if "1 one" in line)
    assert not any("top1 (masked)" in line for line in lines)


def test_better_under_attack_is_never_read_without_masked_in_the_files(masked_board):
    markdown, page = to_markdown(masked_board).partition("### Mind")[0], Page(to_html(masked_board))
    feigned = [row for row in page.rows if row and row[0].startswith("feigned")]

    assert markdown.count("**better**") == markdown.count("**better** **masked**") == 1
    assert re.search(r"^\| `feigned` \| 1: `?fgsm\.robust_accuracy`? \(masked\) \|", markdown, flags=re.MULTILINE)
    assert feigned[0][1].strip() == "1: fgsm.robust_accuracy (masked)"
    assert "better masked" in feigned[1][2]
    assert "masked" not in feigned[1][1]


def test_what_is_sorted_where_neither_direction_is_better_is_not_called_best_first(save_report):
    paths = [save_report(name, answers(1)) for name in ("one", "two")]

    assert "Sorted by geometry.rms, largest first." in remarks(leaderboard(paths, sort="rms"))
    assert "Sorted by calibration.ece, best first." in remarks(leaderboard(paths, sort="ece"))


def test_not_told_apart_for_want_of_verdicts_is_not_explained_by_an_interval_that_holds_0(save_report):
    def told(outcome):
        paths = [save_report(name, right, outcome=each) for name, each in (("one", all_), ("two", outcome))]
        board = leaderboard(paths, metrics=["top1", "fgsm.robust_accuracy"])
        return next(sentence for sentence in remarks(board) if "`~` says" in sentence)

    right, all_ = np.ones(N, dtype=bool), np.ones(N, dtype=np.int8)
    lost = np.where(np.arange(N) < 10, 2, 0)  # ten images without a verdict, all others robust

    assert "`~` says that 0 lies inside, not that" in told(all_)
    assert "`~` says that 0 lies inside or that images without a verdict leave it open, not that" in told(lost)


def test_not_told_apart_for_want_of_pairs_says_so(save_report):
    right = np.ones(10, dtype=bool)
    board = leaderboard([save_report(name, right) for name in ("one", "two")], metrics=["top1", "ece"])

    assert any("or that pairs are too few for an interval" in sentence for sentence in remarks(board))


# --- files


def test_csv_has_one_row_a_model_and_metric_and_numbers_to_the_last_bit(board):
    rows = list(csv.DictReader(io.StringIO(to_csv(board))))
    top1 = {row["model"]: row for row in rows if row["metric"] == "accuracy.top1"}

    assert to_csv(board).startswith("model,")
    assert list(rows[0]) == list(COLUMNS)
    measured = [row for row in rows if row["role"] != "published"]
    assert len(measured) == len(board.rows) * len(board.columns)
    assert top1["timm:reference"]["role"] == "reference"
    worse = next(row for row in board.rows if row.name == "timm:worse").cells["accuracy.top1"]
    found = top1["timm:worse"]
    assert float(found["difference"]) == worse.difference.value
    assert (float(found["difference_low"]), float(found["difference_high"])) == (
        worse.difference.low, worse.difference.high,
    )  # fmt: skip
    assert found["standing"] == "worse"
    assert top1["timm:bare"]["reason"] == "it was not kept with per-image rows"
    assert float(top1["ResNet50, Mixup, ImageNet"]["value"]) == 0.766
    slip = next(row for row in rows if row["model"] == "ResNet50, Baseline, ImageNet" and row["value"] == "")
    assert slip["metric"] == "geometry.pearson.minimum_loss"
    assert "Table 9" in slip["reason"]


def test_markdown_begins_with_its_mark_and_every_table_is_whole(board):
    text = to_markdown(board)

    assert text.startswith("<!-- repaudit comparison -->\n")
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "| `timm:reference` | **reference** |" in text
    assert re.search(r"\| `top1` \| [\d.]+ \| [\d.]+ \*\*worse\*\*<br>-[\d.]+ \(-[\d.]+ – -[\d.]+\) \|", text)


def test_html_is_one_page_whose_values_can_be_sorted(board):
    text = to_html(board)
    page = Page(text)

    assert '<meta name="generator" content="repaudit ' in text[:4096]
    assert " models side by side · repaudit</title>" in text[:4096]
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not [value for _, attributes in page.tags for name, value in attributes.items() if name in {"src", "href"}
                and not value.startswith(("#", "data:"))]  # fmt: skip
    values = [float(attributes["data-value"]) for _, attributes in page.tags if "data-value" in attributes]
    assert board.rows[1].cells["accuracy.top1"].value in values
    assert 0.766 in values
    assert any("sortable" in attributes.get("class", "") for tag, attributes in page.tags if tag == "table")
    row = next(
        row for row in page.rows if row and row[0].startswith("timm:worse") and len(row) == len(board.columns) + 1
    )
    assert "worse" in row[1]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_foreign_name_acts_nowhere(save_report, name):
    reason = f"reason {name}"
    paths = [
        save_report(name, answers(1), data={"ref": name}),
        save_report(name, answers(2), run={"status": RunStatus.PARTIAL, "message": reason}),
    ]
    board = leaderboard(paths, published=Paper.RS)

    terminal, table, markdown, page = printed(board), to_csv(board), to_markdown(board), to_html(board)

    for text in (terminal, markdown, page, table):
        assert not set(text) & set("\x1b\x00\u202e\t")
        assert "A" * 1500 not in text
    assert max(map(len, terminal.splitlines())) <= 100
    parsed = list(csv.reader(io.StringIO(table)))
    assert {len(row) for row in parsed} == {len(COLUMNS)}
    numeric = re.compile(r"-?[\d.e-]+")
    assert not [
        cell for row in parsed[1:] for cell in row if cell[:1] in set("=+-@\t\r") and not numeric.fullmatch(cell)
    ]
    for block in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    outside = re.sub(r"`[^`]*`|<code>.*?</code>", "", markdown)
    assert not re.search(r"<(?!br>|!-- repaudit)\w*|@somebody|#12|\]\(http", outside)
    tags = Page(page).tags
    assert sum(tag == "script" for tag, _ in tags) == 1
    assert not [tag for tag, attributes in tags if any(key.startswith("on") for key in attributes)]
    assert json.loads(board.to_json())["rows"][0]["model"] == name


def test_a_template_in_a_name_is_not_filled_in(save_report):
    paths = [save_report("{{ 7 * 7 }}", answers(1)), save_report("b", answers(2))]

    assert "{{ 7 * 7 }}" in Page(to_html(leaderboard(paths))).text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_foreign_metric_acts_nowhere(save_report, name):
    paths = [save_report(model, answers(seed)) for seed, model in enumerate(("one", "two"))]
    for path in paths:
        content = json.loads((path / "report.json").read_text())
        content["metrics"][f"calibration.{name}"] = content["metrics"]["calibration.ece"] | {"note": name, "unit": name}
        (path / "report.json").write_text(json.dumps(content))
    board = leaderboard(paths, everything=True)

    terminal, table, markdown, page = printed(board), to_csv(board), to_markdown(board), to_html(board)

    for text in (terminal, markdown, page, table):
        assert not set(text) & set("\x1b\x00\u202e\t")
    assert max(map(len, terminal.splitlines())) <= 100
    assert {len(row) for row in csv.reader(io.StringIO(table))} == {len(COLUMNS)}
    for block in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert sum(tag == "script" for tag, _ in Page(page).tags) == 1


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_gets_more_blocks_and_no_error(board, width):
    stream = io.StringIO()
    console = console_for(stream)
    console.width = width

    print_leaderboard(board, console)

    assert "worse" in stream.getvalue()
    if width == 80:
        values = stream.getvalue().partition("Differences to")[0]
        assert max(map(len, values.splitlines())) <= width
