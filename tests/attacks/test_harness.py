"""The harness alone judges, and what it judges does not depend on who else is in the pool."""

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import UNTARGETED, Attack, Method, Options, resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.attacks.threat import Norm, Threat
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.case import EvaluationShape
from repaudit.errors import InvalidData, InvalidModel

FIELDS = ("outcome", "target", "restart", "iteration", "margin", "perturbation", "marginal")
PGD = {"name": "pgd", "epsilon": "4/255", "steps": 5, "step_size": "1.5/255", "restarts": 2}
ROBUST, BROKEN, ERROR = (CODES[name] for name in (Outcome.ROBUST, Outcome.BROKEN, Outcome.ERROR))


def by_id(evaluation):
    columns = zip(*(getattr(evaluation, field).tolist() for field in FIELDS), strict=True)
    return dict(zip(evaluation.ids, columns, strict=True))


def subjects_from(ids, labels, logits):
    return Subjects(ids=tuple(ids), labels=labels.astype(np.int64), logits=logits)


def reordered(subjects, order):
    return subjects_from([subjects.ids[row] for row in order], subjects.labels[order], subjects.logits[order])


class Scripted(Attack):
    """Proposes what the test says; remembers what it was told."""

    def __init__(self, threat, *, proposal, steps=3, directions=1, restarts=1, samples=1, targets=None):
        self.threat, self.steps, self.directions = threat, steps, directions
        self.restarts, self.samples = restarts, samples
        self.proposal, self.wanted_targets, self.told = proposal, targets, []

    def targets(self, logits, labels):
        return super().targets(logits, labels) if self.wanted_targets is None else self.wanted_targets(logits, labels)

    def allocate(self, capacity, like):
        self.capacity = capacity

    def begin(self, rows):
        assert (rows.iteration == 0).all()

    def propose(self, rows):
        return self.proposal(rows)

    def objective(self, rows, logits):
        return logits.gather(1, rows.labels[:, None]).squeeze(1) if self.directions else None

    def update(self, rows, logits, objective, gradient):
        self.told.append((rows, logits, objective, gradient))


def scripted(threat, **changed):
    """A setting whose attack is the one returned beside it."""
    attack = Scripted(threat, **changed)
    method = Method(summary="", options=Options, build=lambda *_: attack, presets={})
    return method.bind("scripted", "scripted", threat, {}), attack


def brighter(rows):
    """Each image lit up step by step: far outside small balls, and misclassified sooner or later."""
    return rows.clean + 0.4 * rows.iteration.reshape(-1, 1, 1, 1)


@pytest.fixture
def images(classifier, predicted_images):
    return predicted_images(classifier, 43)


@pytest.fixture
def subjects(classifier, images, subjects_of):
    return subjects_of(classifier, images)


def test_both_outcomes_occur_so_that_the_comparisons_here_compare_something(classifier, images, run):
    outcome = run(classifier, images, PGD).outcome

    assert {ROBUST, BROKEN} <= set(outcome.tolist())


@pytest.mark.parametrize("calls", [1, 7])
def test_verdicts_are_exactly_the_same_in_pools_of_any_size(classifier, images, run, calls):
    two = run(classifier, images, PGD)
    other = run(classifier, images, PGD, shape=EvaluationShape(rows=8, calls=calls))

    assert by_id(other) == by_id(two)


def test_verdicts_are_exactly_the_same_in_any_order_and_company(classifier, images, run, subjects):
    order = np.random.Generator(np.random.PCG64(1)).permutation(len(subjects.ids))
    everybody = by_id(run(classifier, images, PGD))
    shuffled = by_id(run(classifier, images, PGD, subjects=reordered(subjects, order)))
    few = by_id(run(classifier, images, PGD, subjects=reordered(subjects, order[:5])))

    assert shuffled == everybody
    assert few == {name: everybody[name] for name in few}


def test_two_evaluation_shapes_agree_but_for_marginal_images(classifier, images, run):
    small = run(classifier, images, PGD)
    large = run(classifier, images, PGD, shape=EvaluationShape(rows=32, calls=1))

    sure = ~(small.marginal | large.marginal)
    np.testing.assert_array_equal(small.outcome[sure], large.outcome[sure])
    assert sure.sum() > 40


def test_the_seed_moves_random_starts_and_the_key_does_not(classifier, images, run):
    one = by_id(run(classifier, images, PGD))
    renamed = by_id(run(classifier, images, {**PGD, "key": "another"}))
    reseeded = by_id(run(classifier, images, PGD, seed=1))

    assert renamed == one
    assert reseeded != one


def test_images_kept_to_the_end_have_the_verdicts_they_have_without(classifier, images, run, subjects):
    evicted = run(classifier, images, PGD)
    kept = run(classifier, images, PGD, kept=set(subjects.ids[::2]))

    assert by_id(kept) == by_id(evicted)
    assert kept.last.position.tolist() == list(range(0, len(subjects.ids), 2))
    assert len(evicted.last.position) == 0


def test_features_of_kept_images_are_those_of_the_last_iterate_of_a_plain_loop(classifier, images, run, subjects):
    setting = {"name": "pgd", "epsilon": "4/255", "steps": 5, "step_size": "1.5/255", "start": "clean"}
    kept = run(classifier, images, setting, kept=set(subjects.ids))

    clean, labels = images.stored.float() / 255, torch.from_numpy(images.labels)
    low, high = (clean - 4 / 255).clamp(min=0), (clean + 4 / 255).clamp(max=1)
    current = clean.clone()
    for _ in range(5):
        current = current.requires_grad_()
        loss = nn.functional.cross_entropy(classifier.logits(current), labels, reduction="sum")
        step = torch.autograd.grad(loss, current)[0].sign() * (1.5 / 255)
        current = torch.minimum(torch.maximum(current.detach() + step, low), high)

    assert (kept.outcome == BROKEN).any()
    torch.testing.assert_close(torch.from_numpy(kept.last.features), classifier.features(current), rtol=1e-4, atol=1e-4)


def test_the_network_is_always_called_with_the_same_number_of_rows(classifier, network, images, run):
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))

    run(classifier, images, PGD)

    assert set(seen) == {8}


def test_each_image_is_read_once(classifier, images, run, subjects):
    read = []
    batches = images.batches
    images.batches = lambda rows, ids=None: (read.extend(batch.ids) or batch for batch in batches(rows, ids))

    run(classifier, images, PGD, subjects=subjects, kept=set(subjects.ids[:3]))

    assert read == list(subjects.ids)


def test_images_are_read_only_as_rows_become_free(classifier, network, images, run, subjects):
    read, ahead = [], []
    batches = images.batches
    images.batches = lambda rows, ids=None: (read.extend(batch.ids) or batch for batch in batches(rows, ids))
    network.register_forward_pre_hook(lambda *_: ahead.append(len(read)))

    run(classifier, images, "fgsm", subjects=subjects)

    assert ahead[0] == 16  # the pool of two calls, and nothing more
    assert ahead[-1] == len(subjects.ids)


def test_a_query_outside_the_radius_is_no_success(classifier, images, run):
    setting, _ = scripted(Threat(Norm.LINF, 0.1), proposal=brighter)

    outcome = run(classifier, images, setting)

    assert (outcome.outcome == ROBUST).all()
    assert (outcome.iteration == 0).all()


def test_the_same_queries_within_a_larger_radius_are_successes(classifier, images, run):
    setting, _ = scripted(Threat(Norm.LINF, 1.0), proposal=brighter)

    outcome = run(classifier, images, setting)

    assert (outcome.outcome == BROKEN).any()
    assert (outcome.margin[outcome.outcome == BROKEN] <= 0).all()
    assert (outcome.perturbation <= 1).all()


@pytest.mark.parametrize(("excess", "counts"), [(5e-7, True), (5e-6, False)])
def test_the_radius_has_room_for_rounding_only(make_classifier, make_images, run, excess, counts):
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    network[1].weight.data = torch.tensor([[0.0], [1000.0]])
    network[1].bias.data = torch.tensor([0.0, -550.0])
    classifier = make_classifier(network, channels=1)
    images = make_images(torch.full((1, 1, 1, 1), 0.5), np.array([0]))
    setting, _ = scripted(
        Threat(Norm.LINF, 0.1), proposal=lambda rows: rows.clean + (rows.iteration > 0) * (0.1 + excess), steps=1
    )

    assert (run(classifier, images, setting).outcome == BROKEN).all() == counts


def test_an_attack_that_asks_nothing_within_its_threat_is_a_broken_attack(classifier, images, run):
    setting, _ = scripted(Threat(Norm.LINF, 0.01), proposal=lambda rows: 1 - rows.clean)

    with pytest.raises(RuntimeError, match="within its threat"):
        run(classifier, images, setting)


def test_queries_are_clipped_to_pixels_and_not_projected(classifier, network, images, run):
    seen = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach() * 0.5 + 0.5))
    setting, _ = scripted(
        Threat(Norm.LINF, 0.01),
        proposal=lambda rows: rows.clean + 5.0 * (rows.iteration == 2).float().reshape(-1, 1, 1, 1),
    )

    run(classifier, images, setting)

    asked = torch.cat(seen)
    assert float(asked.min()) >= -1e-6
    assert float(asked.max()) <= 1 + 1e-6
    assert (asked > 1 - 1e-6).flatten(1).all(1).any()


def test_targets_are_tried_in_order_and_the_first_success_ends_the_image(classifier, images, run):
    everyone = scripted(
        Threat(Norm.LINF, 1.0),
        proposal=lambda rows: torch.where(rows.targets.reshape(-1, 1, 1, 1) == 3, 1 - rows.clean, rows.clean),
        steps=2,
        restarts=2,
        targets=lambda logits, labels: np.tile([4, 3, 2], (len(labels), 1)),
    )[0]
    evaluation = run(classifier, images, everyone)
    with torch.no_grad():
        negatives = classifier.logits(1 - images.stored.float() / 255).argmax(1).numpy()
    broken = negatives != images.labels

    np.testing.assert_array_equal(evaluation.outcome == BROKEN, broken)
    assert set(evaluation.target[broken].tolist()) == {3}
    assert set(evaluation.restart[broken].tolist()) == {0}


def test_a_query_attack_costs_no_backward_pass_and_is_told_the_answers(classifier, images, run):
    setting, attack = scripted(Threat(Norm.LINF, 0.1), proposal=lambda rows: rows.clean, directions=0, steps=4)
    classifier.work.backward_rows = 0

    run(classifier, images, setting)

    assert classifier.work.backward_rows == 0
    assert len(attack.told) > 0
    assert all(objective is None and gradient is None for _, _, objective, gradient in attack.told)
    assert sum(len(logits) for _, logits, _, _ in attack.told) == 4 * 43


def test_an_attack_is_given_the_gradient_of_its_objective(classifier, images, run):
    setting, attack = scripted(Threat(Norm.LINF, 0.1), proposal=lambda rows: rows.clean, steps=1)

    run(classifier, images, setting)

    rows, logits, objective, gradient = attack.told[0]
    query = rows.clean.clone().requires_grad_()
    own = classifier.logits(query).gather(1, rows.labels[:, None]).squeeze(1)
    torch.testing.assert_close(gradient, torch.autograd.grad(own.sum(), query)[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(objective, own.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(objective, logits.gather(1, rows.labels[:, None]).squeeze(1))


def test_a_gradient_over_several_samples_is_their_mean(make_classifier, make_images, run):
    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    network = nn.Sequential(Counting(), nn.Flatten(), nn.Linear(4, 2))
    network[2].weight.data = torch.tensor([[1.0] * 4, [0.0] * 4])
    network[2].bias.data = torch.tensor([1.0, 0.0])
    images = make_images(torch.full((3, 1, 2, 2), 0.5), np.zeros(3))
    classifier = make_classifier(network, channels=1)
    subjects = subjects_from(images.ids, images.labels, np.zeros((3, 2)))
    setting, attack = scripted(Threat(Norm.LINF, 0.1), proposal=lambda rows: rows.clean, steps=1, samples=3)

    run(classifier, images, setting, subjects=subjects)

    torch.testing.assert_close(attack.told[0][3], torch.full((3, 1, 2, 2), 2.0))


def test_fgsm_costs_two_forward_and_one_backward_row_an_image_and_no_last_backward(
    classifier, predicted_images, run, subjects_of
):
    images = predicted_images(classifier, 32)
    subjects = subjects_of(classifier, images)
    classifier.work.forward_rows = classifier.work.backward_rows = 0

    run(classifier, images, "fgsm", subjects=subjects)

    assert (classifier.work.forward_rows, classifier.work.backward_rows) == (64, 32)


def test_a_broken_image_frees_its_row(classifier, images, run, subjects):
    def cost(epsilon):
        classifier.work.forward_rows = 0
        run(
            classifier,
            images,
            {"name": "pgd", "epsilon": epsilon, "steps": 20, "step_size": epsilon, "start": "clean"},
            subjects=subjects,
        )
        return classifier.work.forward_rows

    assert cost("64/255") * 4 < cost("0.001/255")


class Poison(nn.Module):
    """Lets images on the grid of 8 bits through and turns all others into NaN."""

    def forward(self, x):
        pixels = (x * 0.5 + 0.5) * 255
        off = ((pixels - pixels.round()).abs() > 1e-2).flatten(1).any(1)
        return torch.where(off[:, None, None, None], torch.nan, x)


@pytest.mark.parametrize("kept", [False, True])
def test_logits_that_are_no_numbers_are_errors_neither_robust_nor_broken(
    make_classifier, network, images, run, subjects, kept
):
    poisoned = make_classifier(nn.Sequential(Poison(), *network), mean=0.5, std=0.5)
    setting = {"name": "fgsm", "epsilon": "0.4/255"}

    evaluation = run(poisoned, images, setting, subjects=subjects, kept=set(subjects.ids if kept else ()))

    assert (evaluation.outcome == ERROR).all()
    assert np.isnan(evaluation.margin).all()
    assert not evaluation.marginal.any()
    assert len(evaluation.last.position) == 0


def test_rows_without_a_gradient_are_counted_and_stay_robust(make_classifier, network, images, run, subjects):
    class Quantised(nn.Module):
        def forward(self, x):
            return (x * 127.5).round() / 127.5

    quantised = make_classifier(nn.Sequential(Quantised(), *network), mean=0.5, std=0.5)

    evaluation = run(
        quantised,
        images,
        {"name": "pgd", "epsilon": "4/255", "steps": 2, "step_size": "2/255", "start": "clean"},
        subjects=subjects,
    )

    assert (evaluation.outcome == ROBUST).all()
    assert evaluation.gradients.zero == evaluation.gradients.rows == 2 * len(subjects.ids)
    assert (evaluation.perturbation == 0).all()


def test_gradients_that_are_no_numbers_are_counted_and_taken_for_zero(make_classifier, network, images, run, subjects):
    class Shattered(nn.Module):
        def forward(self, x):
            return x + torch.sqrt(x * 0)

    shattered = make_classifier(nn.Sequential(Shattered(), *network), mean=0.5, std=0.5)

    evaluation = run(shattered, images, "fgsm", subjects=subjects)

    assert (evaluation.outcome == ROBUST).all()
    assert evaluation.gradients.nonfinite == evaluation.gradients.rows == len(subjects.ids)


def test_ties_go_to_the_lower_class_as_in_the_clean_pass(make_classifier, make_images, run):
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 3))
    network[1].weight.data.zero_()
    network[1].bias.data.zero_()
    images = make_images(torch.full((3, 1, 1, 1), 0.5), np.array([0, 1, 2]))
    subjects = subjects_from(images.ids, images.labels, np.zeros((3, 3)))

    evaluation = run(make_classifier(network, channels=1), images, "fgsm", subjects=subjects)

    assert evaluation.outcome.tolist() == [ROBUST, BROKEN, BROKEN]
    assert evaluation.margin.tolist() == [0, 0, 0]
    assert evaluation.marginal.tolist() == [False] * 3  # a constant network has no spread to be small against


def test_pixels_out_of_range_are_refused_and_named(classifier, make_images, run):
    stored = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    stored[13, 1, 2, 3] = 2.64
    images = make_images(stored, np.zeros(20))
    subjects = subjects_from(images.ids, images.labels, np.zeros((20, 5)))

    with pytest.raises(InvalidData) as refused:
        run(classifier, images, "fgsm", subjects=subjects)

    assert "image-0013" in refused.value.problem
    assert "2.64" in refused.value.problem


def test_a_module_in_training_mode_is_refused_and_named(classifier, network, images, run, subjects):
    network[1].train()

    with pytest.raises(InvalidModel, match="training mode, first `1`"):
        run(classifier, images, "fgsm", subjects=subjects)


def test_a_network_that_runs_out_of_memory_says_so_to_the_caller(make_classifier, images, run, subjects):
    class Full(nn.Module):
        def forward(self, x):
            raise torch.OutOfMemoryError("CUDA out of memory")

    full = make_classifier(nn.Sequential(Full(), nn.Flatten(), nn.Linear(192, 5)))

    with pytest.raises(torch.OutOfMemoryError):
        run(full, images, "fgsm", subjects=subjects)


def test_an_attack_leaves_flags_gradients_and_global_randomness_as_they_were(
    classifier, network, images, run, subjects
):
    before = torch.random.get_rng_state()

    run(classifier, images, PGD, subjects=subjects)

    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.is_grad_enabled()


def test_progress_counts_every_image_once(classifier, images, subjects, watching):
    progress, shape = watching(), EvaluationShape(rows=8, calls=2)

    evaluate(classifier, images, subjects, resolve(PGD), seed=0, shape=shape, progress=progress)

    assert progress.opened == ("attack pgd", len(subjects.ids), "images")
    assert progress.advanced == len(subjects.ids)


def test_no_subject_is_no_verdict(classifier, images, run):
    nobody = subjects_from((), np.zeros(0, dtype=np.int64), np.zeros((0, 5)))

    evaluation = run(classifier, images, PGD, subjects=nobody)

    assert len(evaluation) == 0
    assert evaluation.count(Outcome.ROBUST) == 0


def test_an_untargeted_job_has_no_target(classifier, images, run):
    assert set(run(classifier, images, "fgsm").target.tolist()) == {UNTARGETED}
