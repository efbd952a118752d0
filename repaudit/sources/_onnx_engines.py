"""The torch twin of a graph, and the proof that it says the same as onnxruntime."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from repaudit.foreign import said
from repaudit.sources._onnx_plainer import plainer

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from repaudit.sources._onnx_graph import GraphEnd
    from repaudit.sources._onnx_network import OnnxNetwork

ALIKE = 1e-3
"""Share of the spread of an image's logits by which the twin's may differ; float16 graphs round at about this."""
ALONG = 0.95
"""Least cosine between directional derivatives of the twin and finite differences of onnxruntime, as in the audit
`masking`: kinks and float32 cost a few per cent, a wrong gradient has none of it left."""
STEP = 1e-3
"""Of the finite differences, in units of the normalised input."""
DIRECTIONS = 16
OLDEST, MODERN = 9, 13
"""Versions of ONNX's operators: below the first the converter lacks many."""
MOVE = 0.1
"""How far, in units of the normalised input, every second image is moved before both are asked."""


@dataclass(frozen=True, slots=True)
class Twin:
    """A torch module that computes the graph, or the reason why there is none."""

    module: nn.Module | None
    reason: str | None


def cut(model: onnx.ModelProto, end: GraphEnd) -> tuple[onnx.ModelProto, list[str]]:
    """The graph with the logits and the feature as its outputs, and their names."""
    import onnx

    names = [end.logits] + ([] if end.head is None else [end.head.feature])
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    known = {each.name: each for each in [*model.graph.output, *model.graph.value_info]}
    for name in names:
        copy.graph.output.append(known.get(name) or onnx.helper.make_empty_tensor_value_info(name))
    return copy, names


def twin_of(model: onnx.ModelProto) -> Twin:
    """The graph, which brings its weights along, as a torch module in float32."""
    reason = ""
    for prepared in (_modern, plainer):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # remarks of the converter about itself
                import onnx2torch

                return Twin(onnx2torch.convert(prepared(model)).float().eval(), None)
        except Exception as error:  # what a converter raises on operators that it does not know
            reason = f"onnx2torch cannot convert the graph ({said(error)})"
    return Twin(None, reason)


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with operators of a version that the converter knows; that both compute the same is proved later."""
    from onnx import version_converter

    version = next((each.version for each in model.opset_import if each.domain in {"", "ai.onnx"}), MODERN)
    if version >= OLDEST:
        return model
    try:
        return version_converter.convert_version(model, MODERN)
    except Exception:  # it knows fewer operators than the converter: that one may still manage
        return model


def differs(network: OnnxNetwork, images: torch.Tensor) -> str | None:
    """How the twin's answers or slopes differ from onnxruntime's; None where they do not.

    Args:
        network: with both.
        images: (b, …) normalised, as the graph takes them; half of them are moved before they are asked about.
    """
    generator = torch.Generator().manual_seed(0)
    signs = torch.randn(images.shape, generator=generator).sign()
    every_second = (torch.arange(len(images)) % 2 == 0).reshape(-1, 1, 1, 1)
    moved = images + MOVE * signs * every_second
    asked = moved.clone().requires_grad_()
    try:
        with torch.enable_grad():
            near = network(asked)
            lead = near.amax(dim=1) - near.amin(dim=1)
            (slope,) = torch.autograd.grad(lead.sum(), asked)
    except Exception as error:  # a converted graph may fail on what the converter let pass
        return f"the converted graph gives no gradient ({said(error)})"
    with torch.no_grad():
        exact = network(moved)
    gap = ((near.detach() - exact).abs().amax(dim=1) / (exact.amax(dim=1) - exact.amin(dim=1)).clamp_min(1e-30)).max()
    if not float(gap) <= ALIKE:
        return f"the converted graph answers otherwise, by {float(gap):.2g} of the spread of its logits"
    return _slopes_differ(network, moved, slope, near.detach(), generator)


def _slopes_differ(
    network: OnnxNetwork, images: torch.Tensor, slope: torch.Tensor, logits: torch.Tensor, generator: torch.Generator
) -> str | None:
    first, last = logits.argmax(dim=1, keepdim=True), logits.argmin(dim=1, keepdim=True)
    along, found = [], []
    for _ in range(DIRECTIONS):
        direction = torch.randn(images.shape, generator=generator)
        with torch.no_grad():
            ends = [network(images + sign * STEP * direction) for sign in (1, -1)]
        leads = [(each.gather(1, first) - each.gather(1, last)).flatten().double() for each in ends]
        found.append((leads[0] - leads[1]) / (2 * STEP))
        along.append((slope.double() * direction.double()).flatten(1).sum(dim=1))
    one, other = torch.stack(along).flatten(), torch.stack(found).flatten()
    if not bool(one.any()):
        return "the gradients of the converted graph are zero, as they are where a graph rounds"
    cosine = float(torch.nn.functional.cosine_similarity(one, other, dim=0))
    return None if cosine >= ALONG else f"its gradients and finite differences of onnxruntime have cosine {cosine:.2f}"
