"""A search in bfloat16, or by a faster copy, ends in the verdicts of float32."""

from contextlib import closing

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.journal import Entry, open_journal
from repaudit.attacks.ledger import BLANK
from repaudit.attacks.scout import scout
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.case import EvaluationShape
from repaudit.progress import SilentProgress

ROBUST, BROKEN = CODES[Outcome.ROBUST], CODES[Outcome.BROKEN]
SHAPE = EvaluationShape(rows=8, calls=4)
PGD = {"name": "pgd", "epsilon": "3/255", "steps": 8, "step_size": "1/255", "restarts": 2}
CASCADE = {
    "name": "cascade",
    "epsilon": "3/255",
    "attacks": [
        {"name": "pgd", "key": "short", "steps": 2, "step_size": "1.5/255"},
        {"name": "pgd", "key": "long", "steps": 8, "step_size": "1/255", "restarts": 2},
    ],
}


@pytest.fixture
def folding(make_classifier):
    """A network with something to fold, whose statistics are not trivial."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Flatten(), nn.Linear(128, 5),
        )  # fmt: skip
        for module in network:
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    return make_classifier(network, mean=0.5, std=0.25)


@pytest.fixture
def attack(folding, predicted_images, subjects_of):
    images = predicted_images(folding, 40)
    subjects = subjects_of(folding, images)
    pixels = images.stored[:8].float() / 255

    def run(raw, dtype=None, *, calls=4, kept=frozenset(), journal=None, progress=None):
        copy = None if dtype is None else scout(folding, pixels, dtype)
        assert dtype is None or copy is not None
        return evaluate(
            folding,
            images,
            subjects,
            resolve(raw),
            seed=0,
            shape=EvaluationShape(rows=8, calls=calls),
            progress=progress or SilentProgress(),
            kept=kept,
            scout=copy,
            journal=journal,
        )

    return run


@pytest.mark.parametrize("raw", [PGD, CASCADE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_search_by_a_copy_ends_in_the_networks_own_verdicts(attack, raw, dtype):
    own, searched = attack(raw), attack(raw, dtype)

    sure = ~(own.marginal | searched.marginal)
    np.testing.assert_array_equal(searched.outcome[sure], own.outcome[sure])
    assert {ROBUST, BROKEN} == set(own.outcome[sure].tolist())
    assert sure.sum() >= 38


@pytest.mark.parametrize("kept", [frozenset(), frozenset(f"image-{row:04d}" for row in range(40))])
def test_what_half_precision_found_or_left_out_is_not_said_to_be_known_from_before(attack, watching, kept):
    progress = watching()

    attack(PGD, torch.bfloat16, kept=kept, progress=progress)

    assert progress.opened[0] == "attack pgd"
    assert progress.notes == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_search_by_a_copy_records_the_same_in_any_pool(attack, dtype):
    one, many = attack(CASCADE, dtype, calls=1), attack(CASCADE, dtype, calls=5)

    for name in ("outcome", "member", "restart", "iteration", "margin", "perturbation"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name), err_msg=name)


def test_successes_in_half_precision_are_recorded_with_the_networks_own_margins(attack):
    searched = attack(PGD, torch.bfloat16)
    broken = searched.outcome == BROKEN

    assert (searched.margin[broken] <= 0).all()
    assert (searched.perturbation[broken] <= 3 / 255 + 1e-6).all()


def test_kept_images_have_the_same_features_by_a_copy(attack):
    kept = {f"image-{row:04d}" for row in range(40)}
    own, searched = attack(PGD, kept=kept), attack(PGD, torch.float32, kept=kept)

    np.testing.assert_array_equal(own.last.position, searched.last.position)
    close = np.isclose(own.last.features, searched.last.features, rtol=1e-3, atol=1e-3).all(axis=1)
    assert close.mean() > 0.9  # a sign of a gradient near zero can differ


@pytest.mark.parametrize(("name", "epsilon"), [("resnet20", "1/255"), ("resnet2b", "2/255"), ("resnet2b", "4/255")])
def test_a_search_in_half_precision_agrees_with_float32_on_real_networks(name, epsilon, real_classifier, subjects_of):
    classifier, images = real_classifier(name, 64)
    subjects = subjects_of(classifier, images, rows=32)
    copy = scout(classifier, images.stored[:32].float() / 255, torch.bfloat16)
    setting = resolve({"name": "pgd", "epsilon": epsilon, "steps": 10, "step_size": "0.5/255"})
    shape, progress = EvaluationShape(rows=32, calls=2), SilentProgress()
    assert copy is not None

    own = evaluate(classifier, images, subjects, setting, seed=0, shape=shape, progress=progress)
    half = evaluate(classifier, images, subjects, setting, seed=0, shape=shape, progress=progress, scout=copy)

    sure = ~(own.marginal | half.marginal)
    np.testing.assert_array_equal(half.outcome[sure], own.outcome[sure])
    assert sure.sum() >= len(sure) - 1


@pytest.mark.parametrize("raw", [PGD, CASCADE])
def test_a_journal_of_half_precision_and_other_kept_images_lead_to_the_same_verdicts(attack, tmp_path, raw):
    """What half precision broke is searched again in float32 for its features, and need not be broken by that job."""
    kept = {f"image-{row:04d}" for row in range(40)}
    fresh = attack(raw, torch.bfloat16, kept=kept)
    for wanted in (frozenset(), kept):
        with closing(open_journal(tmp_path / "j", {}, fresh=False, progress=SilentProgress())) as journal:
            again = attack(raw, torch.bfloat16, kept=wanted, journal=journal)

    np.testing.assert_array_equal(again.outcome, fresh.outcome)


def test_a_job_that_is_reopened_does_not_spare_those_behind_it(attack, tmp_path):
    """A journal whose first job is broken, as half precision leaves it, though float32 needs the second."""
    plain = attack(CASCADE)
    late = np.flatnonzero((plain.outcome == BROKEN) & (plain.member == 1))
    assert len(late)
    record = np.full((), BLANK)
    record["code"], record["margin"], record["size"], record["spread"] = BROKEN, -1.0, 0.01, 2.0
    path, kept = tmp_path / "j", {plain.ids[row] for row in late}
    with closing(open_journal(path, {}, fresh=False, progress=SilentProgress())) as journal:
        journal.write([Entry(plain.ids[row], 0, record[()]) for row in late])
    with closing(open_journal(path, {}, fresh=False, progress=SilentProgress())) as journal:
        again = attack(CASCADE, kept=kept, journal=journal)

    np.testing.assert_array_equal(again.outcome[late], plain.outcome[late])
    np.testing.assert_array_equal(again.member[late], 1)
