"""A scan end to end, in process."""

import json
from pathlib import Path

import numpy as np
import pytest

from repaudit.conductor import Order, carry_out
from repaudit.errors import InvalidData, InvalidModel, UnfinishedError
from repaudit.profiles import load
from repaudit.progress import SilentProgress
from repaudit.public import scan

MODEL, DATA = "embedded:digits-cnn", "digits"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def order(tmp_path, **changes):
    audits = changes.pop("audits", None)
    small = ["robustness.limit=24", "robustness.attacks=[fgsm, pgd_w, pgd_s]", "masking.limit=12"]
    settings = [*small, "calibration.resamples=200"] if audits is None else []
    profile = load("standard", audits=audits, settings=settings, limit=None, directory=tmp_path)
    return Order(model=MODEL, data=DATA, profile=profile, **changes)


def outside_run(report):
    values = json.loads(report.to_json())
    del values["run"]
    return json.dumps(values)


def test_the_same_scan_twice_is_the_same_bytes_outside_run_and_sends_nothing_forward_for_clean_audits(tmp_path):
    first = carry_out(order(tmp_path), SilentProgress())
    second = carry_out(order(tmp_path), SilentProgress())

    assert outside_run(first.report) == outside_run(second.report)
    assert first.report.run.clean_pass.forward_rows == 960  # 900 images in calls of 96, the last one padded
    assert second.report.run.clean_pass.forward_rows == 0
    assert (first.report.run.clean_pass.cached, second.report.run.clean_pass.cached) == (False, True)
    clean = {name: cost for name, cost in second.report.run.audits.items() if name not in {"robustness", "masking"}}
    assert {cost.forward_rows for cost in clean.values()} == {0}
    for name, column in first.columns.items():
        np.testing.assert_array_equal(column, second.columns[name])


def test_fresh_measures_again_and_finds_the_same(tmp_path):
    first = carry_out(order(tmp_path, audits=["accuracy"]), SilentProgress())
    again = carry_out(order(tmp_path, audits=["accuracy"], fresh=True), SilentProgress())

    assert again.report.run.clean_pass.forward_rows == 960
    assert outside_run(first.report) == outside_run(again.report)


def test_another_seed_moves_no_clean_accuracy(tmp_path):
    seeds = [carry_out(order(tmp_path, audits=["accuracy"], seed=seed), SilentProgress()).report for seed in (0, 1)]

    assert seeds[0].metrics["accuracy.top1"] == seeds[1].metrics["accuracy.top1"]


def test_every_image_has_a_row_in_the_sidecar_with_the_columns_of_every_audit(tmp_path):
    scanned = carry_out(order(tmp_path), SilentProgress())

    needed = {
        "id", "label", "prediction", "confidence", "log_p_label", "brier", "top5", "norm", "cosine_class_mean",
        "cosine_weight_vector", "cosine_minimum_loss", "first_error_step", "s_hi",
    }  # fmt: skip
    assert needed <= set(scanned.columns)
    assert {len(column) for column in scanned.columns.values()} == {900}
    accuracy = float((scanned.columns["prediction"] == scanned.columns["label"]).mean())
    assert accuracy == scanned.report.metrics["accuracy.top1"].value


def test_the_report_agrees_with_scikit_learns_digits_and_the_shipped_network(tmp_path):
    import torch
    from safetensors.torch import load_file
    from sklearn.datasets import load_digits

    from repaudit import shipped
    from repaudit.digits_network import digits_network

    network = digits_network()
    network.load_state_dict(load_file(shipped.assets() / "digits-cnn.safetensors"))
    digits = load_digits()
    pixels = np.round(digits.images[-900:] * 255 / 16).astype(np.uint8)
    with torch.no_grad():
        features = network[:-1](torch.from_numpy(pixels).float().unsqueeze(1) / 255)
        right = (network[-1](features).argmax(1).numpy() == digits.target[-900:]).mean()
    metrics = carry_out(order(tmp_path, audits=["accuracy", "geometry"]), SilentProgress()).report.metrics

    assert metrics["accuracy.top1"].value == pytest.approx(right, abs=1e-9)
    rms = (features.norm(dim=1) / features.shape[1] ** 0.5).mean().item()
    assert metrics["geometry.rms"].value == pytest.approx(rms, rel=1e-5)


def test_the_report_says_of_each_audit_what_it_asks(tmp_path):
    report = carry_out(order(tmp_path, audits=["accuracy", "cones"]), SilentProgress()).report

    pages = Path(__file__).parents[1] / "docs" / "audits"
    for audit in report.audits:
        heading, _, _ = (pages / f"{audit.id}.md").read_text().partition("\n")
        assert heading == f"# {audit.id}: {audit.question[0].lower()}{audit.question[1:]}"


def test_a_limit_takes_that_many_images_of_all_classes(tmp_path):
    report = scan(MODEL, DATA, profile="quick", audits=["accuracy"], limit=50)

    assert report.data.images_count == 50
    assert report.figures["accuracy.per_class"]["class"] == list(range(10))


MEMORY = """
import torch
from repaudit.digits_network import digits_network
preprocess = {"mean": [0.0], "std": [1.0], "size": [8, 8]}

class Small(torch.nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.network, self.rows = digits_network(), rows

    def forward(self, x):
        if len(x) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.network(x)

def sixteen():
    torch.manual_seed(0)
    return Small(16)

def eight_at_load_then_none():
    torch.manual_seed(0)
    network = Small(8)
    network.network.register_forward_hook(lambda *_: setattr(network, "rows", network.rows))
    calls = []
    def count(module, inputs):
        calls.append(1)
        if len(calls) > 12:
            module.rows = 0
    network.register_forward_pre_hook(count)
    return network
"""


class Notes(SilentProgress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_a_device_without_room_gets_half_the_rows_and_it_is_said(tmp_path):
    (tmp_path / "net.py").write_text(MEMORY)
    notes = Notes()
    report = scan(f"py:{tmp_path}/net.py:sixteen", DATA, audits=["accuracy"], limit=40, progress=notes)

    assert report.run.environment.evaluation_shape.rows == 12
    assert any("out of memory at 24 rows" in note for note in notes.notes)


def test_a_device_without_any_room_is_an_unfinished_scan(tmp_path):
    (tmp_path / "net.py").write_text(MEMORY)

    with pytest.raises(UnfinishedError, match="no room"):
        scan(f"py:{tmp_path}/net.py:eight_at_load_then_none", DATA, audits=["accuracy"], limit=400)


def test_labels_in_another_order_stop_the_scan(tmp_path):
    from sklearn.datasets import load_digits

    digits = load_digits()
    np.savez(
        tmp_path / "shifted.npz",
        images=np.round(digits.images[-300:] * 255 / 16).astype(np.uint8),
        labels=(digits.target[-300:] + 1) % 10,
    )

    with pytest.raises(InvalidData, match="different orders"):
        scan(MODEL, f"npz:{tmp_path / 'shifted.npz'}", audits=["accuracy"])


def test_images_of_another_number_of_classes_are_refused(tmp_path):
    np.savez(tmp_path / "many.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 3, 12, 1]))

    with pytest.raises(InvalidData, match="12"):
        scan(MODEL, f"npz:{tmp_path / 'many.npz'}", audits=["accuracy"])


def test_images_that_are_not_there_are_missed_before_the_model_is_looked_for(tmp_path):
    with pytest.raises(InvalidData, match="does not exist"):
        scan("no-such-model", f"imagenet-val:{tmp_path / 'absent'}")


def test_an_embedded_model_of_another_name_is_refused_with_the_one_that_exists():
    with pytest.raises(InvalidModel) as refused:
        scan("embedded:digits-cn", DATA)
    assert "embedded:digits-cnn" in refused.value.remedy


class Stopping(SilentProgress):
    """Somebody presses Ctrl-C as the second attack begins."""

    def stage(self, name, total, unit):
        if name == "attack pgd_w":
            raise KeyboardInterrupt
        return super().stage(name, total, unit)


def test_attacks_that_were_finished_before_an_interruption_are_in_the_report(tmp_path):
    scanned = carry_out(order(tmp_path, audits=["accuracy", "robustness"]), Stopping())

    report = scanned.report
    assert isinstance(scanned.failure, KeyboardInterrupt)
    assert report.run.exit_code == 130
    assert report.metrics["robustness.fgsm.asr"].n == report.figures["robustness.fgsm.verdicts"]["n"] - int(
        report.figures["robustness.fgsm.verdicts"]["initially_wrong"]
    )
    assert not any(key.startswith("robustness.pgd_w") for key in report.metrics)
    (entry,) = (audit for audit in report.audits if audit.id == "robustness")
    assert entry.reason == "interrupted before it ended"
    assert "robustness.pgd_w.asr" in entry.skipped
    assert "robustness.fgsm.asr" not in entry.skipped
