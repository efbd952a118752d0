"""A classifier with more classes on the same features."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from repaudit.classifier import Classifier
from repaudit.errors import InvalidModel

if TYPE_CHECKING:
    from repaudit.classifier import Head


class _Widened(nn.Module):
    """The network, its logits followed by those of more rows of the head; also the head of what it makes."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, classifier: Classifier, split: Head, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.network, self._split = classifier.network, split
        self._real = len(split.weight)
        self.weight = nn.Parameter(torch.cat([split.weight, weight]), requires_grad=False)
        self.bias = nn.Parameter(torch.cat([split.bias, bias]), requires_grad=False)
        self._features: list[torch.Tensor] = []

    def forward(self, normalised: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(normalised)
        features = self._split.collect()
        self._features.append(features)
        return torch.cat([logits, features.float() @ self.weight[self._real :].T + self.bias[self._real :]], dim=1)

    def collect(self) -> torch.Tensor:
        """(b, d): the features of the pass that just ran."""
        return self._features.pop()


def widened(classifier: Classifier, weight: torch.Tensor, bias: torch.Tensor) -> Classifier:
    """The classifier with v more classes; its first logits are the classifier's own, bit for bit.

    Args:
        classifier: with a linear head; it shares network and work with the result.
        weight: (v, d) rows of the head.
        bias: (v,).

    Raises:
        InvalidModel: there is no linear head.
    """
    if classifier.split is None:
        raise InvalidModel(
            f"more classes need a linear head: {classifier.card.head.reason}", remedy="a model with a linear head"
        )
    device = classifier.device
    network = _Widened(classifier, classifier.split, weight.to(device), bias.to(device)).eval()
    card = replace(classifier.card, classes_count=classifier.card.classes_count + len(weight))
    return Classifier(network, card, network, device, classifier.capabilities, classifier.work)
