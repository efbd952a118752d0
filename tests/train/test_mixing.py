"""Mixed images and labels equal timm's and torchvision's for the same share, box and partner."""

import numpy as np
import pytest
import torch
from timm.data.mixup import Mixup
from torchvision.transforms import v2

from repaudit.train.mixing import Box, Mix, draw_cutmix, draw_mixup
from repaudit.train.targets import one_hot

K = 4


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(5)
    return torch.rand(6, 3, 10, 12, generator=generator), torch.tensor([0, 1, 2, 3, 0, 1])


def ours(mix, images, labels):
    targets = one_hot(labels, K)
    return mix.images(images, images[mix.partner]), mix.targets(targets, targets[mix.partner])


def timms(monkeypatch, images, labels, share, box=None):
    mixup = Mixup(mixup_alpha=1.0, cutmix_alpha=1.0, label_smoothing=0.0, num_classes=K)
    monkeypatch.setattr(mixup, "_params_per_batch", lambda: (share, box is not None))
    if box is not None:
        corners = (box.top, box.bottom, box.left, box.right)
        monkeypatch.setattr("timm.data.mixup.cutmix_bbox_and_lam", lambda *_, **__: (corners, share))
    return mixup(images.clone(), labels)


def test_mixup_is_timms(batch, monkeypatch):
    images, labels = batch
    wanted = timms(monkeypatch, images, labels, 0.3)

    found = ours(Mix(0.3, None, np.arange(6)[::-1].copy()), images, labels)

    assert torch.allclose(found[0], wanted[0], atol=1e-6)
    assert torch.allclose(found[1], wanted[1], atol=1e-6)


def test_cutmix_is_timms(batch, monkeypatch):
    images, labels = batch
    box = Box(2, 7, 3, 11)
    share = 1 - 40 / 120
    wanted = timms(monkeypatch, images, labels, share, box)

    found = ours(Mix(share, box, np.arange(6)[::-1].copy()), images, labels)

    assert torch.equal(found[0], wanted[0])
    assert torch.allclose(found[1], wanted[1], atol=1e-6)


@pytest.mark.parametrize(("kind", "box"), [(v2.MixUp, None), (v2.CutMix, Box(1, 9, 0, 5))])
def test_both_are_torchvisions(batch, monkeypatch, kind, box):
    images, labels = batch
    share = 0.3 if box is None else 1 - box.area / 120
    corners = None if box is None else (box.left, box.top, box.right, box.bottom)
    drawn = {"labels": labels, "batch_size": 6, "lam": share, "box": corners, "lam_adjusted": share}
    transform = kind(num_classes=K)
    monkeypatch.setattr(transform, "make_params", lambda _: drawn)
    wanted = transform(images, labels)

    found = ours(Mix(share, box, np.roll(np.arange(6), 1)), images, labels)

    assert torch.allclose(found[0], wanted[0], atol=1e-6)
    assert torch.allclose(found[1], wanted[1], atol=1e-6)


def test_shares_of_mixup_follow_a_beta_distribution():
    shares = np.array([draw_mixup(0.4, 2, np.random.default_rng(seed)).share for seed in range(4000)])

    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1))
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * 1.8), rel=0.06)


def test_the_share_of_cutmix_is_what_the_clipped_box_leaves():
    mixes = [draw_cutmix(1.0, 2, (32, 32), np.random.default_rng(seed)) for seed in range(3000)]

    assert all(mix.share == 1 - mix.box.area / 1024 for mix in mixes)
    assert all(0 <= mix.box.top <= mix.box.bottom <= 32 for mix in mixes)
    # the mean that clipping and whole pixels leave at 32 pixels, as timm's has it
    assert np.mean([mix.share for mix in mixes]) == pytest.approx(0.69, abs=0.02)


def test_partners_are_a_permutation():
    for mix in (draw_mixup(1.0, 9, np.random.default_rng(1)), draw_cutmix(1.0, 9, (8, 8), np.random.default_rng(1))):
        assert sorted(mix.partner) == list(range(9))
        assert list(mix.partner) != list(range(9))
