"""Gradients of linear networks are their rows: every number and picture has a closed form."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from repaudit.audits._virtual_beside import VirtualRows, virtual_beside
from repaudit.audits.input_gradients import InputGradientsParameters, as_picture, run
from repaudit.evidence import collect
from repaudit.finding import Figure, Measurement, Skipped
from repaudit.progress import SilentProgress

SIDE, CLASSES = 4, 3


@pytest.fixture
def linear(make_classifier, tmp_path):
    """z = W x of 4 × 4 grey pixels, saved nowhere but said to be `model.safetensors` in a folder of its own."""
    torch.manual_seed(5)
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, CLASSES))
    classifier = make_classifier(network, channels=1)
    (tmp_path / "model.safetensors").touch()
    return replace(classifier, card=replace(classifier.card, ref=str(tmp_path / "model.safetensors")))


@pytest.fixture
def case_of(make_case, make_images):
    def make(classifier, parameters):
        pixels = torch.rand(24, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
        images = make_images(pixels, np.arange(24) % CLASSES)
        evidence = collect(classifier, images, rows=8, progress=SilentProgress()).evidence
        return make_case(evidence, parameters, classifier, images)

    return make


def kinds(findings, kind):
    return {finding.key: finding for finding in findings if isinstance(finding, kind)}


def write_virtual(classifier, tmp_path, rows=5, width=SIDE * SIDE, name="last"):
    generator = torch.Generator().manual_seed(11)
    weight, bias = torch.randn(rows, width, generator=generator), torch.randn(rows, generator=generator)
    save_file({f"{name}.weight": weight, f"{name}.bias": bias}, tmp_path / "vs_head.safetensors")
    return weight.double().numpy(), bias.double().numpy()


def test_the_norm_is_that_of_the_correct_class_s_row(linear, case_of):
    found = kinds(run(case_of(linear, InputGradientsParameters(images=24))), Measurement)
    norms = linear.network[-1].weight.norm(dim=1).double().numpy()

    assert found["input_gradients.norm"].value == pytest.approx(norms.mean(), rel=1e-6)
    assert found["input_gradients.norm"].n == 24


def test_a_normalised_input_makes_gradients_steeper_by_the_inverse_of_its_spread(make_classifier, case_of):
    torch.manual_seed(5)
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, CLASSES))
    classifier = make_classifier(network, channels=1, mean=0.4, std=0.25)
    found = kinds(run(case_of(classifier, InputGradientsParameters(images=24))), Measurement)

    norms = 4 * network[-1].weight.norm(dim=1).double().numpy()
    assert found["input_gradients.norm"].value == pytest.approx(norms.mean(), rel=1e-6)


def test_the_cosine_is_with_the_row_of_the_virtual_class_of_the_highest_logit(linear, case_of, tmp_path):
    weight, bias = write_virtual(linear, tmp_path)
    case = case_of(linear, InputGradientsParameters(images=24, pictures=3, virtual=2))
    findings = list(run(case))
    own = linear.network[-1].weight.double().numpy()
    expected = []
    logits = case.images.stored.flatten(1).double().numpy() @ weight.T + bias
    for label, virtual in zip(case.images.labels, logits.argmax(axis=1), strict=True):
        one, other = own[label], weight[virtual]
        expected.append(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    assert kinds(findings, Measurement)["input_gradients.virtual_cosine"].value == pytest.approx(np.mean(expected))
    for entry in kinds(findings, Figure)["input_gradients.pictures"].data["images"]:
        row = case.images.ids.index(entry["id"])
        shown = [part["class"] for part in entry["gradients"]]
        assert shown == [case.images.labels[row], *np.argsort(-logits[row])[:2]]
        assert entry["gradients"][1]["norm"] == pytest.approx(np.linalg.norm(weight[shown[1]]), rel=1e-3)


def test_without_virtual_classes_beside_the_model_nobody_misses_their_cosine(linear, case_of):
    findings = list(run(case_of(linear, InputGradientsParameters(pictures=2))))
    (skipped,) = kinds(findings, Skipped).values()

    assert skipped.key == "input_gradients.virtual_cosine"
    assert skipped.reason == "not needed: no vs_head.safetensors lies beside the model"
    assert [
        len(entry["gradients"]) for entry in kinds(findings, Figure)["input_gradients.pictures"].data["images"]
    ] == [1, 1]


@pytest.mark.parametrize("wrong", [{"width": 9}, {"name": "another"}])
def test_virtual_classes_of_another_head_are_not_taken(linear, tmp_path, wrong):
    write_virtual(linear, tmp_path, **wrong)

    assert "does not hold rows of its head" in virtual_beside(linear)


def test_a_broken_file_beside_the_model_is_told(linear, tmp_path):
    (tmp_path / "vs_head.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00nonsense")

    assert "cannot be read" in virtual_beside(linear)


def test_the_rows_of_averaged_heads_lie_side_by_side_and_are_shared_out(linear, tmp_path):
    head = replace(linear.card.head, modules=("first", "second"), feature_width=4)
    parts = {
        "first.weight": torch.full((2, 2), 2.0),
        "second.weight": torch.full((2, 2), 6.0),
        "second.bias": torch.ones(2),
    }
    save_file(parts, tmp_path / "vs_head.safetensors")
    rows = virtual_beside(replace(linear, card=replace(linear.card, head=head)))

    assert isinstance(rows, VirtualRows)
    assert rows.weight.tolist() == [[1, 1, 3, 3]] * 2
    assert rows.bias.tolist() == [0.5, 0.5]


def test_grey_is_no_gradient_and_three_standard_deviations_are_white_and_black():
    slope = torch.tensor([[[3.0, -3.0], [0.0, 0.0]]], dtype=torch.float64)  # its standard deviation is 3/√2
    shown = as_picture(slope)

    assert shown[0, 1].tolist() == [0.5, 0.5]
    assert shown[0, 0].tolist() == pytest.approx([0.5 + 2**0.5 / 6, 0.5 - 2**0.5 / 6])
    assert as_picture(torch.zeros(1, 2, 2)).tolist() == [[[0.5, 0.5], [0.5, 0.5]]]


def test_a_picture_shows_the_row_of_its_class(linear, case_of):
    findings = list(run(case_of(linear, InputGradientsParameters(pictures=1))))
    (entry,) = kinds(findings, Figure)["input_gradients.pictures"].data["images"]
    picture = Image.open(io.BytesIO(base64.b64decode(entry["gradients"][0]["jpeg"], validate=True)))
    shown = np.asarray(picture).astype(float).reshape(SIDE, 16, SIDE, 16).mean(axis=(1, 3)) / 255
    row = linear.network[-1].weight[entry["label"]].reshape(SIDE, SIDE).double().numpy()

    assert shown == pytest.approx(0.5 + row / (6 * row.std()), abs=0.02)


def test_pictures_are_only_kept_where_they_are_asked_for_and_are_strict_json(linear, case_of):
    none = kinds(run(case_of(linear, InputGradientsParameters(pictures=0))), Figure)["input_gradients.pictures"].data
    some = kinds(run(case_of(linear, InputGradientsParameters(pictures=4))), Figure)["input_gradients.pictures"].data

    assert none["images"] == []
    assert len(some["images"]) == 4
    assert json.loads(json.dumps(some, allow_nan=False)) == some


def test_the_network_is_left_as_it_was(linear, case_of):
    before = {name: tensor.clone() for name, tensor in linear.network.state_dict().items()}
    list(run(case_of(linear, InputGradientsParameters())))

    assert all(torch.equal(before[name], tensor) for name, tensor in linear.network.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in linear.network.parameters())
