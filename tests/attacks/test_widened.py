"""Virtual classes help to search and never count."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.attacks.widened import widened
from repaudit.audits import bind, robustness
from repaudit.audits._robustness_attack import Engine, Targets
from repaudit.audits._robustness_virtual import part_keys, read_head, virtual_classes
from repaudit.audits._robustness_virtual import union as union_of
from repaudit.audits._subjects import Field
from repaudit.case import EvaluationShape
from repaudit.errors import InvalidModel
from repaudit.evidence import collect
from repaudit.finding import Measurement
from repaudit.progress import SilentProgress

BROKEN = CODES[Outcome.BROKEN]
SHAPE = EvaluationShape(rows=8, calls=2)
PGD = {"name": "pgd", "epsilon": 0.05, "steps": 6, "step_size": 0.02}


@pytest.fixture
def virtual():
    generator = torch.Generator().manual_seed(7)
    return torch.randn(3, 96, generator=generator) * 0.1, torch.randn(3, generator=generator)


@pytest.fixture
def images(classifier, predicted_images):
    return predicted_images(classifier, 20)


def subjects_with(classifier, images, wide):
    with torch.no_grad():
        logits = wide.logits(images.stored.float() / 255).numpy()
    return Subjects(ids=images.ids, labels=images.labels, logits=logits)


def test_a_widened_classifier_answers_as_before_and_with_more_classes(classifier, images, virtual):
    wide, pixels = widened(classifier, *virtual), images.stored[:8].float() / 255
    with torch.no_grad():
        before, features = classifier.logits(pixels), classifier.features(pixels)
        after = wide.logits(pixels)

    assert torch.equal(after[:, :5], before)
    torch.testing.assert_close(after[:, 5:], features @ virtual[0].T + virtual[1], rtol=1e-5, atol=1e-5)
    assert wide.card.classes_count == 8
    assert torch.equal(wide.features(pixels), features)


def test_a_classifier_without_a_linear_head_cannot_be_widened(classifier, virtual):
    classifier.split = None

    with pytest.raises(InvalidModel, match="linear head"):
        widened(classifier, *virtual)


def test_an_image_taken_for_a_virtual_class_is_not_broken(classifier, images, virtual):
    """A virtual class that always has the largest logit: no real class ever loses its place to it."""
    weight, bias = virtual
    wide = widened(classifier, weight * 0, bias * 0 + 1000)
    setting, progress = resolve({**PGD, "epsilon": 1e-6, "step_size": 1e-6}), SilentProgress()

    evaluation = evaluate(
        wide,
        images,
        subjects_with(classifier, images, wide),
        setting,
        seed=0,
        shape=SHAPE,
        progress=progress,
        classes=5,
    )

    assert (evaluation.outcome != BROKEN).all()


def test_successes_on_the_widened_head_are_misclassifications_among_real_classes(classifier, images, virtual):
    wide = widened(classifier, *virtual)
    subjects, progress = subjects_with(classifier, images, wide), SilentProgress()
    judged = evaluate(
        wide, images, subjects, resolve(PGD), seed=0, shape=SHAPE, progress=progress, classes=5, eight_bit=True
    )

    broken = judged.outcome == BROKEN
    assert broken.any()
    assert (judged.margin[broken] <= 0).all()


@pytest.fixture
def case(classifier, images, make_case):
    evidence = collect(classifier, images, rows=8, progress=SilentProgress()).evidence
    return make_case(evidence, bind("robustness", {}).parameters, classifier=classifier, images=images)


def field_and_targets(case, classifier):
    rows = np.arange(len(case.evidence))
    subjects = Subjects(ids=case.evidence.ids, labels=case.evidence.labels, logits=np.asarray(case.evidence.logits))
    targets = Targets(
        classifier=classifier, scout=None, subjects=subjects, kept=frozenset(), eight_bit=False, engine=Engine.POOL
    )
    return Field(len(rows), rows, rows), targets


def test_a_file_of_virtual_classes_gives_all_logits_and_one_target_a_wrong_class(case, classifier, virtual, tmp_path):
    save_file({"weight": virtual[0], "bias": virtual[1]}, tmp_path / "vs_head.safetensors")
    field, targets = field_and_targets(case, classifier)

    wide = virtual_classes(case, field, targets, str(tmp_path / "vs_head.safetensors"))

    assert wide.classes == 8
    assert wide.targets.classes == 5
    with torch.no_grad():
        expected = wide.targets.classifier.logits(case.images.stored.float() / 255).numpy()
    np.testing.assert_allclose(wide.targets.subjects.logits, expected, rtol=1e-4, atol=1e-4)
    setting = resolve({"name": "autoattack", "version": "virtual", "target_count": 7, "epsilon": 0.1})
    member = {each.key: each.attack for each in setting.members()}["apgd_t"]
    targets = member.targets(wide.targets.subjects.logits, wide.targets.subjects.labels)
    for row, label in zip(targets, case.evidence.labels, strict=True):
        assert sorted([*row, label]) == list(range(8))


@pytest.mark.parametrize(
    "content", [None, {"weight": torch.zeros(3, 7), "bias": torch.zeros(3)}, {"weight": torch.zeros(3, 96)}]
)
def test_a_file_that_does_not_fit_is_refused(case, classifier, tmp_path, content):
    path = tmp_path / "head.safetensors"
    if content is not None:
        save_file(content, path)
    field, targets = field_and_targets(case, classifier)

    with pytest.raises(InvalidModel):
        virtual_classes(case, field, targets, str(path))


def test_only_the_standard_protocol_has_parts():
    assert part_keys(resolve("autoattack_s"), "head") == ("autoattack_s_k_only", "autoattack_s_plus")
    assert part_keys(resolve("autoattack_s"), None) == ()
    assert part_keys(resolve("autoattack_rand"), "head") == ()
    assert part_keys(resolve("pgd_s"), "head") == ()


@pytest.mark.slow
def test_the_headline_of_a_model_with_virtual_classes_is_the_union_of_both_attacks(
    make_classifier, make_images, make_case, tmp_path
):
    """A linear model: the standard protocol finds whatever there is, and so the union is what it finds."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = nn.Sequential(nn.Flatten(), nn.Linear(27, 12), nn.Linear(12, 4))
        head = {"weight": torch.randn(3, 12), "bias": torch.randn(3)}
    save_file(head, tmp_path / "vs_head.safetensors")
    classifier = make_classifier(network)
    stored = torch.randint(90, 166, (12, 3, 3, 3), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    with torch.no_grad():
        labels = classifier.logits(stored.float() / 255).argmax(1).numpy()
    images = make_images(stored, labels)
    weight = (network[2].weight @ network[1].weight).detach()
    with torch.no_grad():
        logits = classifier.logits(stored.float() / 255)
    own = torch.from_numpy(labels)
    gap = logits.gather(1, own[:, None]) - logits
    steepness = (weight[own][:, None] - weight[None]).abs().sum(2).clamp_min(1e-12)
    distance = (gap / steepness).scatter(1, own[:, None], torch.inf).amin(1).numpy()
    epsilon = float(np.median(distance))
    bound = bind(
        "robustness",
        {
            "attacks": [{"name": "autoattack", "key": "aa", "epsilon": epsilon}],
            "virtual_head": str(tmp_path / "vs_head.safetensors"),
            "perturbation_limit": 0,
        },
    )
    evidence = collect(classifier, images, rows=8, progress=SilentProgress()).evidence
    case = make_case(evidence, bound.parameters, classifier=classifier, images=images)

    found = {finding.key: finding for finding in robustness.run(case) if isinstance(finding, Measurement)}

    broken = int((distance < epsilon * 0.999).sum())
    for key in ("aa", "aa_k_only"):
        assert found[f"robustness.{key}.asr"].value == pytest.approx(broken / 12, abs=1.01 / 12)
    assert found["robustness.aa.asr"].value >= found["robustness.aa_plus.asr"].value
    assert found["robustness.aa.asr"].value >= found["robustness.aa_k_only.asr"].value


def test_rows_are_read_under_the_names_that_training_writes(tmp_path):
    first, second = torch.randn(3, 4), torch.randn(3, 2)
    bare, named, both = (tmp_path / f"{name}.safetensors" for name in ("bare", "named", "both"))
    save_file({"weight": first, "bias": torch.ones(3)}, bare)
    save_file({"head.fc.weight": first[:, :, None, None].contiguous(), "head.fc.bias": torch.ones(3)}, named)
    save_file({"b.weight": second, "b.bias": torch.ones(3), "a.weight": first}, both)

    assert torch.equal(read_head(bare).weight, first)
    assert torch.equal(read_head(named, ["head.fc"]).weight, first)
    assert torch.equal(read_head(both, ["a", "b"]).weight, torch.cat([first, second], 1) / 2)
    assert torch.equal(read_head(both, ["a", "b"]).bias, torch.full((3,), 0.5))


def test_virtual_classes_that_are_no_numbers_are_refused(tmp_path):
    save_file({"weight": torch.full((3, 96), torch.nan), "bias": torch.zeros(3)}, tmp_path / "head.safetensors")

    with pytest.raises(InvalidModel, match="NaN"):
        read_head(tmp_path / "head.safetensors")


def test_an_image_that_both_attacks_left_is_recorded_with_the_smaller_margin(classifier, images, virtual):
    wide = widened(classifier, *virtual)
    progress, weak = SilentProgress(), {**PGD, "epsilon": 0.004, "step_size": 0.002}
    subjects = subjects_with(classifier, images, wide)
    one, other = (
        evaluate(
            wide, images, subjects, resolve({**weak, "steps": steps}), seed=0, shape=SHAPE, progress=progress, classes=5
        )
        for steps in (1, 9)
    )

    for first, second in ((one, other), (other, one)):
        united = union_of(first, second)
        broken = (first.outcome == BROKEN) | (second.outcome == BROKEN)
        np.testing.assert_array_equal(united.outcome == BROKEN, broken)
        smaller = np.minimum(first.margin, second.margin)
        np.testing.assert_array_equal(united.margin[~broken], smaller[~broken])
    assert (~broken).sum() > 3
