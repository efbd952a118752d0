"""Two robust CIFAR-10 networks: figures measured independently on 1,017 images, here on 250 of them."""

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.audits.cones import ConesParameters
from repaudit.audits.cones import run as run_cones
from repaudit.audits.geometry import GeometryParameters
from repaudit.audits.geometry import run as run_geometry
from repaudit.evidence import Evidence
from repaudit.finding import Measurement
from repaudit.metrics.bias import bias_dependence
from repaudit.metrics.cones import first_error_steps, ray_limits
from repaudit.metrics.frank_wolfe import sphere_centers


class Block(nn.Module):
    def __init__(self, wide_in, wide_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(wide_in, wide_out, 3, stride, 1)
        self.conv2 = nn.Conv2d(wide_out, wide_out, 3, 1, 1)
        self.shortcut = nn.Sequential(*([nn.Conv2d(wide_in, wide_out, 1, stride)] if stride > 1 else []))

    def forward(self, x):
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + self.shortcut(x))


class ResNet2b(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.layer1 = nn.Sequential(Block(8, 16, 2), Block(16, 16, 1))
        self.linear1 = nn.Linear(1024, 100)
        self.linear2 = nn.Linear(100, 10)

    def features(self, x):
        return torch.relu(self.linear1(self.layer1(torch.relu(self.conv1(x))).flatten(1)))


def cnn_a():
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2048, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def normalised(assets, mean, std):
    stored = np.load(assets / "cifar10" / "cifar10_test_250.npz")
    images = torch.from_numpy(stored["images"]).permute(0, 3, 1, 2) / 255
    return (images - torch.tensor(mean).reshape(1, 3, 1, 1)) / torch.tensor(std).reshape(1, 3, 1, 1), stored["labels"]


def evidence_of(features, layer, labels):
    return Evidence(
        ids=tuple(map(str, range(len(labels)))),
        labels=labels,
        logits=layer(features).numpy(),
        features=features.numpy(),
        weight=layer.weight.numpy(),
        bias=layer.bias.numpy(),
    )


@pytest.fixture(params=["cnn_a_mix", "resnet2b"])
def real(request, assets):
    """Name and evidence of one network."""
    weights = torch.load(assets / "cifar10" / f"{request.param}.pth", map_location="cpu", weights_only=True)
    with torch.inference_mode():
        if request.param == "cnn_a_mix":
            network = cnn_a()
            network.load_state_dict(weights)
            images, labels = normalised(assets, (0.4914, 0.4824, 0.4467), (0.2023, 0.1994, 0.2010))
            return request.param, evidence_of(network[:-1](images), network[-1], labels)
        network = ResNet2b()
        network.load_state_dict(weights["state_dict"])
        images, labels = normalised(assets, (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
        return request.param, evidence_of(network.features(images), network.linear2, labels)


PUBLISHED = {
    "cnn_a_mix": {
        "correct": 192,
        "geometry.rms": (5.42, 0.25),
        "geometry.bias_abs": (0.540, 0.0005),
        "geometry.bias_dependence": (0.107, 0.05),
        "cones.first_error_step": (76.4, 4.0),
        "cones.never_share": (0.071, 0.04),
        "geometry.pearson.class_mean": (0.468, 0.12),
        "geometry.pearson.weight_vector": (0.233, 0.12),
        "geometry.pearson.minimum_loss": (0.770, 0.07),
        "geometry.spearman.minimum_loss": (0.818, 0.07),
    },
    "resnet2b": {
        "correct": 168,
        "geometry.rms": (1.028, 0.05),
        "geometry.bias_abs": (0.198, 0.0005),
        "geometry.bias_dependence": (0.112, 0.06),
        "cones.first_error_step": (81.4, 4.0),
        "cones.never_share": (0.056, 0.04),
        "geometry.pearson.class_mean": (0.484, 0.12),
        "geometry.pearson.weight_vector": (0.583, 0.12),
        "geometry.pearson.minimum_loss": (0.695, 0.08),
        "geometry.spearman.minimum_loss": (0.730, 0.08),
    },
}


def test_figures_lie_near_those_measured_on_more_images(real, make_case):
    name, evidence = real
    published = dict(PUBLISHED[name])
    findings = [
        *run_geometry(make_case(evidence, GeometryParameters())),
        *run_cones(make_case(evidence, ConesParameters())),
    ]
    measured = {finding.key: finding.value for finding in findings if isinstance(finding, Measurement)}

    assert abs(int(evidence.summary.correct.sum()) - published.pop("correct")) <= 1
    for key, (value, tolerance) in published.items():
        assert measured[key] == pytest.approx(value, abs=tolerance), key


def test_closed_forms_equal_the_loops_on_every_image(real):
    _, evidence = real
    features, weight = evidence.features.astype(np.float64), evidence.weight.astype(np.float64)
    bias, labels = evidence.bias.astype(np.float64), evidence.labels
    logits = features @ weight.T + bias
    correct = logits.argmax(axis=1) == labels
    first = np.full(len(labels), 100)
    for step in range(100, 0, -1):
        first[((1 - step / 100) * features @ weight.T + bias).argmax(axis=1) != labels] = step
    unbiased = (features @ weight.T).argmax(axis=1)

    steps = first_error_steps(ray_limits(logits, bias, labels, correct).lower)
    dependence = bias_dependence(logits, bias, labels, correct)

    assert (steps.step[correct] == first[correct]).all()
    assert dependence.lost.sum() == (correct & (unbiased != labels)).sum()
    assert dependence.caused_errors == (~correct & (unbiased == labels)).sum()


def test_a_common_vector_moves_raw_weight_cosines_but_not_the_minimum_loss_centre(real, rng):
    _, evidence = real
    radius = float(np.linalg.norm(evidence.features, axis=1).mean())
    common = 0.3 * rng.standard_normal(100)

    before = sphere_centers(evidence.weight, evidence.bias, radius, np.arange(10), tolerance=1e-9)
    after = sphere_centers(evidence.weight + common, evidence.bias, radius, np.arange(10), tolerance=1e-9)

    assert after.points == pytest.approx(before.points, abs=1e-5 * radius)
    assert before.misalignment.max() < 1e-6
