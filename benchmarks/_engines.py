"""The same attack by this project and by its peers, each returning which images it broke."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from _meter import Counter
from _problems import Pixels, Problem

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.journal import open_journal
from repaudit.attacks.scout import Scout, scout, worth_a_copy
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.progress import SilentProgress

SEED = 0


def prepared(problem: Problem, counter: Counter | None = None) -> Scout | None:
    """The faster copy that the harness searches with, where there is one; its proof is part of the cost."""
    before = problem.classifier.work.forward_rows, problem.classifier.work.backward_rows
    copy = scout(problem.classifier, problem.pixels[: problem.shape.rows])
    if copy is not None and counter is not None:
        # the copy was not hooked yet while it was proved: whatever did not pass the original passed it
        counter.forward += problem.classifier.work.forward_rows - before[0] - counter.forward
        counter.backward += problem.classifier.work.backward_rows - before[1] - counter.backward
        counter.watch(copy.network)
    return copy


def searched(problem: Problem, setting, copy: Scout | None):
    """One evaluation, with its journal."""
    with tempfile.TemporaryDirectory() as folder:
        journal = open_journal(Path(folder) / "jobs.jsonl", {}, fresh=True, progress=SilentProgress())
        try:
            return evaluate(
                problem.classifier,
                problem.images,
                problem.subjects,
                setting,
                seed=SEED,
                shape=problem.shape,
                progress=SilentProgress(),
                journal=journal,
                scout=copy,
            )
        finally:
            if journal is not None:
                journal.close()


def ours(raw):
    setting = resolve(raw)

    def attack(problem: Problem, counter: Counter):
        copy = prepared(problem, counter) if worth_a_copy(setting) else None
        verdicts = searched(problem, setting, copy)
        return verdicts.outcome == CODES[Outcome.BROKEN], verdicts.marginal

    return attack


def by_pyautoattack(epsilon: float, part: str | None = None):
    """The whole standard version, or one part of it."""
    import pyautoattack

    def attack(problem: Problem, counter: Counter):
        network = Pixels(problem.classifier).eval()
        engine = pyautoattack.AutoAttack(network, eps=epsilon, norm="Linf", seed=SEED, version="standard")
        if part is not None:
            engine.attacks_to_run = [part]
        adversarial, _ = engine.run_standard_evaluation(problem.pixels, problem.labels, batch_size=problem.batch)
        return _broken(network, adversarial, problem), None

    return attack


def by_torchattacks(epsilon: float, step: float, steps: int):
    import torchattacks

    def attack(problem: Problem, counter: Counter):
        network = Pixels(problem.classifier).eval()
        pgd = torchattacks.PGD(network, eps=epsilon, alpha=step, steps=steps, random_start=False)
        pgd.set_device("cpu")
        adversarial = [pgd(batch.images, batch.labels) for batch in problem.images.batches(problem.batch)]
        return _broken(network, torch.cat(adversarial), problem), None

    return attack


def by_foolbox(epsilon: float, step: float, steps: int):
    import foolbox

    def attack(problem: Problem, counter: Counter):
        model = foolbox.PyTorchModel(Pixels(problem.classifier).eval(), bounds=(0, 1), device="cpu")
        pgd = foolbox.attacks.LinfPGD(abs_stepsize=step, steps=steps, random_start=False)
        broken = [pgd(model, b.images, b.labels, epsilons=epsilon)[2] for b in problem.images.batches(problem.batch)]
        return torch.cat(broken).numpy(), None

    return attack


def _broken(network: Pixels, adversarial: torch.Tensor, problem: Problem) -> np.ndarray:
    with torch.no_grad():
        logits = [network(part) for part in adversarial.split(problem.batch)]
    return (torch.cat(logits).argmax(1) != problem.labels).numpy()
