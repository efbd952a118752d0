"""What `doctor` says of the cache is what a scan would find."""

import json
import os
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from repaudit import cache
from repaudit.cli.app import main
from repaudit.cli.doctor import doctor
from repaudit.doctor import diagnose
from repaudit.errors import InvalidOutput
from repaudit.progress import SilentProgress


@pytest.fixture(params=["below a file", "a file", "/proc/nope"])
def unusable(request, tmp_path, monkeypatch) -> Path:
    """A folder that cannot be made, whoever asks: even root."""
    (tmp_path / "file").touch()
    path = {"below a file": tmp_path / "file" / "cache", "a file": tmp_path / "file"}.get(
        request.param, Path(request.param)
    )
    if request.param.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("there is no /proc here")
    monkeypatch.setenv("REPAUDIT_CACHE", str(path))
    return path


@pytest.mark.usefixtures("unusable")
def test_a_cache_that_cannot_be_used_is_called_so_as_a_scan_would_find_it():
    assert cache.writable(SilentProgress()) is None
    assert not diagnose().cache_writable


def test_clearing_a_cache_that_cannot_be_used_claims_nothing(unusable):
    with pytest.raises(InvalidOutput) as raised:
        cache.clear()

    assert str(unusable) in raised.value.problem
    assert "REPAUDIT_CACHE" in raised.value.remedy


def test_looking_at_a_cache_that_could_be_made_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "not" / "yet"))

    assert diagnose().cache_writable
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_clearing_says_how_much_was_freed(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path))
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "logits").write_bytes(bytes(1234))

    assert cache.clear() == 1234
    assert cache.clear() == 0


def test_no_line_is_longer_than_a_pipe_allows_and_packages_stay_beside_their_versions(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path))
    doctor(as_json=False, clear_cache=False)
    lines = capsys.readouterr().out.splitlines()
    found = diagnose()

    assert [line for line in lines if len(line) > 100 and str(tmp_path) not in line] == []
    for name, number in found.packages.items():
        assert any(f"{name} {number}" in line for line in lines), name
    assert found.line in " ".join(line.strip() for line in lines)


@pytest.mark.parametrize(("installed", "said"), [(False, "torch absent"), (True, "(cannot be imported)")])
def test_a_torch_that_is_missing_or_broken_is_told_and_nothing_crashes(monkeypatch, tmp_path, capsys, installed, said):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails
    if not installed:
        monkeypatch.setattr("repaudit.doctor.version", absent)

    assert main(["doctor"]) == 0
    assert said in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["threads"], len(found["devices"])) == (None, 1)
    assert said in f"torch {found['packages']['torch']}"


def absent(name):
    raise PackageNotFoundError(name)


@pytest.mark.parametrize(("threads", "said"), [(1, "1 thread"), (2, "2 threads")])
def test_one_thread_is_no_threads(monkeypatch, threads, said):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    assert diagnose().line.endswith(f", {said}")


def test_the_programs_that_run_onnx_files_are_listed_under_the_package_that_is_imported():
    found = diagnose()

    assert {"onnx", "onnxruntime", "onnx2torch"} <= set(found.packages)
    assert found.packages["onnxruntime"] != "absent"
    assert "CPU" in found.providers


@pytest.mark.parametrize(("installed", "said"), [(False, "absent"), (True, "(cannot be imported)")])
def test_an_onnxruntime_that_is_missing_or_broken_has_no_providers(monkeypatch, tmp_path, capsys, installed, said):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # an import of it fails
    if not installed:
        monkeypatch.setattr("repaudit.doctor.version", absent)

    found = diagnose()
    assert main(["doctor"]) == 0

    assert found.providers == ()
    assert found.packages["onnxruntime"].endswith(said)
    assert "providers" not in capsys.readouterr().out


def test_what_is_printed_stands_in_the_json_too(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path))
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    main(["doctor"])
    printed = " ".join(capsys.readouterr().out.split())

    assert f"network {found['network']}" in printed
    assert f"onnxruntime providers: {', '.join(found['providers'])}" in printed
