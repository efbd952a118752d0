"""What a GitHub runner makes of our log and of the step's summary, by its own rules of reading."""

import io

import pytest

from repaudit.errors import RepauditError
from repaudit.render.github import LARGEST_SUMMARY, MOST_ANNOTATIONS, announce
from repaudit.render.markdown import MARK, to_markdown
from repaudit.render.plain import safe
from repaudit.render.terminal import console_for, print_report
from repaudit.report import Outcome, RunStatus

NAMES = {
    "set-env", "set-output", "save-state", "add-path", "add-mask", "add-matcher", "remove-matcher", "stop-commands",
    "debug", "notice", "warning", "error", "group", "endgroup", "echo",
}  # fmt: skip
INSIDE = {"GITHUB_ACTIONS": "true"}


def unescaped(text: str, *more: tuple[str, str]) -> str:
    for escape, character in (("%0D", "\r"), ("%0A", "\n"), *more, ("%25", "%")):
        text = text.replace(escape, character)
    return text


def command(line: str) -> tuple[str, dict[str, str], str] | None:
    """Name, properties and message of the command that a runner sees in a line of a log; None where it sees none."""
    bare = line.lstrip()
    if bare.startswith("::") and "::" in bare[2:]:
        told, _, message = bare[2:].partition("::")
        name, _, properties = told.partition(" ")
        if name.lower() in NAMES:
            pairs = (pair.partition("=") for pair in properties.split(",") if pair)
            decoded = {key: unescaped(value, ("%3A", ":"), ("%2C", ",")) for key, _, value in pairs}
            return name, decoded, unescaped(message)
    if "##[" in line and "]" in line.split("##[", 1)[1]:
        told, _, message = line.split("##[", 1)[1].partition("]")
        if told.partition(" ")[0].lower() in NAMES:
            return told.partition(" ")[0], {}, message
    return None


def commands(log: str) -> list[tuple[str, dict[str, str], str]]:
    return [found for line in log.splitlines() if (found := command(line)) is not None]


def announced(report, **environment) -> str:
    stream = io.StringIO()
    announce(report, INSIDE | environment, stream)
    return stream.getvalue()


def stopped(report):
    changes = {"status": RunStatus.PARTIAL, "message": "interrupted (SIGINT)"}
    return report.model_copy(update={"run": report.run.model_copy(update=changes)})


@pytest.fixture
def failing(make_report, make_verdict):
    return make_report().with_verdicts([make_verdict()])


def test_the_reading_of_commands_is_that_of_a_runner():
    assert command("  ::error title=a%2Cb,file=c::d%0Ae::f") == ("error", {"title": "a,b", "file": "c"}, "d\ne::f")
    assert command("x ##[add-mask]y") == ("add-mask", {}, "y")
    assert command("see ::error::x") is None
    assert command("::unknown::x") is None


@pytest.mark.parametrize(
    "environment",
    [{}, {"GITHUB_ACTIONS": "false"}, {"GITHUB_ACTIONS": "true", "REPAUDIT_NO_GITHUB": "1"}],
)
def test_outside_of_actions_and_where_it_is_not_wanted_nothing_is_said_or_written(failing, tmp_path, environment):
    summary, stream = tmp_path / "summary.md", io.StringIO()
    announce(failing, environment | {"GITHUB_STEP_SUMMARY": str(summary)}, stream)

    assert stream.getvalue() == ""
    assert not summary.exists()


def test_a_failed_gate_is_an_error_with_its_reason(failing):
    assert commands(announced(failing)) == [
        (
            "error",
            {"title": "repaudit: FAIL: top1 >= 0.9"},
            "timm:net: accuracy.top1 is 0.812, below the limit 0.9.",
        )
    ]


@pytest.mark.parametrize(
    ("outcome", "changes", "kinds"),
    [
        (Outcome.FAIL, {}, ["error"]),
        (Outcome.NOT_MEASURED, {}, ["error"]),
        ("revoked", {"failed": True}, ["error"]),
        (Outcome.FAIL, {"level": "warn", "failed": False}, ["warning"]),
        (Outcome.NOT_MEASURED, {"level": "warn", "failed": False}, ["warning"]),
        (Outcome.PASS, {}, []),
        (Outcome.UNPROVEN, {}, []),
        (Outcome.WAIVED, {}, []),
        ("postponed", {}, []),
    ],
)
def test_each_outcome_is_annotated_as_it_counts(make_report, make_verdict, outcome, changes, kinds):
    report = make_report().with_verdicts([make_verdict(outcome, **changes)])

    assert [kind for kind, _, _ in commands(announced(report))] == kinds


def test_a_scan_that_did_not_finish_is_an_error_before_all_others(failing):
    first, second = commands(announced(stopped(failing)))

    assert first == ("error", {"title": "repaudit: the scan did not finish"}, "timm:net: interrupted (SIGINT)")
    assert second[0] == "error"


def test_no_more_annotations_of_a_kind_than_github_shows_and_the_last_says_how_many_are_missing(
    make_report, make_verdict
):
    verdicts = [make_verdict(gate=f"gate {row}") for row in range(25)]
    verdicts += [make_verdict(gate=f"warn {row}", level="warn", failed=False) for row in range(MOST_ANNOTATIONS)]
    found = commands(announced(make_report().with_verdicts(verdicts)))
    titles = {kind: [each["title"] for name, each, _ in found if name == kind] for kind in ("error", "warning")}

    assert len(titles["error"]) == len(titles["warning"]) == MOST_ANNOTATIONS == 10
    assert titles["error"][-1] == "repaudit: 16 more"
    assert titles["warning"][-1] == "repaudit: warn: fail: warn 9"


def test_foreign_text_gives_no_command_and_ends_none(foreign_report, foreign):
    report = foreign_report(foreign)
    log = announced(report)
    found = commands(log)

    assert len(found) == len(log.splitlines()) == 5
    assert [kind for kind, _, _ in found] == ["error"] * 4 + ["warning"]
    assert all(set(properties) == {"title"} for _, properties, _ in found)
    assert found[1][1]["title"] == f"repaudit: FAIL: {safe(foreign)}"
    assert found[1][2] == f"{safe(foreign)}: {safe(foreign, 400)}"


def test_characters_that_commands_are_made_of_arrive_as_they_were(make_report, make_verdict):
    text = "100 % of a, b: c;d=e%0Af"
    ((_, properties, message),) = commands(
        announced(make_report().with_verdicts([make_verdict(gate=text, reason=text)]))
    )

    assert properties == {"title": f"repaudit: FAIL: {text}"}
    assert message == f"timm:net: {text}"


def test_no_line_of_the_printed_report_is_a_command(foreign_report, foreign):
    stream = io.StringIO()
    print_report(foreign_report(foreign), console_for(stream), verbose=True)

    assert commands(stream.getvalue()) == []
    assert stream.getvalue().replace("\n", "").isprintable()


@pytest.mark.parametrize("width", range(80, 101))
def test_a_command_is_none_wherever_a_line_is_wrapped_before_it(foreign_report, width):
    stream = io.StringIO()
    print_report(foreign_report(f"{'x' * width} ::add-mask::secret ##[add-mask]secret"), console_for(stream))

    assert commands(stream.getvalue()) == []


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_no_line_of_an_error_is_a_command(blank):
    text = f"{blank}::error::x{blank}##[error]x"

    assert commands(RepauditError(text, detail=text, remedy=text).render()) == []


def test_the_report_is_added_below_what_the_summary_holds(failing, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("| a |\n| --- |\n| 1 |\n")
    announced(failing, GITHUB_STEP_SUMMARY=str(summary))
    announced(failing, GITHUB_STEP_SUMMARY=str(summary))
    parts = summary.read_text().split(MARK)

    assert parts[0] == "| a |\n| --- |\n| 1 |\n\n\n"
    assert len(parts) == 3
    assert MARK + parts[2] == to_markdown(failing)


def test_a_summary_that_is_not_there_yet_begins_with_the_report(failing, tmp_path):
    announced(failing, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))

    assert (tmp_path / "summary.md").read_text() == to_markdown(failing)


@pytest.mark.parametrize(
    ("room", "holds"),
    [(1_000_000, "the report"), (300, "was left out"), (10, "nothing"), (-10, "nothing")],
)
def test_a_summary_never_grows_beyond_what_github_keeps(failing, tmp_path, room, holds):
    summary = tmp_path / "summary.md"
    before = "x" * (LARGEST_SUMMARY - room)
    summary.write_text(before)
    log = announced(failing, GITHUB_STEP_SUMMARY=str(summary))
    after = summary.read_text()

    assert after.startswith(before)
    added = after.removeprefix(before)
    assert len(after.encode()) < LARGEST_SUMMARY or not added
    assert (MARK in added, "was left out" in added) == (holds == "the report", holds == "was left out")
    assert ("the step summary is full" in log) == (holds != "the report")


def test_the_largest_report_fits_into_an_empty_summary(make_report, make_verdict, tmp_path):
    verdicts = [make_verdict(gate=f"{row} {'é' * 110}", reason="ü" * 400) for row in range(2_000)]
    announced(make_report().with_verdicts(verdicts), GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))

    assert 800_000 < (tmp_path / "summary.md").stat().st_size < LARGEST_SUMMARY


@pytest.mark.parametrize("place", ["folder", "missing/summary.md", "file/summary.md"])
def test_a_summary_that_cannot_be_written_costs_one_line(failing, tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    log = announced(failing, GITHUB_STEP_SUMMARY=str(tmp_path / place))
    command_line, told = log.splitlines()

    assert command(command_line)[0] == "error"
    assert told.startswith("repaudit: the step summary")
    assert "cannot be written" in told
