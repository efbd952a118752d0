"""The same weights give the same audit, whatever file they come in."""

import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from repaudit import shipped
from repaudit.digits_network import digits_network
from repaudit.public import scan

AUDITS = ("accuracy", "calibration", "geometry", "cones", "selective", "robustness")
FORMATS = ("digits.onnx", "digits.pt2", "digits.ts", "digits.safetensors")
EXACT = 1e-5
RANKS = 1e-4
"""Two confidences that differ by a rounding change places in another program: a rank correlation moves by steps."""
UNSTABLE = ("robustness.",)
"""Of attacks the verdicts are compared, image by image."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The embedded network in every format."""
    folder = tmp_path_factory.mktemp("formats")
    weights = load_file(shipped.assets() / "digits-cnn.safetensors")
    network = digits_network().eval()
    network.load_state_dict(weights)
    example = torch.zeros(2, 1, 8, 8)
    save_file(weights, folder / "digits.safetensors")
    (folder / "net.py").write_text("from repaudit.digits_network import digits_network as build\n")
    (folder / "p.yaml").write_text("mean: [0.0]\nstd: [1.0]\nsize: [8, 8]\n")
    batch = torch.export.Dim("batch", min=1, max=4096)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=({0: batch},)), folder / "digits.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters are deprecated; their files are still about
        torch.jit.script(network).save(str(folder / "digits.ts"))
        torch.onnx.export(
            network, (example,), str(folder / "digits.onnx"), dynamo=False,
            input_names=["images"], dynamic_axes={"images": {0: "n"}},
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def audited(folder):
    """Reports by format; of the embedded network under its own name."""
    settings = ["robustness.limit=200", "robustness.attacks=[fgsm, pgd_s]", "robustness.perturbation_limit=0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("REPAUDIT_CACHE", str(folder / "cache"))
        found = {"embedded": scan("embedded:digits-cnn", "digits", audits=AUDITS, settings=settings)}
        for name in FORMATS:
            arch = "py:net.py:build" if name.endswith("safetensors") else None
            found[name] = scan(name, "digits", audits=AUDITS, settings=settings, arch=arch, preprocess="p.yaml")
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_every_clean_metric_is_the_same_to_five_digits(audited, name):
    wanted, found = audited["embedded"].metrics, audited[name].metrics

    assert set(found) == set(wanted)
    for key, metric in wanted.items():
        if not key.startswith(UNSTABLE):
            near = RANKS if ".spearman." in key else EXACT
            assert found[key].value == pytest.approx(metric.value, rel=near, abs=near), key
            assert found[key].n == metric.n


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("attack", ["fgsm", "pgd_s"])
def test_verdicts_agree_and_every_difference_is_marginal(audited, name, attack):
    wanted, found = audited["embedded"].columns, audited[name].columns
    one, other = wanted[f"attack_{attack}_outcome"], found[f"attack_{attack}_outcome"]
    margins = np.minimum(abs(wanted[f"attack_{attack}_margin"]), abs(found[f"attack_{attack}_margin"]))
    differ = one != other

    assert list(wanted["id"]) == list(found["id"])
    assert (one >= 0).sum() == 200
    assert differ.sum() <= 2  # 1 % of 200
    assert (margins[differ] < 1e-3).all()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_its_head_and_its_gradients(audited, name):
    model = audited[name].model

    assert model.head.kind == "linear"
    assert model.head.feature_width == audited["embedded"].model.head.feature_width
    assert set(model.capabilities) == {"features", "linear_head", "gradients"}
