"""Robust shares of real networks against those measured with independent code on the same images."""

import pytest

from repaudit.attacks.verdict import Outcome


@pytest.mark.parametrize(("name", "low", "high"), [("resnet2b", 0.5, 0.6), ("cnn_a", 0.0, 1.0)])
def test_x(problem, name, low, high):
    v = problem(name, 250).verdicts({"name": "pgd", "epsilon": "2/255", "steps": 10, "step_size": "0.5/255"})
    print(
        name,
        len(v),
        v.count(Outcome.ROBUST),
        v.count(Outcome.ROBUST) / 250,
        v.count(Outcome.ROBUST) / len(v),
        v.marginal.sum(),
    )
    assert 0
