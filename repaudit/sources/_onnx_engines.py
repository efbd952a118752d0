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
ALONG_STEP = 1e-2
"""Of the one along the twin's own slope, which is short beside a random direction of many pixels."""
DIRECTIONS = 2
"""Random ones an image: a twin that has half of its slope wrong passes once in fifty times. With the one along its
slope these are 12 rows; rows are what loading a large graph costs."""
OLDEST, MODERN = 9, 13
"""Versions of ONNX's operators: below the first the converter lacks many."""
MOVE = 0.1
"""How far, in units of the normalised input, every second image is moved before both are asked."""


@dataclass(frozen=True, slots=True)
class Twin:
    """A torch module that computes the graph, or the reason why there is none."""

    module: nn.Module | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """What comparing a twin with onnxruntime gave."""

    reason: str | None
    """Why the twin is not believed; None where it is."""
    told: str = ""
    """How near it came, where it is believed."""


def cut(model: onnx.ModelProto, end: GraphEnd, *, whole: bool = False) -> tuple[onnx.ModelProto, list[str]]:
    """The graph with the logits and the feature as its outputs, and their names.

    `whole` adds what the file itself answers with, so that both can be compared.
    """
    import onnx

    names = [end.logits] + ([] if end.head is None else [end.head.feature])
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    known = {each.name: each for each in [*model.graph.output, *model.graph.value_info]}
    for name in [*names, *([end.output] if whole and end.output not in names else [])]:
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

                return Twin(onnx2torch.convert(_named(_known(prepared(model)))).float().eval(), None)
        except Exception as error:  # what a converter raises on operators that it does not know
            reason = f"onnx2torch cannot convert the graph ({said(error)})"
    return Twin(None, reason)


def _known(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same, whose operators the converter knows: it finds out late, after copying all weights several times.

    Raises:
        NotImplementedError: an operator is none of them.
    """
    from onnx2torch.node_converters import get_converter

    versions = {each.domain: each.version for each in model.opset_import}
    for domain, operator in {(node.domain, node.op_type) for node in model.graph.node}:
        get_converter(domain=domain, operation_type=operator, version=versions.get(domain, MODERN))
    return model


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same with names that the converter keeps apart: it makes one node of `/Gather_1` and a second `/Gather`."""
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    return model


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


def agreement(network: OnnxNetwork, images: torch.Tensor) -> Agreement:
    """Whether the twin's answers and slopes are onnxruntime's.

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
        return Agreement(f"the converted graph gives no gradient ({said(error)})")
    with torch.no_grad():
        exact = network(moved)
    gap = ((near.detach() - exact).abs().amax(dim=1) / (exact.amax(dim=1) - exact.amin(dim=1)).clamp_min(1e-30)).max()
    if not float(gap) <= ALIKE:
        return Agreement(f"the converted graph answers otherwise, by {float(gap):.2g} of the spread of its logits")
    network.free_twin(moved)
    cosine = _cosine(network, moved, slope, near.detach(), generator)
    if cosine is None:
        return Agreement("the gradients of the converted graph are zero, as they are where a graph rounds")
    if not cosine >= ALONG:
        return Agreement(f"its gradients and finite differences of onnxruntime have cosine {cosine:.2f}")
    return Agreement(None, f"logits within {float(gap):.1g} of their spread, slopes of cosine {cosine:.3f}")


def _cosine(
    network: OnnxNetwork, images: torch.Tensor, slope: torch.Tensor, logits: torch.Tensor, generator: torch.Generator
) -> float | None:
    """Of the twin's slope and onnxruntime's; None where the twin's is zero.

    What onnxruntime's slope g has along the twin's s is measured once, what it has across along random directions.

    The cosine is then ⟨g, s⟩ / |g||s|. Were s right in part only, the rest would lie across, where nothing may be.
    """
    pair = logits.argmax(dim=1, keepdim=True), logits.argmin(dim=1, keepdim=True)
    flat = slope.double().flatten(1)
    length = flat.norm(dim=1)
    if not bool(length.any()):
        return None
    unit = flat / length.clamp_min(torch.finfo(torch.float64).tiny).unsqueeze(1)
    along = _derivative(network, images, pair, unit.reshape(slope.shape).float(), ALONG_STEP)
    across = torch.zeros_like(along)
    for _ in range(DIRECTIONS):
        direction = torch.randn(images.shape, generator=generator)
        shared = (unit * direction.double().flatten(1)).sum(dim=1)
        across += (_derivative(network, images, pair, direction, STEP) - along * shared).square() / DIRECTIONS
    return float((along * length).sum() / (length.norm() * (along.square() + across).sum().sqrt()))


def _derivative(
    network: OnnxNetwork,
    images: torch.Tensor,
    pair: tuple[torch.Tensor, torch.Tensor],
    direction: torch.Tensor,
    step: float,
) -> torch.Tensor:
    """(b,) central difference of the lead of one class over another, by onnxruntime."""
    with torch.no_grad():
        answers = network(torch.cat([images + step * direction, images - step * direction]))
    up, down = ((each.gather(1, pair[0]) - each.gather(1, pair[1])).flatten().double() for each in answers.chunk(2))
    slope: torch.Tensor = (up - down) / (2 * step)
    return slope
