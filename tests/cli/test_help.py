"""What the program says of itself, in the terminal, in the docs and to a shell."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from repaudit import attacks, audits, data, profiles, sources
from repaudit.cli.app import app, main
from repaudit.cli.listing import KINDS
from repaudit.train import reading

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
        ("repaudit scan --audits accuracy,ca", {"accuracy,calibration"}),
        ("repaudit scan --audits accuracy,acc", set()),
        ("repaudit compare a b --published r", {"rs"}),
        ("repaudit list profiles st", {"standard"}),
        ("repaudit list recipes digi", {"digits"}),
        ("repaudit list audits ge", {"geometry"}),
        ("repaudit list attacks autoa", {"autoattack"}),
        ("repaudit list attacks ha", set()),
        ("repaudit list models torchv", {"torchvision"}),
        ("repaudit list data imagenet-f", {"imagenet-flat"}),
    ],
)
def test_a_shell_completes_commands_flags_and_names(capsys, monkeypatch, words, offered):
    monkeypatch.setenv("_REPAUDIT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))

    assert main([]) == 0
    assert set(capsys.readouterr().out.split()) == offered


@pytest.mark.parametrize("kind", ["attacks", "audits", "data", "models", "profiles", "recipes"])
def test_a_shell_is_offered_all_that_exists_and_no_file_that_is_something_else(capsys, monkeypatch, kind):
    monkeypatch.setenv("_REPAUDIT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"repaudit list {kind} ")
    monkeypatch.setenv("COMP_CWORD", "3")
    rooms = {"attacks": attacks, "audits": audits, "data": data, "models": sources, "profiles": profiles}
    known = {**rooms, "recipes": reading}[kind]

    assert main([]) == 0
    assert capsys.readouterr().out.split() == known.names()


@pytest.mark.parametrize(
    "words", ["list attacks ", "list audits ", "list recipes ", "scan --audits ", "compare --published "]
)
def test_completion_imports_no_heavy_library(words):
    code = "import sys; from repaudit.cli.app import main; main([]); print('torch' in sys.modules, file=sys.stderr)"
    asked = {
        "_REPAUDIT_COMPLETE": "complete_bash",
        "COMP_WORDS": f"repaudit {words}",
        "COMP_CWORD": str(words.count(" ") + 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, check=True
    )

    assert done.stdout.split()
    assert done.stderr.strip() == "False"


def test_the_text_of_a_profile_is_printed_as_it_is_and_works_as_a_copy(said, tmp_path):
    (tmp_path / "repaudit.yaml").write_text(said("list", "profiles", "ci"))
    copy, shipped = (
        profiles.load(name, audits=None, settings=[], limit=None, directory=tmp_path) for name in (None, "ci")
    )
    as_json = json.loads(said("list", "profiles", "ci", "--json"))

    assert copy.sha256 == shipped.sha256
    assert as_json["text"] == (tmp_path / "repaudit.yaml").read_text() == (ROOT / "profiles" / "ci.yaml").read_text()


def test_the_text_of_a_recipe_is_printed_as_it_is_and_works_as_a_copy(said, tmp_path):
    (tmp_path / "mine.yaml").write_text(said("list", "recipes", "digits"))

    assert reading.load(str(tmp_path / "mine.yaml")).recipe == reading.load("digits").recipe
    assert (tmp_path / "mine.yaml").read_text() == (ROOT / "training" / "digits.yaml").read_text()


def test_what_can_be_completed_is_what_can_be_listed():
    from repaudit.catalogue import Kind

    assert set(KINDS) == {kind.value for kind in Kind}


def test_showing_the_completion_script_is_a_success(capsys, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")

    assert main(["--show-completion", "bash"]) == 0
    assert "_REPAUDIT_COMPLETE" in capsys.readouterr().out
