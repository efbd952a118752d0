"""Attacks against pyautoattack, torchattacks and foolbox: one process, one thread, the same weights and images.

    REPAUDIT_ASSETS=FOLDER python benchmarks/attacks.py [--quick] [--only CASE…] [--images CASE=N…]

Each case runs ours and then the peer on the same initially correct images of the CIFAR-10 sample, and prints CPU
seconds (`time.process_time`), forward and backward rows an image (counted by hooks on the network, the same for
all; padding, the faster copy and its proof included for ours), the ratios with their bars, and per-image agreement.
Ours keeps a journal and has the evaluation shape that `scan` chooses; the peer is given as many rows
at a time as our pool holds. The noise of both has seed 0, which means other draws: of the images with
different verdicts it is said how many are marginal, that is within rounding of the decision.

`scheduling` is what the processor does outside the network (forward and `torch.autograd.grad`) and outside the
attacks' own methods: refilling, evicting, gathering, judging, the journal, and all noise, also what attacks draw.
It is measured by a clock that each of these calls switches.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from _engines import by_foolbox, by_pyautoattack, by_torchattacks, ours, prepared, searched
from _meter import Attacker, Run, clocked, measured
from _problems import Problem, load

from repaudit.attacks import resolve

LEVEL = 1 / 255
PARTS = {"apgd_ce": "apgd-ce", "apgd_t": "apgd-t", "fab_t": "fab-t", "square": "square"}
IMAGES = {"fragile": 250, "weak": 250, "weaker": 50, "robust": 250, "pgd": 250, "scheduling": 250, "parts": 64}
QUICK = {"fragile": 48, "weak": 4, "weaker": 4, "robust": 24, "pgd": 64, "scheduling": 32, "parts": 8}


def in_turn(problem: Problem, attack: Attacker, peer: Attacker, rounds: int = 1) -> tuple[Run, Run]:
    """Both, as often as `rounds`; of each the run that cost the least, which other work disturbed the least."""
    runs = [(measured(problem, attack), measured(problem, peer)) for _ in range(rounds)]
    mine, theirs = (min(each, key=lambda run: run.seconds) for each in zip(*runs, strict=True))
    return mine, theirs


def compare(title: str, problem: Problem, mine: Run, peer: str, theirs: Run, bars: dict[str, float]) -> None:
    """Two lines of figures and one of verdicts."""
    shape = f"calls of {problem.shape.rows} rows, {problem.shape.calls} in the pool"
    print(f"\n{title}: {len(problem)} images, {shape}")
    for name, run in (("repaudit", mine), (peer, theirs)):
        rows = f"{run.forward:>10.1f} forward {run.backward:>9.1f} backward rows an image"
        print(f"  {name:14}{run.seconds:>9.2f} s {rows}{int((~run.broken).sum()):>6} robust")
    ratios = {
        "CPU": theirs.seconds / mine.seconds,
        "forward": theirs.forward / mine.forward,
        "backward": theirs.backward / mine.backward if mine.backward else float("nan"),
    }
    told = [f"{name} {ratio:.2f} ×{judged(ratio, bars.get(name))}" for name, ratio in ratios.items()]
    print(f"  {peer} over ours: {', '.join(told)}")
    differ = mine.broken != theirs.broken
    marginal = 0 if mine.marginal is None else int((differ & mine.marginal).sum())
    only = f"{int((differ & mine.broken).sum())} broken by ours only"
    print(
        f"  same verdicts: {int((~differ).sum())} of {len(problem)}, "
        f"different {int(differ.sum())} ({only}, {marginal} marginal)",
        flush=True,
    )


def judged(ratio: float, bar: float | None) -> str:
    return "" if bar is None else f" (wanted {bar:g} ×: {'met' if ratio >= bar else 'NOT MET'})"


def protocol(problem: Problem, levels: float, bars: dict[str, float]) -> None:
    """The full standard protocol on both sides."""
    epsilon = levels * LEVEL
    mine, theirs = in_turn(problem, ours({"name": "autoattack", "epsilon": epsilon}), by_pyautoattack(epsilon))
    compare(f"AutoAttack standard, {problem.name} at {levels:g}/255", problem, mine, "pyautoattack", theirs, bars)


def fragile(networks: dict[str, Problem], n: int) -> None:
    protocol(networks["resnet20"].first(n), 8, {"CPU": 20, "backward": 30})


def weak(networks: dict[str, Problem], n: int) -> None:
    protocol(networks["resnet20"].first(n), 1, {"CPU": 1.5})


def weaker(networks: dict[str, Problem], n: int) -> None:
    protocol(networks["resnet20"].first(n), 0.5, {"CPU": 1.5})


def robust(networks: dict[str, Problem], n: int) -> None:
    protocol(networks["resnet2b"].first(n), 4, {"CPU": 2})


def pgd(networks: dict[str, Problem], n: int) -> None:
    """From the image itself, so that the verdicts can be compared."""
    problem, step, steps = networks["resnet20"].first(n), 2 * LEVEL, 10
    raw = {"name": "pgd", "epsilon": 8 * LEVEL, "steps": steps, "step_size": step, "start": "clean"}
    for name, peer in (("torchattacks", by_torchattacks), ("foolbox", by_foolbox)):
        mine, theirs = in_turn(problem, ours(raw), peer(8 * LEVEL, step, steps), 3)
        compare("PGD-10, resnet20 at 8/255", problem, mine, name, theirs, {"CPU": 4})


def scheduling(networks: dict[str, Problem], n: int) -> None:
    """Where ours spends its time on a network of 0.03 ms a row, the hardest case for a scheduler."""
    problem = networks["resnet2b"].first(n)
    copy, setting = prepared(problem), resolve({"name": "autoattack", "epsilon": 4 * LEVEL})
    with clocked(problem, copy) as clock:
        searched(problem, clock.setting(setting), copy)
        shares = clock.shares()
    share = shares.get("scheduling", 0.0) + shares.get("noise", 0.0)
    print(f"\nScheduling, AutoAttack standard, resnet2b at 4/255: {len(problem)} images")
    print("  " + ", ".join(f"{part} {value:.1%}" for part, value in sorted(shares.items(), key=lambda each: -each[1])))
    verdict = "met" if share < 0.3 else "NOT MET"
    print(f"  scheduling with noise: {share:.1%} of {sum(clock.seconds.values()):.1f} s (wanted < 30 %: {verdict})")


def parts(networks: dict[str, Problem], n: int) -> None:
    """Each attack of the protocol on its own, on all images."""
    problem = networks["resnet2b"].first(n)
    for name, theirs_name in PARTS.items():
        attack = ours({"name": name, "epsilon": 4 * LEVEL})
        mine, theirs = in_turn(problem, attack, by_pyautoattack(4 * LEVEL, theirs_name))
        compare(f"{name} alone, resnet2b at 4/255", problem, mine, "pyautoattack", theirs, {})


CASES: dict[str, Callable[[dict[str, Problem], int], None]] = {
    case.__name__: case for case in (fragile, weak, weaker, robust, pgd, scheduling, parts)
}


def warm_up(networks: dict[str, Problem]) -> None:
    """Imports and first allocations are not what is measured."""
    for problem in networks.values():
        few = problem.first(4)
        measured(few, ours({"name": "pgd", "epsilon": LEVEL, "steps": 2, "step_size": LEVEL}))
        for peer in (by_torchattacks, by_foolbox):
            measured(few, peer(LEVEL, LEVEL, 2))
        measured(few, by_pyautoattack(0.5, "apgd-ce"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer images: a minute or two, ratios less steady")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--images", nargs="+", default=[], metavar="CASE=N", help="images at most in a case")
    asked = parser.parse_args()
    folder = os.environ.get("REPAUDIT_ASSETS")
    if not folder:
        sys.exit("REPAUDIT_ASSETS must name the folder of real weights and images")
    counts = {
        **(QUICK if asked.quick else IMAGES),
        **{case: int(n) for case, n in (e.split("=") for e in asked.images)},
    }
    warnings.simplefilter("ignore")  # the libraries warn of their old dependencies
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    networks = {name: load(Path(folder), name) for name in ("resnet20", "resnet2b")}
    warm_up(networks)
    for case in asked.only:
        CASES[case](networks, counts[case])


if __name__ == "__main__":
    main()
