"""An ONNX graph as a network: onnxruntime answers, its torch twin gives gradients.

The twin is made by onnx2torch and used only where a gradient is wanted. Whatever a search finds with its help is
asked of onnxruntime once more, whose answer alone counts.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from repaudit.classifier import HeadCard
from repaudit.sources._head import TOLERANCE, FoundHead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnxruntime

    from repaudit.sources._onnx_graph import GraphEnd, LinearEnd

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
"""Of images that a graph may take."""


class OnnxNetwork(nn.Module):
    """Takes normalised images (b, c, h, w) or (b, h, w, c), as its graph does; returns logits (b, classes)."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        twin: nn.Module | None,
        end: GraphEnd,
        names: Sequence[str],
    ) -> None:
        """`names` are those of the tensors to ask for: the logits, then the feature where there is one."""
        super().__init__()
        self.twin = twin
        self._session, self._end, self._names = session, end, list(names)
        self._type = TYPES[session.get_inputs()[0].type]
        self._feature: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Asks the twin where a gradient is wanted, else onnxruntime; short batches are padded, long ones split."""
        wanted = torch.is_grad_enabled() and images.requires_grad and self.twin is not None
        ask = self._ask_twin if wanted else self._ask_runtime
        size = self._end.shape[0] or len(images)
        answers = [ask(_filled(part, size)) for part in torch.split(images, size)]
        columns = [torch.cat(column)[: len(images)] for column in zip(*answers, strict=True)]
        self._feature = columns[1] if len(columns) > 1 else None
        return columns[0]

    def take_feature(self) -> torch.Tensor:
        """(b, d): the input of the last linear layer in the latest forward pass; positions averaged."""
        if self._feature is None:
            raise RuntimeError("the network has not run since its feature was last taken")
        kept, self._feature = self._feature, None
        return kept

    def _ask_runtime(self, images: torch.Tensor) -> list[torch.Tensor]:
        values = np.ascontiguousarray(images.detach().cpu().numpy().astype(self._type, copy=False))
        found = self._session.run(self._names, {self._end.input: values})
        return self._shaped([torch.from_numpy(np.asarray(each, dtype=np.float32)).to(images.device) for each in found])

    def _ask_twin(self, images: torch.Tensor) -> list[torch.Tensor]:
        if self.twin is None:
            raise ValueError("the graph has no twin")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="onnx2torch")  # remarks about its own code
            found = self.twin(images)
        return self._shaped([found] if isinstance(found, torch.Tensor) else list(found))

    def _shaped(self, found: list[torch.Tensor]) -> list[torch.Tensor]:
        """Logits as they are, but for axes of length 1 behind them; features (b, d)."""
        logits, *features = found
        if logits.dim() > 2 and logits[0].numel() == max(logits.shape[1:]):
            logits = logits.flatten(1)
        return [logits, *(feature.flatten(2).mean(2) if feature.dim() > 2 else feature for feature in features)]


class OnnxHead:
    """`repaudit.classifier.Head` of a graph: its last linear layer, read from its weights."""

    def __init__(self, network: OnnxNetwork, end: LinearEnd, device: torch.device) -> None:
        self.weight = torch.from_numpy(end.weight).to(device)
        self.bias = torch.from_numpy(end.bias).to(device)
        self._network = network

    def collect(self) -> torch.Tensor:
        """(b, d): the features of the forward pass that just ran; may be taken once."""
        return self._network.take_feature()


def prove_head(
    network: OnnxNetwork, end: GraphEnd, device: torch.device, logits_of: Callable[[int], torch.Tensor]
) -> FoundHead:
    """The head that was read from the graph, if it reproduces the logits on images that it has not seen."""
    if end.head is None:
        return FoundHead(None, HeadCard(kind="none", reason=end.reason))
    head = OnnxHead(network, end.head, device)
    logits = logits_of(0).double()
    answer = head.collect().double() @ head.weight.double().T + head.bias.double()
    scale = float(logits.abs().max())
    error = float((answer - logits).abs().max()) / scale if scale and answer.shape == logits.shape else float("inf")
    if error > TOLERANCE:
        reason = f"`{end.head.node}` does not explain the logits: they differ by {error:.2g} of the largest"
        return FoundHead(None, HeadCard(kind="none", reason=reason))
    card = HeadCard(
        kind=end.head.kind, modules=(end.head.node,), feature_width=end.head.weight.shape[1], proof_error=error
    )
    return FoundHead(head, card)


def _filled(images: torch.Tensor, size: int) -> torch.Tensor:
    missing = size - len(images)
    return images if missing <= 0 else torch.cat([images, images[-1:].expand(missing, *images.shape[1:])])
