"""The README says what the program does."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_two_commands_do_all_the_set_up():
    set_up = [line for block in COMMANDS for line in block.splitlines() if line.startswith("pip ")]

    assert set_up == ["pip install . && repaudit demo", "pip install -e '.[test]' && pytest"]


def test_ci_runs_the_test_command_that_it_reads_from_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    reader = next(line for line in script.splitlines() if line.startswith("test_command="))
    result = subprocess.run(
        ["bash", "-c", f'{reader}; printf %s "$test_command"'], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert result.stdout == "pip install -e '.[test]' && pytest"
    assert 'eval "$test_command"' in script


def test_every_flag_that_the_readme_shows_exists():
    shown = [line for block in COMMANDS for line in block.splitlines() if line.startswith("repaudit scan ")]
    flags = {flag for line in shown for flag in re.findall(r"(?<=\s)(--?[a-z][a-z-]*)", line)}
    text = subprocess.run(
        [sys.executable, "-m", "repaudit", "scan", "--help"], capture_output=True, text=True, check=True
    ).stdout

    assert shown
    assert {flag for flag in flags if not re.search(rf"(?<![\w-]){flag}\b", text)} == set()


def test_every_page_that_the_readme_links_to_exists():
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert links
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []


def test_the_shown_report_has_the_programs_own_columns():
    (shown,) = re.findall(r"^```text\n(\$ repaudit demo\n.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    header = next(line for line in shown.splitlines() if line.split()[:2] == ["Audit", "Metric"])

    assert header.split() == ["Audit", "Metric", "Value", "95%", "interval", "n", "Gate", "Verdict"]
    assert max(map(len, shown.splitlines())) <= 100
