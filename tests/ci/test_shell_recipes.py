"""The recipes of docs/ci.md for shells, Jenkins and containers."""

import json
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_every_recipe_scans_by_the_line_that_was_run_or_its_form_for_the_night(recipes, scan_line):
    lines = [line.strip() for text in recipes.values() for line in text.splitlines() if "repaudit scan" in line]
    bare = {re.sub(r"^(- run: |- |sh ')|'$| \|\| status=\$\?$", "", line) for line in lines}

    assert bare == {scan_line, 'repaudit scan "$MODEL" --data "$DATA" -o nightly --exit-zero'}


@pytest.fixture
def kept(workplace):
    """The folder of the shell recipe that outlives a job."""
    folder = workplace.folder.parent / "kept"
    workplace.environment["KEPT"] = str(folder)
    return folder


def test_the_shell_keeps_what_passed_and_compares_the_next_with_it(workplace, recipes, kept, written):
    first, second = workplace.bash(recipes["audit.sh"]), workplace.bash(recipes["audit.sh"])

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert workplace.files("out") >= written
    assert workplace.files("beside") >= {"beside/report.html", "beside/junit.xml"}
    assert (kept / "report.json").exists()


def test_the_shell_keeps_nothing_that_failed(workplace, recipes, kept):
    workplace.gates("top1 >= 0.999")
    done = workplace.bash(recipes["audit.sh"])

    assert done.returncode == 1
    assert "a gate failed" in done.stdout
    assert not kept.exists()


def test_the_shell_keeps_nothing_that_is_worse_than_what_was_kept(workplace, recipes, kept, better):
    shutil.copytree(better, kept)
    before = (kept / "report.json").read_bytes()
    done = workplace.bash(recipes["audit.sh"])

    assert done.returncode == 1
    assert (kept / "report.json").read_bytes() == before
    assert "beside/report.html says why" in done.stdout
    assert "worse(top1) &lt;= 0.005 @95%" in (workplace.folder / "beside" / "report.html").read_text()
    assert "worse(top1)" not in (workplace.folder / "out" / "report.html").read_text()


def test_the_shell_says_of_a_scan_that_failed_where_its_own_report_lies(workplace, recipes, kept, better):
    shutil.copytree(better, kept)
    workplace.bash(recipes["audit.sh"])
    assert workplace.files("beside")
    workplace.gates("top1 >= 0.999")
    done = workplace.bash(recipes["audit.sh"])

    assert done.returncode == 1
    assert "out/report.html says why" in done.stdout
    assert workplace.files("beside") == set()


def test_the_shell_leaves_no_report_of_an_earlier_job_where_there_is_no_verdict(workplace, recipes, kept):
    workplace.bash(recipes["audit.sh"])
    assert workplace.files("out")
    workplace.environment["MODEL"] = "missing"

    assert workplace.bash(recipes["audit.sh"]).returncode == 2
    assert workplace.files("out beside") == set()


def test_the_shell_takes_no_crash_for_a_verdict(workplace, recipes, kept, measured, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(measured, broken)
    report = json.loads((broken / "report.json").read_text())
    report["run"] |= {"status": "partial", "exit_code": 3, "message": "out of memory"}
    (broken / "report.json").write_text(json.dumps(report))
    workplace.environment["MEASURED"] = str(broken)
    done = workplace.bash(recipes["audit.sh"])

    assert done.returncode == 3
    assert "no verdict (exit status 3)" in done.stdout
    assert not kept.exists()


def test_the_shell_says_that_a_wrong_reference_is_no_verdict(workplace, recipes, kept):
    workplace.environment["MODEL"] = "missing"

    assert workplace.bash(recipes["audit.sh"]).returncode == 2


@pytest.mark.parametrize(("gate", "status"), [("top1 >= 0.75", 0), ("top1 >= 0.999", 1)])
def test_jenkins_finds_the_files_that_it_is_told_to_keep(workplace, recipes, gate, status, written):
    recipe = recipes["Jenkinsfile"]
    workplace.gates(gate)
    done = [workplace.bash(line, "-e").returncode for line in re.findall(r"\bsh '(.*)'$", recipe, flags=re.MULTILINE)]
    (junit,) = re.findall(r"junit testResults: '(.*?)'", recipe)
    (kept,) = re.findall(r"artifacts: '(.*?)'", recipe)

    assert done == [0, status]
    assert [path.name for path in workplace.folder.glob(junit)] == ["junit.xml"]
    assert {f"out/{path.name}" for path in workplace.folder.glob(kept + "/*") if path.is_file()} >= written


def test_the_container_runs_what_the_image_starts_with(workplace, recipes, tmp_path, written):
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    done = workplace.bash(recipes["container.sh"], "-e", CACHE=str(tmp_path / "weights"))

    assert json.loads(entry) == ["repaudit"]
    assert done.returncode == 0, done.stderr
    assert workplace.files("out") >= written
