"""The same photographs get the same audit from a real timm network, whatever file it comes in."""

import warnings

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from repaudit.public import scan

pytestmark = pytest.mark.slow

AUDITS = ("accuracy", "calibration", "geometry", "cones", "selective", "robustness")
FORMATS = ("net.onnx", "net.pt2", "net.ts")
ATTACKED = 32
NEAR = 1e-5
"""Relative and absolute."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, assets):
    """MobileNetV2 with padding that is computed from the size of the images, in every format."""
    folder = tmp_path_factory.mktemp("mobilenet")
    network = timm.create_model("mobilenetv2_100", pad_type="same").eval()
    stored = torch.load(assets / "imagenet_like" / "mobilenetv2_100_slim_fp16.pth", weights_only=True)
    network.load_state_dict({name: value.float() for name, value in stored.items()})
    example = torch.zeros(2, 3, 224, 224)
    save_file(network.state_dict(), folder / "net.safetensors")
    (folder / "half.yaml").write_text("mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\nsize: 224\n")
    rows = torch.export.Dim("rows", min=1, max=4096)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=({0: rows},)), folder / "net.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters are deprecated; their files are still about
        torch.jit.script(network).save(str(folder / "net.ts"))
        torch.onnx.export(
            network, (example,), str(folder / "net.onnx"), dynamo=False,
            input_names=["images"], dynamic_axes={"images": {0: "n"}},
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def audited(folder, assets):
    """Reports by file name."""
    settings = [
        f"robustness.limit={ATTACKED}", "robustness.attacks=[fgsm, pgd_w]", "robustness.perturbation_limit=0",
    ]  # fmt: skip
    data, found = f"imagefolder:{assets / 'imagenet_like' / 'val'}", {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("REPAUDIT_CACHE", str(folder / "cache"))
        for name in (*FORMATS, "net.safetensors"):
            own = {"arch": "mobilenetv2_100"} if name == "net.safetensors" else {}
            more = ["model.pad_type=same"] if own else []
            found[name] = scan(name, data, audits=AUDITS, settings=[*settings, *more], preprocess="half.yaml", **own)
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_every_clean_metric_of_the_photographs_is_the_same_to_five_digits(audited, name):
    wanted, found = audited["net.safetensors"].metrics, audited[name].metrics

    # counted elsewhere; the audited number of right answers among the 240 may differ by one
    assert 240 * wanted["accuracy.top1"].value == pytest.approx(201, abs=1)
    assert set(found) == set(wanted)
    for key, metric in wanted.items():
        if not key.startswith("robustness."):
            assert abs(found[key].value - metric.value) <= NEAR + NEAR * abs(metric.value), key
            assert found[key].n == metric.n


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("attack", ["fgsm", "pgd_w"])
def test_verdicts_agree_on_99_of_100_photographs_and_no_difference_is_larger_than_rounding_makes(audited, name, attack):
    wanted, found = audited["net.safetensors"].columns, audited[name].columns
    one, other = wanted[f"attack_{attack}_outcome"], found[f"attack_{attack}_outcome"]
    attacked = (one >= 0) & (wanted["label"] == wanted["prediction"])
    gaps = abs(wanted[f"attack_{attack}_margin"] - found[f"attack_{attack}_margin"])
    differ = attacked & (one != other)

    assert list(wanted["id"]) == list(found["id"])
    assert (one >= 0).sum() == ATTACKED
    assert differ.sum() <= 0.01 * ATTACKED
    assert np.isfinite(gaps[attacked]).all()
    assert gaps[attacked].max() < 0.2  # a sign of a gradient near 0 that turns moves a pixel by 2 epsilon
