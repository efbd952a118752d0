"""Robust accuracy of real networks against figures measured with independent code on the same images."""

import pytest

from repaudit.attacks.verdict import Outcome

PGD_10 = {"name": "pgd", "epsilon": "2/255", "steps": 10, "step_size": "0.5/255"}


@pytest.mark.parametrize(
    ("name", "images", "low", "high"), [("resnet2b", 250, 0.50, 0.60), ("resnet20", 100, 0.0, 0.07)]
)
def test_ten_steps_at_two_levels_leave_the_share_that_others_measured(problem, name, images, low, high):
    verdicts = problem(name, images).verdicts(PGD_10)

    assert low <= verdicts.count(Outcome.ROBUST) / images <= high
