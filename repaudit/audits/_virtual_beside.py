"""The virtual classes that a training run left beside its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repaudit.classifier import Classifier

FILE = "vs_head.safetensors"
"""As `repaudit train` calls it."""


@dataclass(frozen=True, slots=True)
class VirtualRows:
    """Rows of the head that belong to virtual classes."""

    weight: torch.Tensor
    """(V, d) float32, on the classifier's device."""
    bias: torch.Tensor
    """(V,) float32."""


def virtual_beside(classifier: Classifier) -> VirtualRows | str:
    """The virtual rows that belong to a classifier, or why there are none.

    Several averaged heads are one: their features lie side by side, their rows are divided by how many there are.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    model = Path(classifier.card.ref.removeprefix("checkpoint:"))
    path, width = model.with_name(FILE), classifier.card.head.feature_width
    if width is None or not model.is_file() or not path.is_file():
        return f"no {FILE} lies beside the model"
    try:
        rows = joined_rows(load_file(path), classifier.card.head.modules)
    except (OSError, SafetensorError) as error:
        return f"{FILE} beside the model cannot be read: {error}"
    if rows is None or rows[0].shape[1] != width or not (rows[0].isfinite().all() and rows[1].isfinite().all()):
        return f"{FILE} beside the model does not hold rows of its head"
    device = classifier.device
    return VirtualRows(rows[0].to(device), rows[1].to(device))


def joined_rows(
    tensors: Mapping[str, torch.Tensor], modules: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """One weight and one bias of the parts of a head; None where a part is missing or does not fit the others."""
    weights = [tensors.get(f"{name}.weight") for name in modules]
    parts = [weight.float().flatten(1) for weight in weights if weight is not None and weight.ndim >= 2]
    if not parts or len(parts) < len(modules) or len({len(part) for part in parts}) > 1:
        return None
    nothing = torch.zeros(len(parts[0]))
    biases = [tensors.get(f"{name}.bias", nothing).float() for name in modules]
    if any(bias.shape != nothing.shape for bias in biases):
        return None
    return torch.cat(parts, dim=1) / len(parts), torch.stack(biases).mean(dim=0)
