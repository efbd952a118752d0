"""What is measured of files without gradients: clean figures, Square, and attacks along those of a surrogate."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_digits

from repaudit.cli.app import main
from repaudit.public import scan
from repaudit.sources import load_model

_spec = importlib.util.spec_from_file_location("onnx_graphs", Path(__file__).with_name("onnx_graphs.py"))
onnx_graphs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(onnx_graphs)

EPSILON = 24 / 255
TRAIN = 897
SETTINGS = [
    f"robustness.attacks=[fgsm, {{name: square, queries: 50, epsilon: {EPSILON}}}]",
    "robustness.limit=60",
    "transfer.limit=60",
    f"transfer.epsilon={EPSILON}",
    "transfer.surrogate=embedded:digits-cnn",
]


@pytest.fixture(scope="module")
def digits():
    """(n, 64) pixels as they are stored, in [0, 1], and (n,) labels; the first 897 are the training set."""
    found = load_digits()
    return np.round(found.data * (255 / 16)).astype(np.uint8) / 255, found.target


@pytest.fixture(scope="module")
def fitted(digits):
    """(64, 10) and (10,): the least-squares fit of one-hot labels."""
    pixels, labels = digits[0][:TRAIN], digits[1][:TRAIN]
    wide = np.hstack([pixels, np.ones((TRAIN, 1))])
    solved = np.linalg.solve(wide.T @ wide + np.eye(65), wide.T @ np.eye(10)[labels])
    return solved[:-1], solved[-1]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("g.yaml").write_text("mean: [0.0]\nstd: [1.0]\nsize: [8, 8]\n")
    return tmp_path


@pytest.fixture
def opaque(here, fitted):
    """A graph that cannot be converted."""
    onnx.save(onnx_graphs.digits_graph(*fitted, convertible=False), "opaque.onnx")
    return "opaque.onnx"


def rows_of(ids):
    """(n,) places among all digits, which the ids are."""
    return np.array([int(name) for name in ids])


def within_reach(digits, fitted, ids):
    """(n,) bool: whether a linear layer has another answer in the ball, were pixels not bound to [0, 1].

    Class j overtakes the label y within an ℓ∞ ball of radius ε where z_y − z_j ≤ ε ‖w_y − w_j‖₁.
    """
    weight, bias = fitted
    rows = rows_of(ids)
    logits, labels = digits[0][rows] @ weight + bias, digits[1][rows]
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    reach = EPSILON * abs(weight[:, :, None] - weight[:, None, :]).sum(axis=0)[labels]
    ahead = own - logits - reach
    ahead[np.arange(len(rows)), labels] = np.inf
    return ahead.min(axis=1) <= 0


def test_a_graph_that_cannot_be_converted_gets_square_and_transfer_and_says_so(opaque, digits, fitted):
    report = scan(
        opaque, "digits", preprocess="g.yaml", audits=("accuracy", "robustness", "transfer"), settings=SETTINGS
    )

    skipped = next(audit.skipped for audit in report.audits if audit.id == "robustness")
    assert not [key for key in report.metrics if ".fgsm." in key]
    assert "no gradients" in skipped["robustness.fgsm.asr"]
    assert "attack square" in skipped["robustness.fgsm.asr"]
    assert "--set transfer.surrogate=MODEL" in skipped["robustness.fgsm.asr"]
    reachable = within_reach(digits, fitted, report.columns["id"])
    for name in ("square", "transfer"):
        outcome = report.columns[f"attack_{name}_outcome"]
        assert (outcome == 1).sum() > 0
        assert not (outcome == 1)[~reachable].any()


def test_success_is_counted_where_both_are_right_and_robust_accuracy_over_all(opaque, digits):
    settings = ["transfer.limit=60", "transfer.epsilon=32/255", "transfer.surrogate=embedded:digits-cnn"]
    report = scan(opaque, "digits", preprocess="g.yaml", audits=("transfer",), settings=settings)

    surrogate = load_model("embedded:digits-cnn")
    rows = rows_of(report.columns["id"])
    images = torch.from_numpy(digits[0][rows].reshape(-1, 1, 8, 8).astype(np.float32))
    right = surrogate.logits(images).argmax(dim=1).numpy() == digits[1][rows]
    outcome, known = report.columns["attack_transfer_outcome"], report.columns["transfer_surrogate_right"]
    asked = outcome != -1
    assert asked.sum() == 60
    np.testing.assert_array_equal(known, np.where(asked, right, -1))
    broken, robust = outcome == 1, outcome == 0
    asr, accuracy = report.metrics["transfer.asr"], report.metrics["transfer.robust_accuracy"]
    assert (asr.value, asr.n) == (broken[right].sum() / (broken | robust)[right].sum(), (broken | robust)[right].sum())
    assert (accuracy.value, accuracy.n) == (robust.sum() / 60, 60)
    assert report.metrics["transfer.surrogate_top1"].value == right[asked].mean()


def test_the_terminal_says_what_can_run_without_gradients(opaque, capsys):
    asked = ["--set", SETTINGS[0], "--set", "robustness.limit=20", "--audits", "robustness,transfer", "--exit-zero"]

    status = main(["scan", opaque, "--data", "digits", "--preprocess", "g.yaml", *asked])
    told = " ".join(capsys.readouterr().out.split())

    assert status == 0
    assert "the audit transfer (--set transfer.surrogate=MODEL)" in told
    assert "transfer.asr" in told
    assert "no surrogate was given (--set transfer.surrogate=MODEL" in told


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_graph_gets_its_clean_audits_square_and_transfer(here, digits, fitted):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Training(CalibrationDataReader):
        def __init__(self):
            images = digits[0][:TRAIN].reshape(-1, 1, 8, 8).astype(np.float32)
            self.batches = iter([{"images": images}])

        def get_next(self):
            return next(self.batches, None)

    onnx.save(onnx_graphs.digits_graph(*fitted, convertible=True), "float.onnx")
    quantize_static("float.onnx", "quantised.onnx", Training(), quant_format=QuantFormat.QDQ)
    images = digits[0][TRAIN:].reshape(-1, 1, 8, 8).astype(np.float32)
    answers = onnxruntime.InferenceSession("quantised.onnx").run(None, {"images": images})[0]

    report = scan(
        "quantised.onnx",
        "digits",
        preprocess="g.yaml",
        audits=("accuracy", "calibration", "geometry", "robustness", "transfer"),
        settings=[*SETTINGS, "calibration.resamples=200"],
    )

    right = (answers.argmax(axis=1) == digits[1][TRAIN:]).mean()
    assert report.metrics["accuracy.top1"].value == pytest.approx(right, abs=2 / 900)  # 8-bit steps: ties by place
    assert report.metrics["accuracy.top1"].value > 0.8
    assert "calibration.ece" in report.metrics
    (geometry,) = [audit for audit in report.audits if audit.id == "geometry"]
    assert geometry.status == "skipped"
    assert "quantised" in geometry.reason
    assert not [key for key in report.metrics if ".fgsm." in key]
    assert report.metrics["robustness.square.asr"].value > 0
    assert report.metrics["transfer.asr"].value > 0


def test_a_second_scan_asks_the_network_nothing_and_another_surrogate_is_not_taken_for_the_first(opaque):
    Path("other.py").write_text(
        "from safetensors.torch import load_file\nfrom repaudit import shipped\n"
        "from repaudit.digits_network import digits_network\n"
        "preprocess = {'mean': [0.0], 'std': [1.0], 'size': [8, 8]}\n\n\n"
        "def make():\n    network = digits_network()\n"
        "    weights = load_file(shipped.assets() / 'digits-cnn.safetensors')\n"
        "    network.load_state_dict({name: -value if value.ndim > 3 else value for name, value in weights.items()})\n"
        "    return network\n"
    )

    def cost(surrogate):
        settings = ["transfer.limit=20", f"transfer.surrogate={surrogate}"]
        report = scan(opaque, "digits", preprocess="g.yaml", audits=("accuracy", "transfer"), settings=settings)
        return report.run.audits["transfer"]

    first, again, other = cost("embedded:digits-cnn"), cost("embedded:digits-cnn"), cost("py:other.py:make")

    assert [each.cached for each in (first, again, other)] == [False, True, False]
