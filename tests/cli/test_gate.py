"""Saved reports are judged again, alone and beside a baseline, by exit status."""

import json
import shutil
import subprocess
import sys

import pytest

SCAN = ("--data", "digits", "--audits", "accuracy,calibration", "-q")
WORSE = """
import torch
from safetensors.torch import load_file
from repaudit import shipped
from repaudit.digits_network import digits_network

preprocess = {"mean": [0.0], "std": [1.0], "size": [8, 8]}


def make():
    network = digits_network()
    network.load_state_dict(load_file(shipped.assets() / "digits-cnn.safetensors"))
    with torch.no_grad():
        network[-1].bias[:3] += 3.0
    return network
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """A report of the embedded network, and one of the same network with a bias against it."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "worse.py").write_text(WORSE)
    for model, name in (("embedded:digits-cnn", "good"), ("py:worse.py:make", "bad")):
        (folder / name).mkdir()
        # the JSON alone: a whole folder draws figures too, which takes longer than the scan
        command = [sys.executable, "-m", "repaudit", "scan", model, *SCAN, "-o", f"{name}/report.json"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def beside(reports, tmp_path):
    for name in ("good", "bad"):
        shutil.copytree(reports / name, tmp_path / name)
    return tmp_path


def gates(*texts):
    return ("--set", f"gates=[{', '.join(texts)}]")


@pytest.mark.parametrize(
    ("gate", "status", "told"),
    [
        ("top1 >= 0.9", 0, "the gate holds"),
        ("top1 >= 0.99", 1, "top1 >= 0.99"),
        ("ece <= 0.05 @95%", 0, "the gate holds"),
        ("tpo1 >= 0.9", 2, "top1"),
        ("top1 >= 90", 2, "0.9"),
        ("worse(top1) <= 0", 2, "--baseline"),
        ("fgsm.asr <= 0.5", 2, "fgsm.asr"),
    ],
)
def test_a_saved_report_is_judged_by_other_gates(called, beside, gate, status, told):
    done = called("gate", "good", *gates(gate))

    assert done.returncode == status, done.stderr
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_profile_the_reports_own_gates_are_judged_again(called, beside):
    content = json.loads((beside / "good" / "report.json").read_text())
    content["profile"]["resolved"]["gates"] = ["top1 >= 0.999"]
    (beside / "good" / "report.json").write_text(json.dumps(content))

    done = called("gate", "good/report.json", "-q")

    assert done.returncode == 1, done.stderr
    assert "top1 >= 0.999" in done.stdout


def test_without_any_gate_there_is_nothing_to_judge(called, beside):
    done = called("gate", "good")

    assert done.returncode == 2
    assert "there is no gate" in done.stderr


@pytest.mark.parametrize("status", [3, 130])
def test_a_report_that_is_not_complete_is_no_verdict(called, beside, status):
    content = json.loads((beside / "good" / "report.json").read_text())
    content["run"] |= {"status": "partial", "exit_code": status, "message": "interrupted"}
    (beside / "good" / "report.json").write_text(json.dumps(content))

    assert called("gate", "good", *gates("top1 >= 0.9")).returncode == status
    assert called("gate", "good", *gates("top1 >= 0.999"), "--exit-zero").returncode == status


@pytest.mark.parametrize(
    ("report", "gate", "baseline", "status"),
    [
        ("bad", "worse(top1) <= 0.005 @95%", "good", 1),
        ("good", "worse(top1) <= 0.005 @95%", "bad", 0),
        ("good", "worse(top1) <= 0 @95% strict", "bad", 0),
        ("good", "worse(top1) <= 0 @95% strict", "good", 1),
        ("good", "worse(top1) <= -0.0001 @95% strict", "good", 1),
        ("bad", "worse(nll) <= 0 @95%", "good", 1),
        ("bad", "worse(ece) <= 0.5", "good", 0),
    ],
)
def test_a_report_is_judged_beside_another_on_the_same_images(called, beside, report, gate, baseline, status):
    done = called("gate", report, "--baseline", baseline, *gates(gate))

    assert done.returncode == status, done.stdout + done.stderr


def test_what_decided_a_relative_gate_and_what_it_could_have_found_are_told(called, beside):
    done = called("gate", "bad", "--baseline", "good", *gates("worse(top1) <= 0.005 @95%"))
    text = " ".join(done.stdout.split())

    written = [json.loads((beside / each / "report.json").read_text()) for each in ("good", "bad")]
    accuracies = [report["metrics"]["accuracy.top1"]["value"] for report in written]
    assert f"worse(accuracy.top1) is {accuracies[0] - accuracies[1]:.3g}" in text
    assert f"({accuracies[0]:.3g} before, {accuracies[1]:.3g} now)" in text
    assert "On 900 pairs a true worsening by" in text


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ("worse(temperature) <= 0.1", "neither direction"),
        ("worse(mce) <= 0.1", "cannot be compared image by image"),
        ("worse(ece) <= 0.1 @99.9%", "99.5%"),
        ("worse(top1) <= 5", "0.05"),
    ],
)
def test_a_difference_that_cannot_be_judged_is_refused_with_what_can(called, beside, gate, told):
    done = called("gate", "bad", "--baseline", "good", *gates(gate))

    assert done.returncode == 2, done.stdout
    assert told in done.stderr
    assert "try:" in done.stderr


def test_reports_of_other_images_are_refused_with_every_difference(called, beside):
    assert called("scan", "embedded:digits-cnn", *SCAN, "--limit", "100", "-o", "few").returncode == 0

    done = called("gate", "few", "--baseline", "good", *gates("worse(top1) <= 0.01"))

    assert done.returncode == 2
    assert "number: 900 in the baseline, 100 here" in done.stderr
    assert "fingerprint" in done.stderr


def test_a_scan_beside_a_baseline_fails_for_the_right_reason_and_keeps_the_comparison(called, beside, reports):
    shutil.copy(reports / "worse.py", beside)

    done = called("scan", "py:worse.py:make", *SCAN, "-b", "good", *gates("worse(top1) <= 0.005 @95%"), "-o", "now")

    assert done.returncode == 1, done.stderr
    written = json.loads((beside / "now" / "report.json").read_text())
    assert written["comparisons"]["accuracy.top1"]["n"] == 900
    assert written["comparisons"]["accuracy.top1"]["worse"] > 0.005
    assert written["baseline"]["model"] == "embedded:digits-cnn"


def test_a_scan_that_cannot_be_compared_is_refused_before_anything_is_measured(called, beside):
    asked = (*SCAN, "--limit", "100", "-b", "good", *gates("worse(top1) <= 0.005 @95%"), "-o", "now")

    done = called("scan", "embedded:digits-cnn", *asked)

    assert done.returncode == 2
    assert "number: 900 in the baseline, 100 here" in done.stderr
    assert not (beside / "now" / "report.json").exists()


def test_rows_that_belong_to_another_report_are_refused(called, beside):
    shutil.copy(beside / "bad" / "per_image.npz", beside / "good" / "per_image.npz")

    done = called("gate", "bad", "--baseline", "good", *gates("worse(top1) <= 0.01"))

    assert done.returncode == 2
    assert "sha256" in done.stderr


def test_a_gate_needs_neither_torch_nor_a_model(beside):
    arguments = ["gate", str(beside / "bad"), "-b", str(beside / "good"), *gates("worse(ece) <= 0.9 @95%")]
    code = f"""
import sys
from repaudit.cli.app import main
status = main({arguments!r})
print(status, *sorted({{"torch", "torchvision", "timm", "sklearn", "scipy.stats"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "0"


def test_a_comparison_needs_the_rows_of_the_accuracy_audit(called, beside):
    asked = ("--data", "digits", "--audits", "calibration", *gates("worse(ece) <= 0.01"), "-o", "now")

    done = called("scan", "embedded:digits-cnn", *asked, "-b", "good")

    assert done.returncode == 2, done.stderr
    assert "--audits accuracy,calibration" in done.stderr
    assert not (beside / "now" / "report.json").exists()


def test_a_baseline_without_the_rows_that_a_comparison_needs_is_refused(called, beside):
    scanned = called("scan", "embedded:digits-cnn", "--data", "digits", "-a", "calibration", "-q", "-o", "bare")
    assert scanned.returncode == 0, scanned.stderr

    done = called("gate", "good", "--baseline", "bare", *gates("worse(ece) <= 0.01"))

    assert done.returncode == 2, done.stderr
    assert "per-image rows: no `prediction` in the baseline" in done.stderr


# --- waivers

EVIL = "<script>alert(1)</script>\\e[31m\\nsecond line"
"""In YAML's double quotes: markup, an escape sequence and a line break."""


def waived(folder, until):
    text = f"""\
gates:
  - top1 >= 0.999
waivers:
  - gate: top1
    until: {until}
    reason: "{EVIL}"
"""
    (folder / "repaudit.yaml").write_text(text)


def test_a_waived_gate_lets_pass_and_says_until_when_and_why(called, beside):
    waived(beside, "9999-12-31")

    done = called("gate", "good")
    text = " ".join(done.stdout.split())

    assert done.returncode == 0, done.stderr
    assert "below the limit 0.999; waived until 9999-12-31: <script>alert(1)</script>\\x1b[31m second line" in text
    assert "1 of 1 gates waived until 9999-12-31" in text
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("until", ["2000-01-01", "'2000-01-01'"])
def test_an_expired_waiver_no_longer_excuses_a_failure(called, beside, until):
    waived(beside, until)

    done = called("gate", "good")
    text = " ".join(done.stdout.split())

    assert done.returncode == 1, done.stderr
    assert "below the limit 0.999; its waiver expired on 2000-01-01." in text
    assert "1 of 1 gates failed: top1 >= 0.999" in text


@pytest.mark.parametrize(
    ("without", "line", "told"),
    [("until", 4, "a waiver needs `until`"), ("reason", 4, "a waiver needs `reason`")],
)
def test_a_waiver_without_its_end_or_its_reason_is_refused_with_its_line(called, beside, without, line, told):
    waived(beside, "9999-12-31")
    lines = (beside / "repaudit.yaml").read_text().splitlines()
    (beside / "repaudit.yaml").write_text("\n".join(text for text in lines if f"{without}:" not in text))

    done = called("gate", "good")

    assert done.returncode == 2
    assert f"repaudit.yaml:{line}: {told}" in done.stderr
    assert f"try: {without}:" in done.stderr
    assert not done.stdout


def test_a_crash_is_not_excused_by_a_waiver(called, beside):
    waived(beside, "9999-12-31")
    content = json.loads((beside / "good" / "report.json").read_text())
    content["run"] |= {"status": "partial", "exit_code": 3, "message": "geometry: it broke"}
    (beside / "good" / "report.json").write_text(json.dumps(content))

    assert called("gate", "good").returncode == 3


def test_a_scan_is_excused_as_its_report_is_afterwards_by_the_waivers_that_it_keeps(called, beside):
    waived(beside, "9999-12-31")
    scanned = called("scan", "embedded:digits-cnn", *SCAN, "-o", "now.json")
    (beside / "repaudit.yaml").unlink()

    assert scanned.returncode == 0, scanned.stderr
    assert "1 of 1 gates waived until 9999-12-31" in scanned.stdout
    written = json.loads((beside / "now.json").read_text())
    assert written["gates"][0]["outcome"] == "waived"
    assert written["gates"][0]["waiver"]["reason"] == "<script>alert(1)</script>\x1b[31m\nsecond line"
    assert written["profile"]["resolved"]["waivers"][0]["until"] == "9999-12-31"
    assert called("gate", "now.json").returncode == 0
    assert called("gate", "now.json", "--set", "waivers=[]").returncode == 1


def test_what_the_report_was_never_compared_in_is_refused_and_not_failed(called, beside):
    kept = called("gate", "bad", "-b", "good", *gates("worse(top1) <= 0.5"), "-q", "-o", "kept.json")
    asked = called("gate", "kept.json", *gates("worse(nll) <= 0.5 @95%"))

    assert kept.returncode == 0
    assert asked.returncode == 2
    assert "--baseline REPORT" in asked.stderr
    assert called("gate", "kept.json", "-q").returncode == 0  # by its own gates: those were compared


def test_the_table_shows_a_difference_as_a_row_of_its_own(called, beside):
    table = called("gate", "bad", "-b", "good", *gates("worse(top1) <= 0.005 @95%")).stdout.splitlines()
    plain = next(line for line in table if line.split()[:2] == ["accuracy", "top1"])
    (relative,) = [line for line in table if "worse(top1)" in line and "FAIL" in line][:1]

    assert "<=" not in plain
    assert "<= 0.005 @95%" in relative
    assert float(relative.split()[1]) < 0.1  # the difference, not the accuracy
