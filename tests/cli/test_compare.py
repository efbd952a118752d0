"""`repaudit compare` by exit status, streams and files."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

N = 60
MARKS = {
    "c.html": '<meta name="generator" content="repaudit',
    "c.md": "<!-- repaudit comparison -->",
    "c.csv": "model,",
    "c.json": '"name": "repaudit"',
}


@pytest.fixture
def reports(save_report, tmp_path):
    """Two models told apart, as folders `good` and `bad` where the program runs."""
    right = np.arange(N) < 50
    for name, answers in (("good", right), ("bad", right & (np.arange(N) % 3 > 0))):
        save_report(f"timm:{name}", answers).rename(tmp_path / name)
    return tmp_path


def test_models_are_put_side_by_side_and_the_first_is_the_reference(called, reports):
    done = called("compare", "good", "bad/report.json")

    assert done.returncode == 0, done.stderr
    assert "2 models on 60 images" in done.stdout
    assert "1 timm:good  reference" in done.stdout
    assert "worse" in done.stdout
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "better" in called("compare", "bad", "good").stdout


def test_a_worse_model_is_no_failure(called, reports):
    assert called("compare", "good", "bad").returncode == 0


def test_json_on_stdout_is_all_there_is_on_stdout(called, reports):
    done = called("compare", "good", "bad", "-o", "-")

    values = json.loads(done.stdout)
    assert done.returncode == 0
    assert values["reference"] == "timm:good"
    assert values["rows"][1]["tally"]["worse"] == ["accuracy.top1", "calibration.nll"]


def test_every_format_is_written_with_its_mark_and_again_over_itself(called, reports):
    wanted = [part for name in MARKS for part in ("-o", name)]

    first, again = called("compare", "good", "bad", *wanted), called("compare", "good", "bad", *wanted)

    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    assert first.stderr.splitlines() == [f"comparison: {name}" for name in MARKS]
    for name, mark in MARKS.items():
        assert mark in (reports / name).read_text(encoding="utf-8")[:4096]
    with (reports / "c.csv").open(newline="") as file:
        assert {row["model"] for row in csv.DictReader(file)} == {"timm:good", "timm:bad"}
    assert "2 models" in first.stdout  # the table is printed all the same


@pytest.mark.parametrize("name", ["own.json", "own.html", "own.md", "own.csv", "good/report.json", "empty.md"])
def test_what_is_no_comparison_of_ours_is_never_overwritten(called, reports, name):
    path = reports / name
    content = {
        "own.json": '{"tool": {"name": "repaudit"}, "mine": 1}',
        "own.html": '<meta name="generator" content="repaudit 1"><title>a report · repaudit</title>',
        "own.md": "<!-- repaudit report -->\n",
        "own.csv": "id,model,report,role,metric,value,\n",
        "empty.md": "",
    }.get(name)
    if content is not None:
        path.write_text(content)
    before = path.read_bytes()

    done = called("compare", "good", "bad", "-o", name)

    assert done.returncode == 2
    assert "is no comparison of repaudit" in done.stderr
    assert done.stdout == ""
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("output", "problem", "remedy"),
    [
        ("good", "`good` is a folder", "-o good/comparison.html"),
        ("no/such/c.md", "the folder `no/such` does not exist", "mkdir -p no/such"),
        ("c.pdf", "no format of a comparison is called `.pdf`", "-o c.html"),
        ("c.xml", "no format of a comparison is called `.xml`", "-o c.html"),
        ("c", "has no extension", "-o c.html"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_compared(
    called, reports, output, problem, remedy
):
    done = called("compare", "good", "bad", "-o", output)

    assert done.returncode == 2
    assert problem in done.stderr
    assert f"try: {remedy}" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "a comparison needs two reports, and 0 were given"),
        (("good",), "a comparison needs two reports, and 1 was given"),
        (("good", "nowhere"), "nowhere cannot be read"),
        (("good", "bad", "--sort", "tpo1"), "--sort top1"),
        (("good", "bad", "--metrics", "top1,eec"), "--metrics ece"),
        (("good", "bad", "--published", "RS"), "--published rs"),
        (("good", "bad", "--publish"), "--published"),
    ],
)
def test_a_mistake_is_exit_status_2_with_what_mends_it(called, reports, arguments, told):
    done = called("compare", *arguments)

    assert done.returncode == 2
    assert told in done.stderr
    assert "try: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", ['{"schema_version": "1.0", "tool"', "not json", '{"schema_version": "2.0"}', ""])
def test_a_truncated_foreign_or_newer_report_is_exit_status_2(called, reports, content):
    (reports / "bad" / "report.json").write_text(content)

    done = called("compare", "good", "bad")

    assert done.returncode == 2
    assert "bad/report.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_comparison_is_no_report(called, reports):
    called("compare", "good", "bad", "-o", "c.json")

    done = called("compare", "good", "c.json")

    assert done.returncode == 2
    assert "c.json is a comparison of several reports" in done.stderr


def test_other_images_are_exit_status_2_with_the_differences_unless_allowed(called, reports):
    content = json.loads((reports / "bad" / "report.json").read_text())
    content["data"] |= {"subset": "first 60", "fingerprint": "f" * 64}
    (reports / "bad" / "report.json").write_text(json.dumps(content))

    refused = called("compare", "good", "bad")
    allowed = called("compare", "good", "bad", "--allow-different-data")

    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "subset: all in the reference, first 60 here" in refused.stderr
    assert "fingerprint" in refused.stderr
    assert "--allow-different-data" in refused.stderr
    assert allowed.returncode == 0
    assert "2 timm:bad   not paired" in allowed.stdout
    assert "Differences to the reference" not in allowed.stdout


def test_a_report_without_its_rows_is_compared_as_far_as_that_goes(called, reports):
    (reports / "bad" / "per_image.npz").unlink()

    done = called("compare", "good", "bad")

    assert done.returncode == 0, done.stderr
    assert "not paired" in done.stdout
    assert "per_image.npz" in done.stdout


def test_published_rows_stand_beside_and_columns_are_chosen(called, reports):
    done = called("compare", "good", "bad", "--published", "rs", "--metrics", "ece,top1", "--sort", "ece")

    assert done.returncode == 0, done.stderr
    assert "ResNet50, Baseline, ImageNet" in done.stdout
    assert "0.761" in done.stdout
    assert "Sorted by calibration.ece" in done.stdout
    assert "nll" not in done.stdout


def test_a_closed_pipe_is_neither_a_traceback_nor_a_failed_gate(reports, environment):
    for arguments in ("", " -o -"):
        command = f"{sys.executable} -m repaudit compare good bad{arguments} | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", command], cwd=reports, env=environment, capture_output=True, text=True, check=False
        )

        assert done.returncode != 1
        assert not [word for word in ("Traceback", "Exception ignored", "defect") if word in done.stderr]


def test_comparing_needs_no_heavy_library(reports, environment):
    code = (
        "import sys\nfrom repaudit.cli.app import main\n"
        "status = main(['compare', 'good', 'bad', '-o', 'c.html', '-o', 'c.csv', '-o', 'c.md', '-o', '-'])\n"
        "libraries = {'torch', 'torchvision', 'timm', 'sklearn', 'matplotlib', 'scipy.stats', 'pandas'}\n"
        "heavy = libraries & set(sys.modules)\n"
        "assert status == 0 and not heavy, (status, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=reports, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_help_fits_eighty_columns_and_every_flag_is_an_environment_variable(called, reports):
    from typer.main import get_command

    from repaudit.cli.app import app

    text = called("compare", "--help", COLUMNS="80").stdout
    flags = [parameter for parameter in get_command(app).commands["compare"].params if parameter.opts[0][0] == "-"]
    named = {max(flag.opts, key=len): flag.envvar for flag in flags if "--help" not in flag.opts}

    assert max(map(len, text.splitlines())) <= 80
    assert named == {flag: f"REPAUDIT_{flag.removeprefix('--').replace('-', '_').upper()}" for flag in named}
    done = called("compare", "good", "bad", REPAUDIT_METRICS="ece", REPAUDIT_SORT="ece")
    assert "top1" not in done.stdout.partition("Next:")[0]
