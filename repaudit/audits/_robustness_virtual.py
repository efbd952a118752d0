"""Attacks on a model trained with virtual classes: their logits help to search, and only the real ones are judged.

The published evaluation of such models (AAAI 2025) runs AutoAttack with K + V − 1 targets on the widened head. An
image is robust only if neither that nor the standard protocol on the K real classes breaks it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks import resolve
from repaudit.attacks.intake import Subjects
from repaudit.attacks.verdict import CODES, PER_IMAGE, Evaluation, Outcome
from repaudit.attacks.widened import widened
from repaudit.audits._robustness_attack import Engine, Targets
from repaudit.audits._virtual_beside import joined_rows
from repaudit.errors import InvalidModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repaudit.attacks import Setting
    from repaudit.audits._subjects import Field
    from repaudit.case import Case, P
    from repaudit.classifier import Classifier

K_ONLY, PLUS = "k_only", "plus"


def part_keys(setting: Setting, virtual_head: str | None) -> tuple[str, ...]:
    """Keys of the parts of a headline; none where it has none."""
    if virtual_head is None or not _standard(setting):
        return ()
    return (f"{setting.key}_{K_ONLY}", f"{setting.key}_{PLUS}")


@dataclass(frozen=True, slots=True)
class Part:
    """One of the attacks that a headline unites."""

    key: str
    outcome: np.ndarray
    note: str


@dataclass(frozen=True, slots=True)
class Virtual:
    """The widened model, ready to be attacked."""

    targets: Targets
    classes: int
    """Real and virtual ones together."""

    def widest(self, setting: Setting) -> Setting:
        """The attack on the widened head that belongs to a standard protocol."""
        asked = {"name": "autoattack", "version": "virtual", "target_count": self.classes - 1}
        threat = {"norm": setting.threat.norm.value, "epsilon": setting.threat.epsilon}
        return resolve({**asked, **threat, "key": f"{setting.key}_{PLUS}"})

    def parts(self, setting: Setting, k_only: Evaluation, plus: Evaluation) -> tuple[Part, ...]:
        """What the headline unites: verdicts on the real classes, and on the widened head."""
        return (
            Part(f"{setting.key}_{K_ONLY}", k_only.outcome, "the standard protocol on the real classes alone"),
            Part(f"{setting.key}_{PLUS}", plus.outcome, f"{self.classes - 1} targets on the widened head"),
        )


def virtual_classes(case: Case[P], field: Field, targets: Targets, path: str | None) -> Virtual | None:
    """The model widened by the virtual classes of a file; None without one.

    Raises:
        InvalidModel: as `fitting_head`.
    """
    if path is None:
        return None
    head = fitting_head(Path(path), case.classifier)
    weight, bias = head.weight, head.bias
    wide = widened(case.classifier, weight, bias)
    features = case.evidence.features
    if features is None:
        raise ValueError("no features were collected")
    more = np.asarray(features)[field.correct] @ weight.numpy().T + bias.numpy()
    logits = np.concatenate([targets.subjects.logits, more.astype(np.float32)], axis=1)
    subjects = Subjects(ids=targets.subjects.ids, labels=targets.subjects.labels, logits=logits)
    classes = case.classifier.card.classes_count
    digest = hashlib.sha256(weight.numpy().tobytes() + bias.numpy().tobytes()).hexdigest()
    wider = replace(
        targets,
        classifier=wide,
        scout=None,
        subjects=subjects,
        classes=classes,
        more_weights=digest,
        engine=Engine.POOL,
    )
    return Virtual(wider, classes + len(weight))


@dataclass(frozen=True, slots=True)
class VirtualHead:
    """The rows of a head that belong to virtual classes."""

    weight: torch.Tensor
    """(V, d) float32."""
    bias: torch.Tensor
    """(V,) float32."""


def read_head(path: Path, modules: Sequence[str] = ()) -> VirtualHead:
    """The virtual classes of a safetensors file, as `repaudit train` writes it or with bare names.

    Args:
        path: of the file.
        modules: layers that make the model's logits, in their order; without it whatever the file has.

    Raises:
        InvalidModel: no such file, or none with `weight` (V, d) and `bias` (V,), bare or after the name of a layer.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    remedy = "--set robustness.virtual_head=vs_head.safetensors   (tensors `weight` (V, d) and `bias` (V,))"
    try:
        stored = load_file(path)
        head = _of_layers(stored, modules) or VirtualHead(stored["weight"].float(), stored["bias"].float())
    except (OSError, SafetensorError, KeyError) as error:
        raise InvalidModel(f"`{path}` holds no virtual classes", detail=str(error), remedy=remedy) from None
    if head.weight.ndim != 2 or head.bias.shape != head.weight.shape[:1]:
        shapes = f"{tuple(head.weight.shape)} and {tuple(head.bias.shape)}"
        raise InvalidModel(f"`{path}` has a weight and a bias of shapes {shapes}", remedy=remedy)
    if not (head.weight.isfinite().all() and head.bias.isfinite().all()):
        raise InvalidModel(f"`{path}` holds NaN or infinity", remedy="the file that was written beside the model")
    return head


def _of_layers(stored: Mapping[str, torch.Tensor], modules: Sequence[str]) -> VirtualHead | None:
    """Rows that are named after layers; None where their names are bare, or not those of the model's head."""
    named = [name.removesuffix(".weight") for name in stored if name.endswith(".weight")]
    rows = joined_rows(stored, modules or named) if named else None
    return None if rows is None else VirtualHead(*rows)


def fitting_head(path: Path, classifier: Classifier) -> VirtualHead:
    """The virtual classes of a file, which this classifier can be widened by.

    Raises:
        InvalidModel: no such file, not of this model's feature width, or a model without a linear head.
    """
    head, width = read_head(path, classifier.card.head.modules), classifier.card.head.feature_width
    if width is None:
        reason = classifier.card.head.reason or "it has no linear head"
        raise InvalidModel(
            f"this model cannot be widened by virtual classes: {reason}",
            remedy="without `robustness.virtual_head`, or a model with a linear head",
        )
    if head.weight.shape[1] != width:
        raise InvalidModel(
            f"the virtual classes of `{path}` are rows of width {head.weight.shape[1]}, the features of width {width}",
            remedy="--set robustness.virtual_head=FILE   the file that was written beside this model",
        )
    return head


def _standard(setting: Setting) -> bool:
    return setting.name == "autoattack" and setting.options.model_dump().get("version") == "standard"


def union(one: Evaluation, other: Evaluation) -> Evaluation:
    """Broken where either broke it, by the first one's query if that did; the smaller margin where neither did."""
    robust = CODES[Outcome.ROBUST]
    broken = CODES[Outcome.BROKEN]
    both = (one.outcome == robust) & (other.outcome == robust)
    second = np.where(both, other.margin < one.margin, one.outcome == robust)
    second |= (one.outcome != broken) & (other.outcome == broken)
    columns = {name: np.where(second, getattr(other, name), getattr(one, name)) for name in PER_IMAGE}
    columns["member"] = np.where(second, other.member + len(one.members), one.member)
    return replace(one, members=(*one.members, *other.members), **columns)
