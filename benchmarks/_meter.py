"""What an attack costs: processor seconds, rows that passed the network, and where the seconds went."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from types import ModuleType

import numpy as np
import torch
from _problems import Problem
from torch import nn

from repaudit.attacks import Setting, noise

METHODS = ("targets", "allocate", "begin", "propose", "objective", "update", "finished", "wants_gradient")
NOISE = ("step_keys", "uniforms", "normals", "uniform_in_ball")


@dataclass(frozen=True)
class Run:
    """One attack by one engine."""

    seconds: float
    """Of the processor, one thread."""
    forward: float
    """Rows an image."""
    backward: float
    broken: np.ndarray
    marginal: np.ndarray | None = None
    """Images whose margin is within rounding of zero, where the engine says so."""


class Counter:
    """Rows counted where they pass: in a hook on the network and in one on its logits' gradient."""

    def __init__(self) -> None:
        self.forward = self.backward = 0
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def watch(self, network: nn.Module) -> None:
        def passed(_: nn.Module, __: object, logits: torch.Tensor) -> None:
            self.forward += len(logits)
            if logits.requires_grad:
                logits.register_hook(self._backward)

        self._hooks.append(network.register_forward_hook(passed))

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _backward(self, gradient: torch.Tensor) -> None:
        self.backward += len(gradient)


Attacker = Callable[[Problem, Counter], tuple[np.ndarray, np.ndarray | None]]
"""Returns which images it broke, and which verdicts are marginal."""


def measured(problem: Problem, attack: Attacker) -> Run:
    counter = Counter()
    counter.watch(problem.classifier.network)
    started = time.process_time()
    broken, marginal = attack(problem, counter)
    seconds = time.process_time() - started
    counter.remove()
    n = len(problem)
    return Run(seconds, counter.forward / n, counter.backward / n, broken, marginal)


class Clock:
    """Processor seconds of each part of the work; what runs inside another part is taken from that one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._parts = ["scheduling"]
        self._since = time.process_time()

    def within(self, part: str, function):
        @wraps(function)
        def timed(*arguments, **options):
            self._switch()
            self._parts.append(part)
            try:
                return function(*arguments, **options)
            finally:
                self._switch()
                self._parts.pop()

        return timed

    def shares(self) -> dict[str, float]:
        self._switch()
        total = sum(self.seconds.values())
        return {part: seconds / total for part, seconds in self.seconds.items()}

    def setting(self, setting: Setting) -> Setting:
        """The same attacks, whose own methods are timed; noise that they draw is not theirs."""

        def members():
            made = setting.members()
            for member in made:
                for name in METHODS:
                    setattr(member.attack, name, self.within(member.key, getattr(member.attack, name)))
            return made

        return replace(setting, members=members)

    def _switch(self) -> None:
        now = time.process_time()
        self.seconds[self._parts[-1]] += now - self._since
        self._since = now


@contextmanager
def clocked(problem, scout):
    """A clock with the network, forward and back, and the noise timed apart while the block runs."""
    clock = Clock()
    holders = [(torch.autograd, "grad", "network"), (problem.classifier, "forward", "network")]
    if scout is not None:
        holders.append((scout, "logits", "network"))
    rooms = [module for name, module in sys.modules.items() if name.startswith("repaudit.attacks.")]
    holders += [(room, name, "noise") for room in rooms for name in NOISE if _has(room, name) and room is not noise]
    before = [(holder, name, getattr(holder, name)) for holder, name, _ in holders]
    for holder, name, part in holders:
        setattr(holder, name, clock.within(part, getattr(holder, name)))
    try:
        yield clock
    finally:
        for holder, name, function in before:
            setattr(holder, name, function)


def _has(room: ModuleType, name: str) -> bool:
    return getattr(room, name, None) is getattr(noise, name)
