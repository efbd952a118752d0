"""Soft labels are the formulas of their papers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from repaudit.train.mixing import Mix
from repaudit.train.targets import entropy, one_hot, smoothed, soft_cross_entropy, with_virtual

K, V = 7, 5


def drawn(seed, rows=6, nodes=K + V):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, nodes, generator=generator, dtype=torch.float64) * 3
    return logits, torch.randint(K, (rows,), generator=generator)


def exact(logits, targets):
    """In float64, which the function itself does not keep."""
    return -(targets * logits.log_softmax(1)).sum(1).mean()


@given(st.integers(0, 1000), st.floats(0, 0.99))
def test_virtual_smoothing_is_one_super_class_and_a_uniformity_term(seed, alpha):
    logits, labels = drawn(seed)
    rows = torch.arange(len(labels))
    together = torch.logsumexp(logits[:, K:], 1, keepdim=True)
    real = torch.cat([logits[:, :K], together], 1).log_softmax(1)
    among = logits[:, K:].log_softmax(1)
    wanted = -(1 - alpha) * real[rows, labels] - alpha * real[:, K] - alpha / V * among.sum(1)

    targets = with_virtual(one_hot(labels, K).double(), alpha, V)

    assert torch.allclose(exact(logits, targets), wanted.mean(), rtol=0, atol=1e-12)


def test_the_loss_is_torchs_for_probabilities_as_targets():
    logits, labels = drawn(1)
    targets = with_virtual(one_hot(labels, K), 0.3, V)

    assert torch.allclose(soft_cross_entropy(logits.float(), targets), F.cross_entropy(logits.float(), targets))


def test_label_smoothing_is_torchs_convention():
    logits, labels = drawn(2, nodes=K)
    wanted = F.cross_entropy(logits.float(), labels, label_smoothing=0.1)

    assert torch.allclose(soft_cross_entropy(logits.float(), smoothed(one_hot(labels, K), 0.1)), wanted)


def test_smoothing_over_wrong_classes_only_is_this_one_with_a_larger_mass():
    targets = smoothed(one_hot(torch.tensor([2]), 10), 0.1 * 10 / 9)

    assert torch.allclose(targets[0, 2], torch.tensor(1 - 0.1))
    assert torch.allclose(targets[0, 0], torch.tensor(0.1 / 9))


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 0.99))
def test_mixing_and_virtual_mass_commute(seed, share, alpha):
    _, labels = drawn(seed)
    own, partner = one_hot(labels, K).double(), one_hot(labels.flip(0), K).double()
    mix = Mix(share, None, None)

    first = with_virtual(mix.targets(own, partner), alpha, V)
    last = mix.targets(with_virtual(own, alpha, V), with_virtual(partner, alpha, V))

    assert torch.allclose(first, last, atol=1e-15)


def test_no_virtual_mass_is_not_one_hot_training():
    logits, labels = drawn(3)
    one = soft_cross_entropy(logits[:, :K], one_hot(labels, K))

    assert soft_cross_entropy(logits, with_virtual(one_hot(labels, K), 0.0, V)) > one + 0.1


def test_wrong_classes_get_exactly_nothing_and_rows_sum_to_one():
    labels = torch.tensor([0, 3])
    targets = with_virtual(one_hot(labels, K), 0.4, V)

    assert targets[0, 1:K].count_nonzero() == 0
    assert torch.allclose(targets.sum(1), torch.ones(2))


def test_the_floor_of_the_loss_is_the_entropy_of_the_targets():
    alpha = 0.4
    targets = with_virtual(one_hot(torch.tensor([1, 2]), K), alpha, V).double()
    wanted = -(1 - alpha) * torch.tensor(1 - alpha).log() - alpha * torch.tensor(alpha / V).log()
    nearly = soft_cross_entropy((targets + 1e-30).log(), targets)

    assert entropy(targets).item() == pytest.approx(wanted.item(), abs=1e-7)
    assert nearly.item() == pytest.approx(entropy(targets).item(), abs=1e-6)


def test_half_precision_logits_lose_nothing_in_the_loss():
    logits, labels = drawn(4)
    half = logits.bfloat16()
    targets = with_virtual(one_hot(labels, K), 0.3, V)

    assert soft_cross_entropy(half, targets).dtype == torch.float32
    assert torch.equal(soft_cross_entropy(half, targets), soft_cross_entropy(half.float(), targets))
