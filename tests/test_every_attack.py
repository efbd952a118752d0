"""What holds for every attack of the folder, without naming one."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import Recipe, load, names, presets, resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.threat import TOLERANCE, Norm
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.case import EvaluationShape
from repaudit.progress import SilentProgress

FIELDS = ("outcome", "member", "target", "restart", "iteration", "margin", "perturbation")
PRESETS = presets()
FEW = {"steps": 7, "queries": 40}
"""Of everything that has these options: what is tested here does not need hundreds."""
LONG = {"autoattack"}
"""Protocols whose numbers are fixed by whoever published them."""


def short(preset):
    """A preset in the mapping form, with fewer steps where that is an option."""
    fields = load(PRESETS[preset]["name"]).options.model_fields
    fewer = {option: count for option, count in FEW.items() if option in fields}
    if "attacks" in PRESETS[preset]:
        fewer["attacks"] = [{"key": member, **short(member)} for member in PRESETS[preset]["attacks"]]
        for entry in fewer["attacks"]:
            entry.pop("epsilon", None)
    return {"name": preset, **fewer}


SHORT = [preset for preset, entry in PRESETS.items() if entry["name"] not in LONG]
ALL = [*SHORT, *(pytest.param(preset, marks=pytest.mark.slow) for preset in PRESETS if preset not in SHORT)]


@pytest.fixture
def classifier(make_classifier):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return make_classifier(
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 6)), mean=0.4, std=0.3
        )


@pytest.fixture
def attacked(classifier, predicted_images, subjects_of):
    """Attacks some images with a setting and returns the verdicts by id."""
    images = predicted_images(classifier, 19, size=6)
    subjects = subjects_of(classifier, images)

    def attack(raw, *, calls=1, kept=frozenset()):
        return evaluate(
            classifier,
            images,
            subjects,
            resolve(raw),
            seed=3,
            shape=EvaluationShape(rows=8, calls=calls),
            progress=SilentProgress(),
            kept=kept,
        )

    return attack


def test_every_attack_has_a_preset_to_be_tested_with():
    assert {entry["name"] for entry in PRESETS.values()} == set(names())


@pytest.mark.parametrize("name", names())
def test_every_attack_says_what_it_is_in_one_sentence(name):
    method = load(name)

    assert isinstance(method, Recipe)
    assert method.summary.endswith(".")
    assert 20 < len(method.summary) < 100


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_resolves_and_survives_json(preset):
    setting = resolve(preset)

    assert setting.key == preset
    assert resolve(json.loads(json.dumps(setting.as_dict()))) == setting


@pytest.mark.parametrize("preset", ALL)
@pytest.mark.parametrize(("norm", "epsilon"), [(Norm.LINF, 0.05), (Norm.L2, 0.5)])
def test_every_attack_judges_each_image_the_same_in_any_pool_and_stays_within_its_threat(
    attacked, preset, norm, epsilon
):
    raw = {**short(preset), "norm": norm, "epsilon": epsilon}
    one, three = attacked(raw), attacked(raw, calls=3)

    for field in FIELDS:
        np.testing.assert_array_equal(getattr(one, field), getattr(three, field), err_msg=field)
    assert (one.perturbation <= epsilon + TOLERANCE).all()
    assert np.isfinite(one.margin).all()


@pytest.mark.parametrize("preset", SHORT)
@pytest.mark.parametrize("norm", list(Norm))
def test_no_attack_breaks_anything_with_a_vanishing_radius(attacked, preset, norm):
    assert attacked({**short(preset), "norm": norm, "epsilon": 1e-9}).count(Outcome.BROKEN) == 0


@pytest.mark.parametrize("preset", SHORT)
@pytest.mark.parametrize("norm", list(Norm))
def test_images_kept_to_the_end_are_judged_alike_by_every_attack(attacked, preset, norm):
    raw = {**short(preset), "norm": norm, "epsilon": 0.05 if norm is Norm.LINF else 0.5}
    plain = attacked(raw)
    kept = attacked(raw, kept=set(plain.ids))

    for field in FIELDS:
        np.testing.assert_array_equal(getattr(plain, field), getattr(kept, field), err_msg=field)
    single = len(kept.members) == 1
    assert len(kept.last.features) == (len(plain.ids) if single else kept.count(Outcome.BROKEN))


@pytest.mark.parametrize("preset", SHORT)
def test_a_broken_image_has_no_positive_margin_and_a_robust_one_no_negative(attacked, preset):
    evaluation = attacked({**short(preset), "epsilon": 0.1})
    broken = evaluation.outcome == CODES[Outcome.BROKEN]

    assert (evaluation.margin[broken] <= 0).all()
    assert (evaluation.margin[~broken] >= 0).all()


@pytest.mark.parametrize("preset", SHORT)
@pytest.mark.parametrize("norm", list(Norm))
def test_every_attack_takes_grey_images_that_are_not_square_and_two_classes(
    preset, norm, make_classifier, make_images, subjects_of
):
    with torch.random.fork_rng():
        torch.manual_seed(6)
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(84, 2))
        stored = torch.randint(0, 256, (11, 1, 5, 9), dtype=torch.uint8)
    classifier = make_classifier(network, channels=1)
    images = make_images(stored, classifier.logits(stored.float() / 255).argmax(1).numpy())
    shape = EvaluationShape(rows=8, calls=1)

    evaluation = evaluate(
        classifier,
        images,
        subjects_of(classifier, images),
        resolve({**short(preset), "norm": norm, "epsilon": 0.5}),
        seed=0,
        shape=shape,
        progress=SilentProgress(),
    )

    assert evaluation.count(Outcome.BROKEN) + evaluation.count(Outcome.ROBUST) == 11
    assert evaluation.count(Outcome.BROKEN) > 0


@pytest.mark.parametrize("name", names())
def test_every_option_says_what_it_is(name):
    fields = load(name).options.model_fields

    assert [key for key, field in fields.items() if not (field.description or "").strip().endswith(".")] == []
