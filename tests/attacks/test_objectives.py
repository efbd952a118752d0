"""Objectives against the formulas of their papers, spelled out with a full sort in float64."""

import numpy as np
import pytest
import torch

from repaudit.attacks import UNTARGETED
from repaudit.attacks.objectives import (
    cross_entropy,
    dlr,
    for_classes,
    margin,
    targeted_dlr,
    targeted_margin,
    targets_by_logit,
)

SMALLEST = {cross_entropy: 2, margin: 2, targeted_margin: 2, dlr: 3, targeted_dlr: 4}
GUARD = 1e-12
"""What the published code adds to the denominators."""


def by_sorting(objective, logits, label, target):
    """One row, as the papers write it."""
    falling = np.sort(logits)[::-1]
    largest_other = np.delete(logits, label).max()
    if objective is cross_entropy:
        return np.log(np.exp(logits - logits[label]).sum())
    if objective is margin:
        return largest_other - logits[label]
    if objective is targeted_margin:
        return logits[target] - logits[label]
    if objective is dlr:  # Croce & Hein 2020, eq. 6
        return -(logits[label] - largest_other) / (falling[0] - falling[2] + GUARD)
    # the same, eq. 7
    return -(logits[label] - logits[target]) / (falling[0] - (falling[2] + falling[3]) / 2 + GUARD)


@pytest.fixture
def drawn(rng):
    """Logits, labels and targets that differ from the labels; `tied` logits are small whole numbers."""

    def draw(classes, rows=200, tied=False):
        logits = rng.integers(0, 3, (rows, classes)).astype(float) if tied else rng.normal(size=(rows, classes)) * 4
        labels = rng.integers(0, classes, rows)
        aims = (labels + rng.integers(1, classes, rows)) % classes
        return torch.from_numpy(logits), torch.from_numpy(labels), torch.from_numpy(aims)

    return draw


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("objective", "classes"),
    [
        (objective, classes)
        for objective in SMALLEST
        for classes in (2, 3, 4, 10, 1000)
        if classes >= SMALLEST[objective]
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_an_objective_is_its_papers_formula(objective, tied, classes, drawn):
    logits, labels, aims = drawn(classes, tied=tied)
    expected = [by_sorting(objective, *row) for row in zip(logits.numpy(), labels, aims, strict=True)]

    np.testing.assert_allclose(objective(logits, labels, aims), expected, rtol=1e-9)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("objective", [margin, targeted_margin], ids=lambda objective: objective.__name__)
def test_a_margins_gradient_raises_one_other_class_and_lowers_the_label(objective, tied, drawn):
    logits, labels, aims = drawn(5, tied=tied)
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(objective(logits, labels, aims).sum(), logits)
    raised = slope.argmax(1)

    rows = torch.arange(len(logits))
    expected = torch.zeros_like(slope)
    expected[rows, raised] = 1
    expected[rows, labels] = -1
    assert torch.equal(slope, expected)
    if objective is margin:
        others = logits.detach().clone()
        others[rows, labels] = -torch.inf
        assert torch.equal(others[rows, raised], others.amax(1))
    else:
        assert torch.equal(raised, aims)


@pytest.mark.parametrize("objective", SMALLEST, ids=lambda objective: objective.__name__)
def test_the_gradient_is_that_of_central_differences(objective, drawn):
    logits, labels, aims = drawn(6, rows=30)
    logits.requires_grad_()

    assert torch.autograd.gradcheck(lambda values: objective(values, labels, aims), logits)


@pytest.mark.parametrize("objective", [dlr, targeted_dlr], ids=lambda objective: objective.__name__)
def test_logit_ratios_ignore_the_logits_scale_and_offset(objective, drawn):
    logits, labels, aims = drawn(7)

    torch.testing.assert_close(
        objective(1000 * logits + 3, labels, aims), objective(logits, labels, aims), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("objective", SMALLEST, ids=lambda objective: objective.__name__)
def test_equal_logits_give_finite_values_and_gradients(objective):
    logits = torch.zeros(3, 6, requires_grad=True)
    value = objective(logits, torch.tensor([0, 2, 5]), torch.tensor([1, 0, 3]))
    (slope,) = torch.autograd.grad(value.sum(), logits)

    assert value.isfinite().all()
    assert slope.isfinite().all()


@pytest.mark.parametrize("classes", [5, 1000])
@pytest.mark.parametrize("objective", SMALLEST, ids=lambda objective: objective.__name__)
def test_a_row_is_the_same_bit_for_bit_beside_any_others(objective, classes, drawn):
    logits, labels, aims = drawn(classes, rows=64)
    logits = logits.float().requires_grad_()

    def value_and_slope(rows):
        value = objective(logits[rows], labels[rows], aims[rows])
        return value, torch.autograd.grad(value.sum(), logits)[0][rows]

    together = value_and_slope(torch.arange(64))
    for rows in (torch.tensor([17]), torch.arange(40, 3, -1)):
        for alone, among in zip(value_and_slope(rows), together, strict=True):
            assert torch.equal(alone, among[rows])


@pytest.mark.parametrize(
    ("name", "classes", "objective", "note"),
    [
        ("ce", 2, cross_entropy, None),
        ("dlr", 3, dlr, None),
        ("dlr", 2, margin, "margin loss in place of DLR, which needs 3 classes"),
        ("targeted_dlr", 4, targeted_dlr, None),
        ("targeted_dlr", 3, targeted_margin, "targeted margin loss in place of targeted DLR, which needs 4 classes"),
        ("targeted_dlr", 2, targeted_margin, "targeted margin loss in place of targeted DLR, which needs 4 classes"),
    ],
)
def test_few_classes_get_the_margin_in_place_of_logit_ratios_and_it_is_said(name, classes, objective, note):
    assert for_classes(name, classes) == (objective, note)


def test_targets_are_the_other_classes_by_falling_logit():
    logits = np.array([[5.0, 1.0, 4.0, 2.0], [0.0, 9.0, 3.0, 8.0]])

    np.testing.assert_array_equal(targets_by_logit(logits, np.array([0, 1]), 2), [[2, 3], [3, 2]])


@pytest.mark.parametrize("classes", [2, 3, 10, 30])
def test_there_are_no_more_targets_than_other_classes_and_the_label_is_none(classes, rng):
    logits, labels = rng.integers(0, 4, (100, classes)), rng.integers(0, classes, 100)
    chosen = targets_by_logit(logits, labels, 9)

    assert chosen.shape == (100, min(9, classes - 1))
    assert chosen.dtype == np.int64
    assert (chosen != labels[:, None]).all()
    assert all(len(set(row)) == len(row) for row in chosen.tolist())


def test_targets_of_correct_images_are_the_published_ranks_two_to_ten(rng):
    logits = rng.normal(size=(100, 12))
    ranks = np.argsort(logits, axis=1)[:, ::-1]

    np.testing.assert_array_equal(targets_by_logit(logits, ranks[:, 0], 9), ranks[:, 1:10])
    assert UNTARGETED not in ranks


def test_a_label_tied_for_the_largest_logit_is_no_target():
    np.testing.assert_array_equal(targets_by_logit(np.array([[3.0, 3.0, 1.0]]), np.array([0]), 2), [[1, 2]])
