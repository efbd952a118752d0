"""Progress calls every attack by what it is for."""

from contextlib import contextmanager

import pytest

from repaudit.attacks import resolve
from repaudit.audits._masking_searches import iterated, purpose
from repaudit.cli.app import main
from repaudit.progress import SilentProgress


class Watched(SilentProgress):
    """Keeps the names of stages."""

    def __init__(self):
        self.names = []

    @contextmanager
    def stage(self, name, total, unit):
        self.names.append(name)
        with super().stage(name, total, unit) as stage:
            yield stage


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (resolve({"name": "fgsm", "key": "one_step", "epsilon": 0.1}), "gradient masking: one step"),
        (iterated(0.5, 10, key="half"), "gradient masking: PGD at radius 1/2"),
        (iterated(16 / 255, 10, key="radius_1"), "gradient masking: PGD at radius 16/255"),
    ],
)
def test_an_attack_of_the_battery_is_called_by_its_purpose(setting, told):
    assert purpose(setting) == told


@pytest.mark.slow
def test_no_two_stages_of_a_scan_have_the_same_name(tmp_path, monkeypatch):
    watched = Watched()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("repaudit.render.progress.progress_for", contextmanager(lambda *_, **__: iter([watched])))

    assert (
        main(["scan", "embedded:digits-cnn", "--data", "digits", "--profile", "demo", "-n", "40", "--exit-zero"]) == 0
    )

    attacks = [name for name in watched.names if name != "attack fgsm"]
    assert len(attacks) == len(set(attacks))
    assert "features under one step of 8/255" in attacks
    assert any(name.startswith("gradient masking: PGD for planted") for name in attacks)
    assert not any("fgsm-mechanism" in name or "radius_" in name for name in attacks)
