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

from repaudit.sources._batches import in_batches
from repaudit.sources._head import TOLERANCE
from repaudit.sources._read_head import ReadHead, no_head, prove

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnxruntime

    from repaudit.sources._head import FoundHead
    from repaudit.sources._onnx_graph import GraphEnd
    from repaudit.sources._onnx_linear import LinearEnd

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
"""Of images that a graph may take."""
ROUNDINGS = 2
"""A head is proved to so many steps of the numbers that it is computed in, where these are coarser than float32."""
SAME = 1e-4
"""Share of the spread of an image's logits by which they may differ beside other images."""


class OnnxNetwork(nn.Module):
    """Takes normalised images (b, c, h, w) or (b, h, w, c), as its graph does; returns logits (b, classes)."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        twin: nn.Module | None,
        end: GraphEnd,
        names: Sequence[str],
        *,
        one_by_one: bool = False,
    ) -> None:
        """`names` are those of the tensors to ask for: the logits, then the feature where there is one.

        `one_by_one` asks onnxruntime about each image in a call of its own.
        """
        super().__init__()
        self.twin = twin
        self._session, self._end, self._names, self._one_by_one = session, end, list(names), one_by_one
        self._type = TYPES[session.get_inputs()[0].type]
        self._twin_batch = end.shape[0]
        self._feature: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Asks the twin where a gradient is wanted, else onnxruntime; short batches are padded, long ones split."""
        wanted = torch.is_grad_enabled() and images.requires_grad and self.twin is not None
        columns = in_batches(self._ask_twin, images, self._twin_batch) if wanted else self._ask_runtime(images)
        self._feature = columns[1] if len(columns) > 1 else None
        return columns[0]

    def free_twin(self, images: torch.Tensor) -> None:
        """Asks the twin about all images at once from now on, where that gives what a fixed batch gives.

        Args:
            images: (b, …) normalised, at least two different ones.
        """
        batch = self._twin_batch
        if self.twin is None or batch is None:
            return
        more = images[torch.arange(batch + 1) % len(images)]
        try:
            with torch.no_grad():
                split = in_batches(self._ask_twin, more, batch)[0]
                together = self._ask_twin(more)[0]
        except Exception:  # a graph whose reshapes hold the number of images
            return
        spread = split.amax(dim=1) - split.amin(dim=1)
        if together.shape == split.shape and bool(((together - split).abs().amax(dim=1) <= SAME * spread).all()):
            self._twin_batch = None

    def take_feature(self) -> torch.Tensor:
        """(b, d): the input of the last linear layer in the latest forward pass; positions averaged."""
        if self._feature is None:
            raise RuntimeError("the network has not run since its feature was last taken")
        kept, self._feature = self._feature, None
        return kept

    def whole(self, images: torch.Tensor) -> torch.Tensor:
        """(b, …): what the file itself answers, its softmax included."""
        return self._ask_runtime(images, [self._end.output])[0]

    def _ask_runtime(self, images: torch.Tensor, names: list[str] | None = None) -> list[torch.Tensor]:
        values = images.detach().contiguous().cpu().numpy().astype(self._type, copy=False)
        size = self._end.shape[0] or (1 if self._one_by_one else len(values))
        copies = size if self._one_by_one else 1  # a fixed batch is filled with the one image
        place = np.arange(len(values))
        if size == copies:
            values, place = _apart(values)
        values = values.repeat(copies, axis=0)
        missing = -len(values) % size
        if missing:
            values = np.concatenate([values, values[-1:].repeat(missing, axis=0)])
        parts = (values[start : start + size] for start in range(0, len(values), size))
        runs = [self._session.run(names or self._names, {self._end.input: part}) for part in parts]
        columns = runs[0] if len(runs) == 1 else [np.concatenate(column) for column in zip(*runs, strict=True)]
        answers = [torch.from_numpy(np.asarray(column, dtype=np.float32)).to(images.device) for column in columns]
        wanted = torch.from_numpy(place).to(images.device)
        return [answer[::copies][wanted] for answer in self._shaped(answers)]

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
        return [logits, *map(self._averaged, features)]

    def _averaged(self, feature: torch.Tensor) -> torch.Tensor:
        """(b, d) of (b, d, …) or of (b, …, d): a linear layer commutes with the mean over positions."""
        if feature.dim() <= 2 or self._end.head is None:
            return feature
        return feature.flatten(2).mean(2) if self._end.head.positions_last else feature.flatten(1, -2).mean(1)


def _apart(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first image and those that differ from it, and which of them answers for each: padding is asked once."""
    asked = (values != values[:1]).reshape(len(values), -1).any(axis=1)
    asked[0] = True
    return values[asked], np.where(asked, np.cumsum(asked) - 1, 0)


def prove_head(
    network: OnnxNetwork, end: GraphEnd, device: torch.device, logits_of: Callable[[int], torch.Tensor]
) -> FoundHead:
    """The head that was read from the graph, proved; or the reason why there is none."""
    if end.head is None:
        return no_head(end.reason)
    weight, bias = (torch.from_numpy(values).to(device) for values in (end.head.weight, end.head.bias))
    head = ReadHead(weight, bias, network.take_feature)
    return prove(head, end.head.kind, end.head.node, logits_of, tolerance_of(end.head))


def tolerance_of(head: LinearEnd) -> float:
    """The relative error to which a head is proved: that of float32, or of the coarser numbers that it computes in."""
    return max(TOLERANCE, ROUNDINGS * head.precision)
