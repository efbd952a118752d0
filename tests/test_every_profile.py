"""Whatever lies in the profiles folder loads, runs audits that exist, and is documented."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
from scipy.stats import binomtest

from repaudit import audits, published, shipped
from repaudit.conductor import Order, carry_out
from repaudit.gates import check
from repaudit.profiles import load, names, summary
from repaudit.progress import SilentProgress


@pytest.fixture(params=names())
def name(request) -> str:
    return request.param


def test_a_shipped_profile_resolves_to_audits_and_parameters_that_exist(name, tmp_path):
    profile = load(name, audits=None, settings=[], limit=None, directory=tmp_path)

    assert profile.name == name
    assert profile.path is None
    bound = [audits.bind(audit, parameters) for audit, parameters in profile.audits.items()]
    assert [audit.id for audit in bound] == list(profile.audits)


def test_a_shipped_profile_says_in_one_line_what_it_is_for(name):
    assert summary(name).endswith(".")
    assert 20 < len(summary(name)) <= 110


def test_every_setting_of_a_shipped_profile_has_its_source_in_the_readme(name):
    page = (shipped.folder("profiles") / "README.md").read_text()
    own = (shipped.folder("profiles") / f"{name}.yaml").read_text()
    settings = re.findall(r"^ +(\w+): (?!\{\})\S", own, re.MULTILINE)

    assert f"| `{name}` |" in page
    assert [key for key in settings if not re.search(rf"[`.]{key}: ", page)] == []


def test_shipped_profiles_differ_in_what_they_do(tmp_path):
    digests = {load(each, audits=None, settings=[], limit=None, directory=tmp_path).sha256 for each in names()}

    assert len(digests) == len(names())


def test_the_folder_of_shipped_profiles_holds_nothing_else():
    files = {path.name for path in Path(shipped.folder("profiles")).iterdir()}

    assert files == {f"{each}.yaml" for each in names()} | {"README.md"}


def test_the_gates_of_a_shipped_profile_can_be_judged_by_what_it_measures(name, tmp_path):
    profile = load(name, audits=None, settings=[], limit=None, directory=tmp_path)
    bound = [audits.bind(audit, parameters) for audit, parameters in profile.audits.items()]

    check(profile.gates, [spec for audit in bound for spec in audit.offer.declared])


def test_every_gate_of_a_shipped_profile_has_its_source_in_the_readme(name, tmp_path):
    page = (shipped.folder("profiles") / "README.md").read_text()
    profile = load(name, audits=None, settings=[], limit=None, directory=tmp_path)

    assert [gate.text for gate in profile.gates if f"`{gate.text}`" not in page] == []


def test_the_full_profile_runs_every_audit_there_is_on_every_image(tmp_path):
    profile = load("full", audits=None, settings=[], limit=None, directory=tmp_path)

    assert set(profile.audits) == set(audits.names())
    assert profile.limit is None
    assert {name: given["limit"] for name, given in profile.audits.items() if "limit" in given} == {
        "robustness": None,
        "masking": None,
        "transfer": None,
        "mistakes": 0,  # pictures, not images
    }


# --- the gates of ci

COLD = """
import torch
from safetensors.torch import load_file
from repaudit import shipped
from repaudit.digits_network import digits_network

preprocess = {"mean": [0.0], "std": [1.0], "size": [8, 8]}


def make():
    network = digits_network()
    network.load_state_dict(load_file(shipped.assets() / "digits-cnn.safetensors"))
    with torch.no_grad():
        network[-1].weight.mul_(0.1)
        network[-1].bias.mul_(0.1)
    return network
"""


@pytest.fixture
def scanned(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def scan(model: str):
        profile = load("ci", audits=None, settings=[], limit=300, directory=tmp_path)
        return carry_out(Order(model=model, data="digits", profile=profile), SilentProgress()).report

    return scan


def test_the_gates_of_ci_hold_for_the_embedded_network(scanned):
    report = scanned("embedded:digits-cnn")

    assert {str(verdict.outcome) for verdict in report.gates} == {"pass"}
    assert report.run.exit_code == 0


def test_the_gates_of_ci_fail_for_a_network_with_a_tenth_of_the_confidence_and_name_that_alone(scanned, tmp_path):
    (tmp_path / "cold.py").write_text(COLD)

    report = scanned("py:cold.py:make")

    assert [verdict.metric for verdict in report.gates if verdict.failed] == ["calibration.ece"]
    assert report.metrics["calibration.signed_gap"].value < -0.1
    assert report.run.exit_code == 1


def test_the_counts_at_which_ci_fails_are_those_of_wilsons_bound():
    page = (shipped.folder("profiles") / "README.md").read_text()

    for right, n, limit in ((676, 1000, 0.7), (3446, 5000, 0.7), (34831, 50000, 0.7), (17, 256, 0.1)):
        below, above = (binomtest(k, n).proportion_ci(0.9, "wilson").high for k in (right, right + 1))
        assert below < limit <= above
        assert f"{right:,}" in page


def test_the_limits_of_ci_part_the_published_networks_as_the_readme_says():
    page = (shipped.folder("profiles") / "README.md").read_text()
    overall, torchvision, bias = (
        list(csv.DictReader((Path(published.__file__).parent / f"rs_table{name}.csv").read_text().splitlines()))
        for name in ("2_overall", "8_torchvision", "6_bias")
    )

    def robust(row) -> float:
        return float(row["accuracy_percent"]) / 100 * (1 - float(row["asr_pgd_w_percent"]) / 100)

    accuracies = sorted(float(row["accuracy_percent"]) / 100 for row in overall + torchvision)
    assert (len(accuracies), sum(each >= 0.70 for each in accuracies)) == (23, 22)
    assert "22 of the 23 have .705 to .818, one .653" in page
    assert [accuracies[0], accuracies[1], accuracies[-1]] == pytest.approx([0.653, 0.705, 0.818])
    errors = {version: sorted(float(row["ece"]) for row in torchvision if row["method"].endswith(version))
              for version in ("V1", "V2")}  # fmt: skip
    assert errors == {"V1": [0.018, 0.028, 0.055, 0.091], "V2": [0.271, 0.367]}
    assert sum(float(row["ece"]) <= 0.10 for row in overall) == 10
    ratios = [float(row["bias_dependent_ratio_mean"]) for row in bias]
    assert (len(ratios), min(ratios), max(ratios)) == (21, 0.0003, 0.0246)
    assert [min(map(robust, torchvision)), max(map(robust, torchvision))] == pytest.approx([0.161, 0.506], abs=5e-4)
    assert [min(map(robust, overall)), max(map(robust, overall))] == pytest.approx([0.052, 0.241], abs=5e-4)
    assert Counter(row["model"] for row in overall if robust(row) < 0.10) == {"MobileNetV2": 4, "ConvNeXt-T": 2}
