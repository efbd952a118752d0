"""What a teacher teaches, by hand, and what is said of one that cannot."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from repaudit.errors import InvalidModel, InvalidRecipe
from repaudit.train.batches import Batches
from repaudit.train.distributed import Ranks
from repaudit.train.network import build
from repaudit.train.objectives import options_of
from repaudit.train.objectives._attack import AttackOptions, against_labels, start_keys, uniform_start
from repaudit.train.objectives._teacher import divergence
from repaudit.train.readiness import labelling_of, objective_of, refuse_unready
from repaudit.train.trainee import Trainee

K = 4
FEW = {"epsilon": "16/255", "step_size": "6/255", "steps": 3}


def drawn(seed, nodes=K):
    return torch.randn(6, nodes, generator=torch.Generator().manual_seed(seed)) * 4


def in_numpy(student, teacher, temperature):
    """τ² mean over rows of Σ t log(t / s)."""

    def softened(logits):
        powers = np.exp(logits.double().numpy() / temperature)
        return powers / powers.sum(1, keepdims=True)

    own, wanted = softened(student), softened(teacher)
    return temperature**2 * (wanted * np.log(wanted / own)).sum(1).mean()


@pytest.mark.parametrize("temperature", [1.0, 30.0])
def test_the_divergence_is_a_mean_over_images_and_no_more(temperature):
    student, teacher = drawn(1), drawn(2)
    wanted = in_numpy(student, teacher, temperature)
    over_all_numbers = (
        temperature**2
        * F.kl_div((student / temperature).log_softmax(1), (teacher / temperature).softmax(1), reduction="none").mean()
    )

    found = divergence(student, teacher, K, temperature).item()

    assert found == pytest.approx(wanted, rel=1e-4)
    assert found == pytest.approx(K * over_all_numbers.item(), rel=1e-4)


def test_only_real_classes_are_compared():
    student, teacher = drawn(1, K + 3), drawn(2, K + 2)

    assert divergence(student, teacher, K, 3.0).item() == pytest.approx(
        in_numpy(student[:, :K], teacher[:, :K], 3.0), rel=1e-4
    )


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    logits = drawn(3).requires_grad_()

    divergence(logits, logits.detach().clone() + 5.0, K, 2.0).backward()

    assert logits.grad.abs().max() < 1e-6


class Teacher(nn.Module):
    """A fixed linear answer that keeps what it was asked."""

    def __init__(self, nodes=K):
        super().__init__()
        self.matrix = torch.randn(64, nodes, generator=torch.Generator().manual_seed(9))
        self.asked = []

    def forward(self, pixels):
        self.asked.append(pixels.clone())
        return (pixels.flatten(1) - 0.5) @ self.matrix


@pytest.fixture
def distilled(run, material):
    """Objective, trainee and first batch of a run with a teacher."""

    def make(name, teacher, method="onehot", **options):
        one = run(method, objective={"name": name, "teacher": "the teacher", **options})
        labelling = labelling_of(one, K)
        network = build(one, material, labelling.extra).network.train()
        objective = objective_of(one, material, lambda _: teacher, Ranks(), torch.device("cpu"))
        step = Batches(one, material, labelling, Ranks()).at(0, 0)[0]
        return objective, Trainee(network, labelling, dtype=torch.float32), step

    return make


def restored(network, state):
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize("method", ["mixup", "vs"])
@pytest.mark.parametrize("gamma", [1.0, 0.7, 0.0])
def test_a_student_learns_from_the_teachers_answers_to_the_images_that_it_sees(distilled, method, gamma):
    teacher = Teacher()
    objective, trainee, step = distilled("kd", teacher, method, gamma=gamma, temperature=4.0)
    before = {name: tensor.clone() for name, tensor in trainee.network.state_dict().items()}
    logits = trainee.network(step.images).detach()
    wanted = gamma * in_numpy(logits[:, :K], teacher(step.images), 4.0)
    wanted += (1 - gamma) * F.cross_entropy(logits, step.targets).item()
    restored(trainee.network, before)

    found = objective.backward(step, trainee)

    assert torch.equal(teacher.asked[-1], step.images)
    assert found.loss.item() == pytest.approx(wanted, rel=1e-4)
    assert found.floor.item() == pytest.approx(
        (1 - gamma) * torch.special.entr(step.targets).sum(1).mean().item(), abs=1e-6
    )


@pytest.mark.parametrize("gamma", [1.0, 0.7])
def test_a_robust_student_learns_clean_answers_at_attacked_images(distilled, gamma):
    teacher = Teacher()
    objective, trainee, step = distilled("ard", teacher, gamma=gamma, **FEW)
    before = {name: tensor.clone() for name, tensor in trainee.network.state_dict().items()}
    start = uniform_start(step.images, start_keys(step), 16 / 255)
    worse = against_labels(trainee, step.images, step.targets, start, AttackOptions.model_validate(FEW))
    seen = []
    trainee.network.register_forward_pre_hook(lambda network, inputs: seen.append((network.training, inputs[0])))

    found = objective.backward(step, trainee)

    assert torch.equal(teacher.asked[-1], step.images)
    learned = [pixels for training, pixels in seen if training]
    assert len(learned) == 1
    assert torch.equal(learned[0], worse if gamma == 1 else torch.cat([worse, step.images]))
    logits = restored(trainee.network, before).train()(learned[0]).detach()
    wanted = gamma * in_numpy(logits[:16], teacher(step.images), 1.0)
    if gamma < 1:
        wanted += (1 - gamma) * F.cross_entropy(logits[16:], step.targets).item()
    assert found.loss.item() == pytest.approx(wanted, rel=1e-4)


def test_distillation_has_the_papers_defaults(recipe):
    for name, temperature in (("kd", 30), ("ard", 1)):
        options = options_of(recipe(objective={"name": name, "teacher": "x"}).objective)
        assert (options.gamma, options.temperature) == (1, temperature)


def raised(run, material, load, **objective):
    with pytest.raises(InvalidRecipe) as told:
        refuse_unready([run(objective={"name": "kd", **objective})], material, load)
    return told.value


def test_a_teacher_is_asked_for_before_anything_is_trained(run, material):
    told = raised(run, material, lambda _: Teacher())

    assert told.problem == "objective.teacher is missing"
    assert "Model reference" in told.detail
    assert "--set objective.teacher=" in told.remedy


def test_a_teacher_that_cannot_be_loaded_is_told_with_the_option(run, material):
    def load(reference):
        raise InvalidModel(f"there is no model `{reference}`")

    told = raised(run, material, load, teacher="nowhere.safetensors")

    assert told.problem == "objective.teacher: there is no model `nowhere.safetensors`"
    assert "--set objective.teacher=" in told.remedy


def test_a_teacher_of_fewer_classes_or_other_images_is_refused(run, material):
    fewer = raised(run, material, lambda _: Teacher(3), teacher="small")
    other = raised(run, material, lambda _: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), teacher="colour")

    assert "knows 3 classes, the images have 4" in fewer.problem
    assert "does not take images of 1 × 8 × 8" in other.problem
