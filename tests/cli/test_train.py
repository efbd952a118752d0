"""`repaudit train`: one command trains, scans and compares; what is wrong is told before anything is trained."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

SMALL = (
    *("--reg", "onehot,vs", "--seeds", "2", "--epochs", "2"),
    *("--set", "network.arguments.width=4", "--set", "batch_size=32"),
    *("--set", "scan.settings=[robustness.limit=16, limit=200]"),
)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    """A matrix of four runs as one command makes it, and what it printed."""
    folder = tmp_path_factory.mktemp("matrix")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REPAUDIT_")}
    environment |= {"REPAUDIT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "repaudit", "train", *SMALL, "-o", "out", *arguments],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return folder / "out", run("--jobs", "1"), run


def test_every_run_leaves_a_checkpoint_a_log_and_a_report(matrix):
    folder, finished, _ = matrix

    assert finished.returncode == 0, finished.stderr
    for name in ("onehot-seed0", "onehot-seed1", "vs-seed0", "vs-seed1"):
        files = {path.name for path in (folder / name).iterdir()}
        assert {"model.safetensors", "log.jsonl", "report.json", "run.json"} <= files
        assert ("vs_head.safetensors" in files) == name.startswith("vs")
        assert json.loads((folder / name / "report.json").read_text())["metrics"]["accuracy.top1"]["n"] == 200


def test_the_table_has_a_row_for_each_method(matrix):
    folder, finished, _ = matrix
    table = json.loads((folder / "table.json").read_text())

    assert [(row["name"], row["runs"]) for row in table["rows"]] == [("onehot", 2), ("vs", 2)]
    assert table["rows"][1]["cells"]["geometry.rms"]["pairs"] == 2
    assert "onehot" in finished.stdout
    assert "paired t test" in finished.stdout


def test_the_same_command_makes_nothing_twice_and_two_processes_make_the_weights_of_one(matrix, tmp_path):
    folder, _, run = matrix
    before = {path: path.read_bytes() for path in folder.rglob("model.safetensors")}
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}

    again = run("--jobs", "1")
    pair = run("--jobs", "2", "-o", str(tmp_path / "pair"), "--no-scan")

    assert again.returncode == pair.returncode == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    for path, content in before.items():
        assert (tmp_path / "pair" / path.relative_to(folder)).read_bytes() == content


def test_another_recipe_in_the_same_folder_is_refused_with_the_difference(matrix):
    _, _, run = matrix
    refused = run("--set", "optimizer.rate=0.05")

    assert refused.returncode == 2
    assert "optimizer.rate: 0.1 there, 0.05 now" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--alpha", "1.0"], "outside [0, 1)"),
        (["--set", "vs.virtual=0"], "vs.virtual"),
        (["--seeds", "0"], "seeds"),
        (["--set", "optimiser.rate=1"], "`optimizer` instead of `optimiser`"),
        (["--recipe", "digit"], "--recipe digits"),
        (["--recipe", "mine.yaml"], "no recipe mine.yaml"),
        (["--reg", "vss"], "--reg vs"),
        (["--set", "batch_size=5000"], "fewer than one batch"),
        (["--jobs", "none"], "--jobs auto"),
        (["--set", "augmentation.resized_crop=[0.1, 1.0]"], "cannot be cut and resized"),
        (["--arch", "baseline:conv6"], "baseline:conv"),
        (["--set", "objective.name=standart"], "objective.name=standard"),
        (["--data", "npz:absent.npz"], "absent.npz"),
        (["--set", "scan.profile=quik"], "quick"),
    ],
)
def test_a_mistake_ends_with_2_before_anything_is_trained(capsys, monkeypatch, tmp_path, arguments, told):
    from repaudit.cli.app import main

    monkeypatch.chdir(tmp_path)
    assert main(["train", "--jobs", "1", "--epochs", "1", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_more_processes_than_cores_are_told(capsys, monkeypatch, tmp_path):
    from repaudit.cli.app import main

    monkeypatch.chdir(tmp_path)
    main(["train", "--jobs", "4096", "--recipe", "digits", "--set", "batch_size=5000"])

    assert "4096 processes share" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal_number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_matrix_that_was_stopped_goes_on_and_ends_with_the_same_weights(
    tmp_path, environment, signal_number, status, jobs
):
    def command(folder):
        return [
            sys.executable, "-m", "repaudit", "train", "--reg", "cutmix+vs,onehot", "--seeds", "1", "--epochs", "60",
            "--no-scan", "--jobs", jobs, "-o", folder,
        ]  # fmt: skip

    subprocess.run(command("whole"), cwd=tmp_path, env=environment, check=True, capture_output=True)
    with subprocess.Popen(
        command("parts"), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as running:
        log = tmp_path / "parts" / "cutmix+vs-seed0" / "log.jsonl"
        while running.poll() is None and not (log.exists() and log.read_text().count("\n") > 5):
            time.sleep(0.05)
        running.send_signal(signal_number)
        running.communicate(timeout=120)
    again = subprocess.run(command("parts"), cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)

    assert running.returncode == status
    assert again.returncode == 0, again.stderr
    for whole in (tmp_path / "whole").rglob("*.safetensors"):
        assert whole.read_bytes() == (tmp_path / "parts" / whole.relative_to(tmp_path / "whole")).read_bytes()
