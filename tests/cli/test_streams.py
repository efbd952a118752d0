"""The report is on stdout, everything else on stderr; JSON alone with `-o -`."""

import json
import os
import pty
import subprocess
import sys

import pytest

SCAN = ("scan", "embedded:digits-cnn", "--data", "digits", "--audits", "accuracy,calibration", "--limit", "100")


def test_json_on_stdout_is_all_there_is_on_stdout(called):
    done = called(*SCAN, "-o", "-")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["accuracy.top1"]["value"] > 0.8
    assert "clean pass" in done.stderr


def test_what_a_users_network_prints_does_not_reach_stdout(called, model_file):
    done = called("scan", f"py:{model_file}:chatty", *SCAN[2:], "-o", "-")

    assert json.loads(done.stdout)["run"]["exit_code"] == 0
    assert "somebody left a print here" in done.stderr


def test_json_on_stdout_goes_through_json_tool_with_a_terminal_on_stderr(tmp_path, environment):
    controller, terminal = pty.openpty()
    command = f"{sys.executable} -m repaudit {' '.join(SCAN)} -o - | {sys.executable} -m json.tool"
    with subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, env=environment | {"TERM": "xterm-256color"},
        stdin=terminal, stdout=subprocess.PIPE, stderr=terminal,
    ) as running:  # fmt: skip
        os.close(terminal)
        text = running.stdout.read()
        try:
            while os.read(controller, 65536):
                pass
        except OSError:
            pass  # Linux reports the closed terminal as an input error.
    os.close(controller)

    assert running.returncode == 0
    assert json.loads(text)["schema_version"] == "1.0"


def test_without_a_terminal_there_are_no_bars_and_no_escape_codes(called):
    done = called(*SCAN)

    assert "\x1b" not in done.stdout + done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("clean pass")]
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_quiet_leaves_one_line(called):
    done = called(*SCAN, "-q")

    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_saved_report_is_shown_again_as_it_was(called, tmp_path):
    first = called(*SCAN, "-o", "report.json")
    again = called("report", "report.json")

    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout


def test_the_folder_of_a_report_is_as_good_as_its_file(called, tmp_path):
    (tmp_path / "out").mkdir()
    first = called(*SCAN, "-o", "out/report.json")
    again = called("report", "out")

    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout


def test_the_page_of_one_audit_is_printed_as_text_and_as_json(called):
    text = called("list", "audits", "calibration")
    found = json.loads(called("list", "audits", "calibration", "--json").stdout)

    assert text.returncode == 0, text.stderr
    assert "default 15. Bins of confidence." in text.stdout
    assert "calibration.ece" in found["metrics"]


def test_the_schema_that_report_prints_validates_the_report_that_scan_writes(called):
    import jsonschema

    schema = json.loads(called("report", "--schema").stdout)
    report = json.loads(called(*SCAN, "-o", "-").stdout)

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(report, schema)


def test_every_flag_is_an_environment_variable_and_the_command_line_wins(called):
    done = called(*SCAN[:-2], "-o", "-", REPAUDIT_LIMIT="50", REPAUDIT_SEED="3")
    report = json.loads(done.stdout)
    stronger = json.loads(called(*SCAN, "-o", "-", REPAUDIT_LIMIT="50").stdout)

    assert (report["data"]["images_count"], report["run"]["seed"]) == (50, 3)
    assert stronger["data"]["images_count"] == 100


FAILING = (*SCAN, "--set", "'gates=[top1 >= 0.9999]'")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [((*SCAN, "-o", "-"), 0), ((*SCAN, "-q"), 0), (FAILING, 1), (("list", "metrics"), 0), (("doctor",), 0)],
)
def test_a_pipe_that_is_closed_early_changes_no_status(tmp_path, environment, arguments, status):
    command = f"{sys.executable} -m repaudit {' '.join(arguments)} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == status
    assert not [word for word in ("Traceback", "Exception ignored", "defect") if word in done.stderr]


def test_a_full_disk_behind_stdout_is_told_and_is_no_verdict(tmp_path, environment):
    command = f"{sys.executable} -m repaudit {' '.join(FAILING)} -o r.json > /dev/full"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 3
    assert "could not be printed" in done.stderr
    assert (tmp_path / "r.json").exists()


def test_a_cache_that_cannot_be_written_costs_a_note_and_nothing_else(called, tmp_path):
    (tmp_path / "file").touch()
    done = called(*SCAN, REPAUDIT_CACHE=str(tmp_path / "file" / "cache"))

    assert done.returncode == 0, done.stderr
    assert "nothing is kept" in done.stderr


def test_the_doctor_says_where_things_are_kept_and_clears_them(called, tmp_path):
    called(*SCAN)
    before = json.loads(called("doctor", "--json").stdout)
    called("doctor", "--clear-cache")
    after = json.loads(called("doctor", "--json").stdout)

    assert before["cache_folder"] == str(tmp_path / "cache")
    assert before["cache_bytes"] > 0
    assert after["cache_bytes"] == 0
    assert "torch" in before["line"]


def test_everything_that_exists_is_listed(called):
    found = json.loads(called("list", "--json").stdout)

    assert {"accuracy", "calibration", "cones", "geometry", "robustness", "selective"} <= set(found["audits"])
    assert {"fgsm", "pgd"} <= set(found["attacks"])
    assert "calibration.ece" in found["metrics"]
    assert {"quick", "standard", "paper"} <= set(found["profiles"])
    assert all(summary for kind in found.values() for summary in kind.values())
