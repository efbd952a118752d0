"""Learning rates are those of torch's and timm's schedulers."""

import pytest
import torch
from timm.scheduler import CosineLRScheduler

from repaudit.train.schedule import Schedule, Shape


def test_cosine_with_warm_up_is_timms():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    wanted = CosineLRScheduler(
        optimizer, t_initial=300, lr_min=1e-5, warmup_t=20, warmup_lr_init=0.0, warmup_prefix=False
    )
    schedule = Schedule(peak=0.1, shape=Shape.COSINE, epochs=300, warmup_epochs=20, floor=1e-5)

    for epoch in (0, 5, 19):
        assert schedule.rate(epoch) == pytest.approx(wanted._get_lr(epoch)[0])
    # timm counts the cosine from the first epoch unless the warm-up is a prefix; ours begins where the warm-up ends
    prefixed = CosineLRScheduler(
        optimizer, t_initial=280, lr_min=1e-5, warmup_t=20, warmup_lr_init=0.0, warmup_prefix=True
    )
    for epoch in (20, 21, 150, 299):
        assert schedule.rate(epoch) == pytest.approx(prefixed._get_lr(epoch)[0])


def test_steps_are_torchs():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    wanted = torch.optim.lr_scheduler.MultiStepLR(optimizer, [100, 150], gamma=0.1)
    schedule = Schedule(peak=0.1, shape=Shape.STEPS, epochs=200, milestones=(100, 150))

    for epoch in range(200):
        assert schedule.rate(epoch) == pytest.approx(wanted.get_last_lr()[0])
        optimizer.step()
        wanted.step()


def test_a_constant_rate_stays():
    assert {Schedule(peak=0.3, shape=Shape.CONSTANT, epochs=9).rate(epoch) for epoch in range(9)} == {0.3}
