"""A second opinion: the published AutoAttack itself, run by the package `pyautoattack`, judged as ours is.

Croce & Hein 2020. Its verdicts depend on the batches that it is given, and it says of an image only that it is
broken, and by what perturbation. What it does to the process around it is undone here.
"""

from __future__ import annotations

import logging
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyautoattack  # type: ignore[import-untyped]
import torch
from pyautoattack import checks as reference_checks
from torch import nn

from repaudit.attacks import presets, resolve
from repaudit.attacks.checks import unchanged
from repaudit.attacks.intake import Intake
from repaudit.attacks.threat import Norm
from repaudit.attacks.verdict import CODES, MARGINAL, Answers, Evaluation, Gradients, Outcome, judge
from repaudit.errors import InvalidModel, InvalidProfile
from repaudit.evidence import padded
from repaudit.foreign import contained
from repaudit.numerics import same_kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.attacks import Setting
    from repaudit.attacks.intake import Subjects
    from repaudit.attacks.threat import Threat
    from repaudit.case import EvaluationShape
    from repaudit.classifier import Classifier
    from repaudit.images import ImageSet
    from repaudit.progress import Progress

PARTS = {"apgd_ce": "apgd-ce", "apgd_dlr": "apgd-dlr", "apgd_t": "apgd-t", "fab_t": "fab-t", "square": "square"}
"""Our attacks that it has, by their presets' names, and what it calls them."""
CLASSES = {"apgd-dlr": 3, "apgd-t": 4}
"""Classes that a part needs: it reads the third or the fourth largest logit and fails where there is none."""
TARGETS = 9
"""Classes that its targeted attacks aim at where there are as many."""
CHUNK = 512
"""Images in memory at a time, rounded up to whole batches."""
NOT_TOLD = -1
"""In fields of an evaluation that the reference says nothing about."""


def evaluate_by_reference(
    classifier: Classifier,
    images: ImageSet,
    subjects: Subjects,
    setting: Setting,
    *,
    seed: int,
    shape: EvaluationShape,
    progress: Progress,
) -> Evaluation:
    """Attacks each image by `pyautoattack`, one of its parts after the other, and judges what it returns.

    A success is a returned image that our own judge, in calls of `shape.rows`, finds misclassified and within the
    radius; an image is given to the next part until there is one. Non-finite logits are an error where a returned
    image has them; those met on the way are seen by nobody.

    Args:
        classifier: in eval mode, and left exactly as it was.
        images: read by id, `CHUNK` at a time.
        subjects: initially correct images.
        setting: a protocol of AutoAttack, or one of its parts, with the published options and any threat.
        seed: of its noise, which is drawn anew from this seed for each of its batches.
        shape: its batches have `rows` × `calls` images, what is judged is judged in calls of `rows`.
        progress: shows images, each counted once for every part.

    Returns:
        `member` is −1 for robust images, `target`, `restart` and `iteration` for all, because it does not tell; the
        margin of a robust image is that of the image itself. `gain`, `eight_bit` and `last` are not measured, and
        gradients not counted (backward passes are, among the classifier's work).

    Raises:
        InvalidProfile: it has no such attack, or not with these options.
        InvalidModel: the model has too few classes for it, is in training mode, or changed a buffer under attack.
        InvalidData: an image is not in [0, 1].
        torch.OutOfMemoryError: the shape is too large for the device.
    """
    names, version = _protocol(setting)
    _require_classes(names, subjects.logits.shape[1])
    attack = _Attack(classifier, setting.threat, version, setting.votes, seed, shape)
    verdicts = _Verdicts(len(subjects.ids))
    intake = Intake(images, subjects.ids, shape.rows, classifier.device)
    title, total = f"attack {setting.key} by pyautoattack", len(subjects.ids) * len(names)
    with (
        unchanged(classifier.network),
        same_kernels(),
        _contained(),
        torch.no_grad(),
        closing(intake),
        progress.stage(title, total, "images") as stage,
    ):
        for chosen in _chunks(len(subjects.ids), shape):
            clean = intake.take(len(chosen)).contiguous()
            labels = torch.from_numpy(subjects.labels[chosen]).to(classifier.device)
            verdicts.start(chosen, attack.judged(clean, clean, labels))
            for member, name in enumerate(names):
                left = verdicts.open(chosen)
                at = torch.from_numpy(left - chosen[0]).to(classifier.device)
                if len(left):
                    found = attack.run(PARTS[name], clean[at], labels[at])
                    verdicts.take(left, member, attack.judged(clean[at], found, labels[at]))
                stage.advance(len(chosen))
    return verdicts.evaluation(setting, names, seed, subjects, _notes(names, subjects.logits.shape[1]))


def _chunks(n: int, shape: EvaluationShape) -> Iterator[np.ndarray]:
    batch = shape.rows * shape.calls
    size = -(-CHUNK // batch) * batch
    for start in range(0, n, size):
        yield np.arange(start, min(start + size, n))


def _protocol(setting: Setting) -> tuple[tuple[str, ...], str]:
    """Its parts by our names, in their order, and the version of the reference that runs them so."""
    if setting.name == "autoattack":
        return tuple(member.key for member in setting.members()), "standard" if setting.votes == 1 else "rand"
    asked = {"key": setting.key, "norm": setting.threat.norm, "epsilon": setting.threat.epsilon}
    for preset in PARTS.keys() & presets().keys():
        if replace(setting, series=None) == resolve({"name": preset, **asked}):
            return (preset,), "standard"
    raise InvalidProfile(
        f"pyautoattack cannot run the attack `{setting.key}` as it is asked for",
        detail=f"It has autoattack and its parts {', '.join(PARTS)}, each with the published options.",
        remedy="--engine pool",
    )


def _require_classes(names: tuple[str, ...], classes: int) -> None:
    needed = max(CLASSES.get(PARTS[name], 2) for name in names)
    if classes < needed:
        raise InvalidModel(
            f"pyautoattack needs at least {needed} classes for this attack; the model has {classes}",
            detail="Its objective divides by a difference of the largest logits, of which there are too few.",
            remedy="--engine pool",
        )


def _notes(names: tuple[str, ...], classes: int) -> tuple[str, ...]:
    targeted = sorted({"apgd_t", "fab_t"} & set(names))
    if not targeted or classes > TARGETS:
        return ()
    return (f"{classes - 1} targets in place of {TARGETS} in {' and '.join(targeted)}: there are {classes} classes",)


class _Pixels(nn.Module):
    """The classifier as the reference takes it: pixels to logits; backward rows are counted."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self._classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self._classifier.logits(images)
        if logits.requires_grad:
            logits.register_hook(self._count)  # type: ignore[no-untyped-call]
        return logits.contiguous()

    def _count(self, gradient: torch.Tensor) -> None:
        self._classifier.work.backward_rows += len(gradient)


@dataclass(frozen=True, slots=True)
class _Attack:
    """What attacks one chunk."""

    classifier: Classifier
    threat: Threat
    version: str
    votes: int
    seed: int
    shape: EvaluationShape

    def run(self, part: str, clean: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What the reference returns: adversarials, and the images themselves where it found none."""
        engine = pyautoattack.AutoAttack(
            _Pixels(self.classifier).eval(),
            norm={Norm.LINF: "Linf", Norm.L2: "L2"}[self.threat.norm],
            eps=self.threat.epsilon,
            seed=self.seed,
            version=self.version,
            device=self.classifier.device,
        )
        targets = min(TARGETS, self.classifier.card.classes_count - 1)
        engine.apgd_targeted.n_target_classes = engine.fab.n_target_classes = targets
        engine.attacks_to_run = [part]
        batch = self.shape.rows * self.shape.calls
        with contained():
            found, _ = engine.run_standard_evaluation(clean, labels, batch_size=batch)
        returned: torch.Tensor = found
        return returned

    def judged(self, clean: torch.Tensor, found: torch.Tensor, labels: torch.Tensor) -> Answers:
        """Our own verdicts, in full calls; where passes vote, the majority's with the mean of their margins."""
        passes = [self._pass(clean, found.clamp(0, 1), labels) for _ in range(self.votes)]
        return replace(
            passes[0],
            finite=np.all([answers.finite for answers in passes], axis=0),
            wrong=np.mean([answers.wrong for answers in passes], axis=0) > 0.5,
            margin=np.mean([answers.margin for answers in passes], axis=0),
            spread=np.mean([answers.spread for answers in passes], axis=0),
        )

    def _pass(self, clean: torch.Tensor, query: torch.Tensor, labels: torch.Tensor) -> Answers:
        rows = self.shape.rows
        logits = [
            self.classifier.logits(padded(query[start : start + rows], rows))[: len(query) - start]
            for start in range(0, len(query), rows)
        ]
        return judge(self.threat, query - clean, torch.cat(logits), labels)


class _Verdicts:
    """What is known of n images."""

    def __init__(self, n: int) -> None:
        self._outcome = np.full(n, CODES[Outcome.ROBUST], dtype=np.int8)
        self._member = np.full(n, NOT_TOLD, dtype=np.int64)
        self._margin, self._size, self._spread = (np.zeros(n) for _ in range(3))

    def start(self, rows: np.ndarray, clean: Answers) -> None:
        """Takes the answers to the images themselves."""
        self._record(rows, ~clean.finite, CODES[Outcome.ERROR], NOT_TOLD, clean)
        self._record(rows, clean.finite, CODES[Outcome.ROBUST], NOT_TOLD, clean)

    def open(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows that nothing has decided."""
        undecided: np.ndarray = rows[self._outcome[rows] == CODES[Outcome.ROBUST]]
        return undecided

    def take(self, rows: np.ndarray, member: int, found: Answers) -> None:
        """Takes the answers to what one part returned."""
        self._record(rows, ~found.finite, CODES[Outcome.ERROR], member, found)
        self._record(rows, found.finite & found.wrong & found.inside, CODES[Outcome.BROKEN], member, found)

    def evaluation(
        self, setting: Setting, names: tuple[str, ...], seed: int, subjects: Subjects, notes: tuple[str, ...]
    ) -> Evaluation:
        """The verdicts, once every part has run."""
        n = len(subjects.ids)
        with np.errstate(invalid="ignore"):  # an error's margin is NaN, which is never marginal
            marginal = np.abs(self._margin) < MARGINAL * self._spread
        return Evaluation(
            setting=setting,
            seed=seed,
            ids=subjects.ids,
            outcome=self._outcome,
            members=names,
            member=self._member,
            target=np.full(n, NOT_TOLD, dtype=np.int64),
            restart=np.full(n, NOT_TOLD, dtype=np.int64),
            iteration=np.full(n, NOT_TOLD, dtype=np.int64),
            margin=self._margin,
            perturbation=self._size,
            marginal=marginal,
            gain=np.full(n, np.nan),
            eight_bit=np.full(n, NOT_TOLD, dtype=np.int8),
            notes=notes,
            last=None,
            gradients=Gradients(),
        )

    def _record(self, rows: np.ndarray, chosen: np.ndarray, code: int, member: int, answers: Answers) -> None:
        at = rows[chosen]
        self._outcome[at], self._member[at] = code, member
        self._margin[at] = np.where(answers.finite, answers.margin, np.nan)[chosen]
        self._size[at], self._spread[at] = answers.size[chosen], answers.spread[chosen]


@contextmanager
def _contained() -> Iterator[None]:
    """Undoes what the reference does to its process.

    It seeds torch's global generators, ends any trace (of a debugger, of a coverage measurement), counts calls in a
    table that is never emptied, after which every later model looks dynamic, and logs.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    logger, trace, counted = logging.getLogger("auto-attack"), sys.gettrace(), dict(reference_checks.funcs)
    silenced, logger.disabled = logger.disabled, True
    reference_checks.funcs.update(dict.fromkeys(counted, 0))
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        reference_checks.funcs.update(counted)
        logger.disabled = silenced
        sys.settrace(trace)
