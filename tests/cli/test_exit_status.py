"""Every documented exit status: of the program as it is called, and of a process where signals come from outside."""

import json
import signal
import subprocess
import sys
import time

import pytest

FAST = ("--audits", "accuracy,calibration")


def gates(tmp_path, *lines):
    path = tmp_path / "mine.yaml"
    path.write_text("audits: [accuracy, calibration]\ngates:\n" + "".join(f"  - {line}\n" for line in lines))
    return path


def test_a_scan_without_gates_ends_with_0(called, model_file):
    done = called("scan", f"py:{model_file}:build", "--data", "digits", *FAST)

    assert done.returncode == 0, done.stderr
    assert "top1" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_gate_that_holds_ends_with_0(called, model_file, tmp_path):
    done = called(
        "scan", f"py:{model_file}:build", "-d", "digits", "-p", gates(tmp_path, "top1 >= 0.5", "ece <= 0.9 @95%")
    )

    assert done.returncode == 0, done.stderr


def test_a_gate_that_fails_ends_with_1_and_says_which_number_decided(called, model_file, tmp_path):
    done = called("scan", f"py:{model_file}:build", "-d", "digits", "-p", gates(tmp_path, "top1 >= 0.999"))

    assert done.returncode == 1, done.stderr
    assert "FAIL" in done.stdout
    assert "0.999" in done.stdout


def test_exit_zero_hides_a_failed_gate(called, model_file, tmp_path):
    done = called(
        "scan", f"py:{model_file}:build", "-d", "digits", "-p", gates(tmp_path, "top1 >= 0.999"), "--exit-zero"
    )

    assert done.returncode == 0
    assert "FAIL" in done.stdout


def test_a_gate_on_something_not_measured_fails(called, model_file, tmp_path):
    flat = tmp_path / "flat.py"
    flat.write_text(
        "import torch\n"
        "preprocess = {'mean': [0.0], 'std': [1.0], 'size': [8, 8]}\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = torch.nn.Conv2d(1, 10, 3)\n"
        "    def forward(self, x):\n"
        "        return torch.tanh(self.conv(x)).mean((2, 3))\n"
        "def build():\n"
        "    return Net()\n"
    )
    profile = tmp_path / "mine.yaml"
    profile.write_text("audits: [geometry]\ngates: [geometry.rms <= 100]\n")
    done = called("scan", f"py:{flat}:build", "-d", "digits", "-p", profile)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "not measured" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("scan", "MODEL", "-d", "digits", "--audits", "acuracy"), "accuracy"),
        (("scan", "MODEL", "-d", "digits", "--set", "calibration.bin=3"), "bins"),
        (("scan", "MODEL", "-d", "nowhere:at/all"), "repaudit list data"),
        (("scan", "MODEL"), "--data"),
        (("scan", "resnet5O", "-d", "digits"), "resnet50"),
        (("scan", "MODEL", "-d", "digits", "-o", "no/such/folder/report.json"), "folder"),
        (("scan", "MODEL", "-d", "digits", "-o", "report.pdf"), ".json"),
        (("scan", "MODEL", "-d", "digits", "--device", "cuda:99"), "--device"),
        (("scan", "MODEL", "-d", "digits", "--batch-size", "many"), "--batch-size"),
        (("scan", "MODEL", "-d", "digits", "--no-such-flag"), "--no-such-flag"),
        (("scan", "MODEL", "-d", "digits", "-p", "quik"), "quick"),
        (("scan", "MODEL", "-d", "digits", "--set", "n=3"), "--set model.n=…"),
        (("scan", "MODEL", "-d", "digits", "--set", "gates=[aurc <= 0.1]"), "robustness,selective"),
        (("list", "audit"), "audits"),
        (("list", "audits", "calibraton"), "repaudit list audits calibration"),
        (("scan", "MODEL", "-d", "digits", "-a", ""), "--audits accuracy,calibration"),
        (("report", "absent.json"), "absent.json"),
        (("nonsense",), "nonsense"),
    ],
)
def test_a_command_that_must_change_ends_with_2_and_names_what_mends_it(called, model_file, arguments, words):
    done = called(*[f"py:{model_file}:build" if part == "MODEL" else part for part in arguments])

    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("gate", "remedy"),
    [
        ("calibration.temperature <= 9 @95%", "try: calibration.temperature <= 9"),
        ("top1 >= 75", "try: top1 >= 0.75"),
        ("asr <= 0.5", "try: robustness.fgsm.asr <= 0.5"),
        ("pgd_s.asr <= 0.5", "try: audits: {robustness: {attacks: [fgsm, pgd_s]}}"),
        ("worse(top1) <= 0.01", "--baseline REPORT"),
        ("worse(temperature) <= 0.01", "such as temperature <= NUMBER"),
        ("tpo1 >= 0.5", "try: top1 >= 0.5"),
    ],
)
def test_a_gate_that_could_not_be_judged_ends_with_2_before_the_model_is_even_looked_for(
    called, tmp_path, gate, remedy
):
    (tmp_path / "mine.yaml").write_text(
        f"audits:\n  accuracy: {{}}\n  calibration: {{}}\n  robustness: {{attacks: [fgsm]}}\ngates:\n  - {gate}\n"
    )
    done = called("scan", "no-such-model", "-d", "digits", "-p", "mine.yaml", "-o", "report.json")

    assert done.returncode == 2, done.stdout
    assert f"mine.yaml:6: gate `{gate}`" in done.stderr
    assert remedy in done.stderr
    assert not (tmp_path / "report.json").exists()


def test_an_interval_that_a_single_image_cannot_give_fails_its_gate_and_leaves_the_report_complete(
    called, model_file, tmp_path
):
    profile = gates(tmp_path, "nll <= 9 @95%", "top1 >= 0.0")
    done = called("scan", f"py:{model_file}:build", "-d", "digits", "-n", "1", "-p", profile, "-o", "report.json")

    assert done.returncode == 1, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["run"]["status"] == "complete"
    assert [gate["outcome"] for gate in report["gates"]] == ["not measured", "pass"]


def test_a_crash_inside_one_audit_ends_with_3_and_keeps_the_others(called, model_file, tmp_path):
    profile = tmp_path / "mine.yaml"
    profile.write_text("audits: {accuracy: {}, robustness: {attacks: [fgsm], limit: 16}}\ngates: [top1 >= 0.5]\n")
    done = called("scan", f"py:{model_file}:broken", "-d", "digits", "-p", profile, "-o", "report.json")

    assert done.returncode == 3, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["run"]["status"] == "partial"
    assert {audit["id"]: audit["status"] for audit in report["audits"]} == {"accuracy": "ok", "robustness": "error"}
    assert report["metrics"]["accuracy.top1"]["value"] > 0.5
    assert report["gates"][0]["outcome"] == "pass"
    assert "this gradient cannot be had" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_report_that_is_not_complete_never_replaces_one_that_is(called, model_file, tmp_path):
    profile = tmp_path / "mine.yaml"
    profile.write_text("audits: {accuracy: {}, robustness: {attacks: [fgsm], limit: 16}}\n")
    called("scan", f"py:{model_file}:build", "-d", "digits", "-p", profile, "-o", "report.json")
    complete = (tmp_path / "report.json").read_text()
    done = called("scan", f"py:{model_file}:broken", "-d", "digits", "-p", profile, "-o", "report.json")

    assert done.returncode == 3
    assert json.loads(complete)["run"]["status"] == "complete"
    assert (tmp_path / "report.json").read_text() == complete
    assert json.loads((tmp_path / "report.partial.json").read_text())["run"]["status"] == "partial"
    assert "report.partial.json" in done.stderr


def test_a_network_that_exits_with_0_is_not_a_passed_scan(called, model_file):
    done = called("scan", f"py:{model_file}:leaves", "-d", "digits", *FAST)

    assert done.returncode in {2, 3}, done.stdout
    assert done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_scan_ends_with_its_own_status_and_the_same_command_continues(
    repaudit, model_file, environment, tmp_path, number, status
):
    arguments = ["scan", f"py:{model_file}:slow", "-d", "digits", "--audits", "accuracy", "--batch-size", "8"]
    (tmp_path / "slow").touch()
    running = subprocess.Popen(
        [sys.executable, "-m", "repaudit", *arguments], cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with running:
        for _ in range(600):
            if any((tmp_path / "cache").rglob("manifest.json")):
                break
            time.sleep(0.1)
        running.send_signal(number)
        _, errors = running.communicate()
    (tmp_path / "slow").unlink()
    again = repaudit(*arguments, "-o", "report.json")

    assert running.returncode == status, errors
    assert "Traceback" not in errors
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "report.json").read_text())["run"]["clean_pass"]["resumed"] is True
