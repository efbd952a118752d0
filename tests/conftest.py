"""What several test files need: real weights where they lie, and small cases made of arrays."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.case import Case, EvaluationShape, Parameters
from repaudit.classifier import Capability, Card, Classifier, HeadCard
from repaudit.evidence import Evidence
from repaudit.images import Batch, ImageSet
from repaudit.preprocessing import Preprocess
from repaudit.progress import SilentProgress


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real weights and images."""
    folder = os.environ.get("REPAUDIT_ASSETS")
    if not folder:
        pytest.skip("REPAUDIT_ASSETS does not name the folder of real weights and images")
    return Path(folder)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(20240))


class ArrayImages(ImageSet):
    """Images in memory, the simplest set there is."""

    def __init__(self, images: torch.Tensor, labels: np.ndarray) -> None:
        self.stored = images
        self.labels = labels.astype(np.int64)
        self.ids = tuple(f"image-{row:04d}" for row in range(len(labels)))
        self.ref = self.layout = "test"
        self.label_source = "given"
        self.class_names = None
        self.fingerprint = "0" * 64
        self.subset = "all"
        self.bad_images = ()

    def batches(self, rows, ids=None):
        position = {name: row for row, name in enumerate(self.ids)}
        chosen = [position[name] for name in (self.ids if ids is None else ids)]
        for start in range(0, len(chosen), rows):
            part = chosen[start : start + rows]
            yield Batch(self.stored[part], torch.from_numpy(self.labels[part]), tuple(self.ids[row] for row in part))


class _LinearSplit:
    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = layer.weight.detach(), layer.bias.detach()
        self._features: list[torch.Tensor] = []
        layer.register_forward_pre_hook(lambda _, inputs: self._features.append(inputs[0]))

    def collect(self) -> torch.Tensor:
        return self._features.pop()


@pytest.fixture
def make_classifier() -> Callable[..., Classifier]:
    """Wraps a network whose last layer is `network[-1]`, an nn.Linear."""

    def make(network: nn.Sequential, *, channels: int = 3, mean: float = 0.0, std: float = 1.0) -> Classifier:
        layer = network[-1]
        preprocess = Preprocess(mean=(mean,) * channels, std=(std,) * channels, source="test")
        card = Card(
            ref="test",
            resolved="test",
            source="test",
            architecture="test",
            arguments={},
            weights_sha256="0" * 64,
            files={},
            preprocess=preprocess,
            params_count=sum(p.numel() for p in network.parameters()),
            classes_count=layer.out_features,
            class_ids=None,
            head=HeadCard(kind="linear", modules=("last",), feature_width=layer.in_features, proof_error=0.0),
        )
        return Classifier(network, card, _LinearSplit(layer), torch.device("cpu"), frozenset(Capability))

    return make


@pytest.fixture
def make_images() -> Callable[..., ArrayImages]:
    return ArrayImages


@pytest.fixture
def make_evidence() -> Callable[..., Evidence]:
    """Evidence of an affine head: logits = features @ weight.T + bias, in float32 as a network leaves them."""

    def make(features: np.ndarray, labels: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> Evidence:
        bias = np.zeros(len(weight)) if bias is None else bias
        logits = features @ weight.T + bias
        ids = tuple(f"image-{row:04d}" for row in range(len(labels)))
        return Evidence(
            ids=ids,
            labels=np.asarray(labels, dtype=np.int64),
            logits=logits.astype(np.float32),
            features=features.astype(np.float32),
            weight=weight.astype(np.float32),
            bias=bias.astype(np.float32),
        )

    return make


@pytest.fixture
def logits_evidence() -> Callable[..., Evidence]:
    """Evidence of a model without a linear head."""

    def make(logits: np.ndarray, labels: np.ndarray) -> Evidence:
        ids = tuple(f"image-{row:04d}" for row in range(len(labels)))
        return Evidence(
            ids=ids,
            labels=np.asarray(labels, dtype=np.int64),
            logits=np.asarray(logits, dtype=np.float32),
            features=None,
            weight=None,
            bias=None,
        )

    return make


@pytest.fixture
def make_case(make_classifier) -> Callable[..., Case[Parameters]]:
    """A case for audits; the classifier and images matter only to those that attack."""

    def make(evidence: Evidence, parameters: Parameters, classifier=None, images=None, seed: int = 0) -> Case:
        if images is None:
            images = ArrayImages(torch.zeros(len(evidence), 1, 1, 1, dtype=torch.uint8), evidence.labels)
        if classifier is None:
            classifier = make_classifier(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))
        return Case(
            classifier=classifier,
            images=images,
            evidence=evidence,
            parameters=parameters,
            seed=seed,
            shape=EvaluationShape(rows=8, calls=4),
            progress=SilentProgress(),
        )

    return make
