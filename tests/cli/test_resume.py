"""A scan that is killed in the middle of an attack ends, the second time, as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

ATTACKS = (
    "robustness.attacks=[{name: cascade, key: two, epsilon: 0.1, attacks: [{name: pgd, key: a, steps: 30, "
    "step_size: 0.002}, {name: pgd, key: b, steps: 30, step_size: 0.01, restarts: 4}]}]"
)
ENOUGH = 40
"""Lines of the journal after which the first run is killed: some images are done and most are not."""


@pytest.fixture
def scan(tmp_path):
    """Starts a scan with a cache of its own; the report goes to a folder of the cache's name."""

    def start(cache, *more):
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "repaudit", "scan", "embedded:digits-cnn", "--data", "digits"),
                *("--audits", "robustness", "--limit", "150", "--set", ATTACKS, "--batch-size", "64"),
                *("--set", "robustness.perturbation_limit=0", "-q", "-o", str(tmp_path / f"out-{cache}"), *more),
            ],
            env={**os.environ, "REPAUDIT_CACHE": str(tmp_path / cache), "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    return start


def finished(process):
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def kill_midway(process, folder):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        journals = list((folder / "attacks").glob("*.jsonl")) if (folder / "attacks").is_dir() else []
        if any(path.read_bytes().count(b"\n") > ENOUGH for path in journals):
            process.kill()
            process.communicate()
            return
        time.sleep(0.005)
    process.kill()
    process.communicate()
    pytest.fail("the scan ended before it could be killed")


def test_a_killed_scan_goes_on_and_writes_the_report_of_one_that_was_not(scan, tmp_path):
    finished(scan("whole"))
    first = scan("killed")
    kill_midway(first, tmp_path / "killed")
    assert first.returncode == -signal.SIGKILL

    finished(scan("killed"))

    whole, killed = (json.loads((tmp_path / f"out-{name}" / "report.json").read_text()) for name in ("whole", "killed"))
    costs = [report.pop("run")["audits"]["robustness"] for report in (whole, killed)]
    assert killed == whole
    assert not costs[0]["resumed"]
    assert costs[1]["resumed"]
    assert costs[1]["forward_rows"] < costs[0]["forward_rows"]
    one, other = (np.load(tmp_path / f"out-{name}" / "per_image.npz") for name in ("whole", "killed"))
    assert all(
        (one[name] == other[name]).all() or np.array_equal(one[name], other[name], equal_nan=True) for name in one
    )


def test_a_finished_attack_is_not_run_again_unless_somebody_asks(scan, tmp_path):
    finished(scan("kept"))
    before = json.loads((tmp_path / "out-kept" / "report.json").read_text())
    finished(scan("kept"))
    again = json.loads((tmp_path / "out-kept" / "report.json").read_text())
    finished(scan("kept", "--fresh"))
    fresh = json.loads((tmp_path / "out-kept" / "report.json").read_text())

    assert again["run"]["audits"]["robustness"]["cached"]
    assert again["run"]["audits"]["robustness"]["forward_rows"] < before["run"]["audits"]["robustness"]["forward_rows"]
    assert fresh["run"]["audits"]["robustness"]["forward_rows"] == before["run"]["audits"]["robustness"]["forward_rows"]
    assert before["metrics"] == again["metrics"] == fresh["metrics"]
