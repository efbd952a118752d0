"""What the program says of itself, in the terminal, in the docs and to a shell."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from repaudit.cli.app import app, main
from repaudit.cli.listing import KINDS

ROOT = Path(__file__).parents[2]
COMMANDS = list(get_command(app).commands)
BLOCKS = re.compile(r"^```text\n\$ (repaudit[^\n]*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def said(capsys, monkeypatch):
    """What a command prints on a terminal of 80 columns."""

    def run(*arguments: str) -> str:
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("TERMINAL_WIDTH", "80")
        assert main(list(arguments)) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_eighty_columns(said, command):
    text = said(*([command] if command else []), "--help")

    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("Usage: repaudit")


def test_no_command_s_summary_is_cut(said):
    assert "..." not in said("--help").partition("Commands:")[2]


@pytest.mark.parametrize("page", ["README.md", "docs/commands.md"])
def test_help_that_the_docs_show_is_the_program_s_own(said, page):
    shown = BLOCKS.findall((ROOT / page).read_text())

    assert any(line.endswith("--help") for line, _ in shown), "no help is shown"
    for line, text in shown:
        if line.endswith("--help"):
            assert said(*line.split()[1:]).split() == text.split(), line


def test_the_page_of_commands_has_every_command():
    shown = [line for line, _ in BLOCKS.findall((ROOT / "docs" / "commands.md").read_text())]

    assert shown == ["repaudit --help", *(f"repaudit {command} --help" for command in COMMANDS)]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("repaudit sc", {"scan"}),
        ("repaudit list me", {"metrics"}),
        ("repaudit scan --profile st", {"standard"}),
        ("repaudit gate r.json --exit-z", {"--exit-zero"}),
    ],
)
def test_a_shell_completes_commands_flags_and_names(capsys, monkeypatch, words, offered):
    monkeypatch.setenv("_REPAUDIT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))

    assert main([]) == 0
    assert set(capsys.readouterr().out.split()) == offered


def test_what_can_be_completed_is_what_can_be_listed():
    from repaudit.catalogue import Kind

    assert set(KINDS) == {kind.value for kind in Kind}
