"""What a user may say of attacks on the command line."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from repaudit.audits import bind
from repaudit.errors import UsageError

SCAN = ("scan", "embedded:digits-cnn", "--data", "digits", "--limit", "60", "--audits", "robustness")
STRONG = ("--set", "robustness.attacks=[{name: pgd, epsilon: 0.15, steps: 10, step_size: 0.05}]")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--engine", "foolbox"), "there is no engine `foolbox`"),
        (("--save-adversarials", "-o", "report.json"), "needs a folder"),
        (("--set", "robustness.attacks=[{name: pgd_s, epsilon: 8}]"), "8/255"),
    ],
)
def test_mistakes_are_refused_with_what_is_wrong_and_what_mends_it(called, more, told):
    done = called(*SCAN, *more)

    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "try:" in done.stderr
    assert "Traceback" not in done.stderr


def test_virtual_classes_of_another_width_are_refused_before_anything_is_measured(called, tmp_path):
    save_file({"weight": torch.zeros(3, 7), "bias": torch.zeros(3)}, tmp_path / "virtual.safetensors")

    done = called(*SCAN, "--set", "robustness.virtual_head=virtual.safetensors", "-o", "report.json")

    assert done.returncode == 2, done.stderr
    assert "width 7" in done.stderr
    assert "width 48" in done.stderr
    assert not (tmp_path / "report.json").exists()


def test_a_surrogate_that_cannot_be_loaded_is_refused_before_anything_is_measured(called, tmp_path):
    asked = ("--audits", "accuracy,masking", "--set", "masking.surrogate=resnet2000")

    done = called("scan", "embedded:digits-cnn", "--data", "digits", *asked, "-o", "report.json")

    assert done.returncode == 2, done.stderr
    assert "masking.surrogate: " in done.stderr
    assert "resnet2000" in done.stderr
    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"attacks": [{"name": "pgd_s", "epsilon": 0}]}, "epsilon"),
        ({"attacks": [{"name": "pgd_s", "epsilon": -0.1}]}, "epsilon"),
        ({"attacks": [{"name": "autoattack", "steps": 5, "epsilon": "1/255"}]}, "steps"),
        ({"attacks": [{"name": "autoattak", "epsilon": "1/255"}]}, "autoattack"),
        ({"attacks": [{"name": "cascade", "epsilon": "1/255", "attacks": ["pgdd"]}]}, "pgd"),
        ({"virtual_head": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"engine": "foolbox"}, "engine"),
    ],
)
def test_mistakes_in_a_profile_are_refused_before_anything_is_loaded(raw, told):
    with pytest.raises(UsageError) as refused:
        bind("robustness", raw)

    assert told in refused.value.render()
    assert refused.value.remedy


def test_a_decimal_close_to_a_fraction_of_255_is_hinted_at(called, tmp_path):
    done = called(*SCAN, "--set", "robustness.attacks=[{name: pgd_s, epsilon: 0.031}]", "-o", "-")

    assert done.returncode == 0, done.stderr
    warnings = {warning["code"]: warning["message"] for warning in json.loads(done.stdout)["warnings"]}
    assert "8/255" in warnings["epsilon-rounded"]


def test_adversarials_lie_in_the_folder_of_the_report(called, tmp_path):
    done = called(*SCAN, *STRONG, "-o", "out", "--save-adversarials")

    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    broken = report["figures"]["robustness.pgd.verdicts"]["broken"]
    with safe_open(tmp_path / "out" / "adversarials" / "pgd.safetensors", framework="np") as stored:
        assert len(json.loads(stored.metadata()["ids"])) == len(stored.get_tensor("float")) == broken > 0
        assert float(stored.metadata()["epsilon"]) == 0.15


def test_each_radius_of_a_list_has_all_its_adversarials_in_its_file(called, tmp_path):
    radii = "robustness.attacks=[{name: pgd_s, key: p, epsilon: [0.05, 0.15], step_size: 0.02}]"

    done = called(*SCAN, "--set", radii, "-o", "out", "--save-adversarials")

    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "out" / "report.json").read_text())["figures"]
    held = {}
    for key in ("p_12p75_255", "p_38p25_255"):
        with safe_open(tmp_path / "out" / "adversarials" / f"{key}.safetensors", framework="np") as stored:
            ids, images = json.loads(stored.metadata()["ids"]), stored.get_tensor("float")
        assert len(ids) == figures[f"robustness.{key}.verdicts"]["broken"] > 0
        held[key] = dict(zip(ids, images, strict=True))
    small, large = held.values()
    assert small.keys() < large.keys()
    assert all((large[name] == image).all() for name, image in small.items())


def test_a_list_of_radii_gives_figures_that_never_rise(called):
    radii = "robustness.attacks=[{name: pgd_s, key: p, epsilon: [0.02, 0.1, 0.2, 0.4], step_size: 0.02}]"
    done = called(*SCAN, "--set", radii, "-o", "-")

    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    keys = ["p_5p1_255", "p_25p5_255", "p_51_255", "p_102_255"]
    shares = [metrics[f"robustness.{key}.robust_accuracy"]["value"] for key in keys]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_bfloat16_gives_the_shares_of_float32(called):
    reports = [
        json.loads(called(*SCAN, *STRONG, "--dtype", dtype, "-o", "-").stdout) for dtype in ("float32", "bfloat16")
    ]
    names = [f"robustness.pgd.{name}" for name in ("asr", "robust_accuracy", "error_share")]

    one, other = ({name: report["metrics"][name]["value"] for name in names} for report in reports)
    assert one == other
