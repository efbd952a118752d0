"""The profile `paper` measures what the paper's tables print."""

import pytest

from repaudit.conductor import Order, carry_out
from repaudit.profiles import load
from repaudit.progress import SilentProgress

TABLE_2 = ("fgsm", "pgd_w", "pgd_s", "autoattack_w", "autoattack_s")
"""The columns of arXiv 2410.03999, Table 2: attack success of these, weak and strong."""


@pytest.mark.slow
def test_the_paper_profile_yields_every_robustness_column_of_table_2(real_arguments, assets, tmp_path, monkeypatch):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    real = real_arguments("resnet20")
    profile = load("paper", audits=None, settings=[], limit=20, directory=tmp_path)
    order = Order(
        model=real["ref"],
        arch=real["arch"],
        preprocess=real["preprocess"],
        data=f"npz:{assets / 'cifar10' / 'cifar10_test_250.npz'}",
        profile=profile,
    )

    report = carry_out(order, SilentProgress()).report

    rates = {name: report.metrics[f"robustness.{name}.asr"].value for name in TABLE_2}
    assert report.run.exit_code == 0
    assert rates["autoattack_s"] == 1.0  # nothing of a standard ResNet-20 survives 8/255
    assert rates["autoattack_w"] >= rates["pgd_w"]  # a larger radius and a stronger attack
    assert report.metrics["robustness.worst.asr"].value == 1.0
    assert {"calibration.ece", "geometry.rms", "cones.first_error_step"} <= set(report.metrics)
