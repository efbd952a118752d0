"""What holds for every objective of the folder, with the images and the teacher that it may ask for as files."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from repaudit.errors import InvalidRecipe
from repaudit.progress import SilentProgress
from repaudit.train.batches import Batches
from repaudit.train.distributed import Ranks
from repaudit.train.examples import open_material
from repaudit.train.export import MODEL, export
from repaudit.train.loop import Conditions, Stopped, train
from repaudit.train.method import parse_method
from repaudit.train.network import build
from repaudit.train.objectives import Kind, load, names, options_of
from repaudit.train.readiness import labelling_of, objective_of
from repaudit.train.recipe import Recipe
from repaudit.train.runs import Run
from repaudit.train.teacher import load_teacher
from repaudit.train.trainee import Trainee

CPU = torch.device("cpu")
FEW = {"steps": 2, "warmup": 0}
"""Of whatever has these options: what is tested here needs no more."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images of five classes, others beside them and a network that was trained for a moment."""
    folder = tmp_path_factory.mktemp("objectives")
    generator = np.random.default_rng(4)
    images = generator.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    images[np.arange(60), np.arange(60) % 5] = 255  # a bright line tells the class
    np.savez(folder / "train.npz", images=images[:50], labels=np.arange(50) % 5)
    np.savez(folder / "test.npz", images=images[50:], labels=np.arange(10) % 5)
    np.savez(folder / "beside.npz", images=images[::-1], labels=(59 - np.arange(60)) % 5)
    asked = made(folder, "standard")
    export(build(asked, opened(asked), 0), folder, {})
    return folder


def made(folder, name, method="onehot", **options):
    """A run of four steps in two epochs."""
    recipe = Recipe.model_validate(
        {
            "data": {"train": f"npz:{folder}/train.npz", "test": f"npz:{folder}/test.npz", "mean": [0.5], "std": [0.5]},
            "network": {"arch": "baseline:conv4", "arguments": {"width": 4}},
            "epochs": 2,
            "batch_size": 20,
            "augmentation": {"pad": 1, "flip": True},
            "objective": {"name": name, **options},
        }
    )
    return Run(recipe, parse_method(method), 0)


@pytest.fixture
def asked_for(place):
    """A short run of an objective with all that it needs."""

    def make(name, method="onehot"):
        given = {
            "teacher": str(place / MODEL),
            "outliers": f"npz:{place}/beside.npz",
            "unlabelled": f"npz:{place}/beside.npz",
            **FEW,
        }
        fields = load(name).options.model_fields
        return made(place, name, method, **{key: value for key, value in given.items() if key in fields})

    return make


def opened(run):
    return open_material(run.recipe, CPU, SilentProgress())


def teacher(reference):
    return load_teacher(reference, CPU)


@pytest.fixture
def trained(tmp_path):
    """Weights and losses after a run, in a folder of that name."""

    def carry_out(run, folder, steps=10**9):
        (tmp_path / folder).mkdir(exist_ok=True)
        asked, told = iter(range(10**9)), []
        conditions = Conditions(
            folder=tmp_path / folder,
            device=CPU,
            dtype=torch.float32,
            ranks=Ranks(),
            told=told.append,
            stopped=lambda: next(asked) >= steps,
            load=teacher,
        )
        built = train(run, opened(run), conditions)
        return built.network.state_dict(), told

    return carry_out


@pytest.mark.parametrize("name", names())
def test_every_objective_says_what_it_trains_for_in_one_line(name):
    kind = load(name)

    assert isinstance(kind, Kind)
    assert 20 < len(kind.summary) < 100
    assert "\n" not in kind.summary


@pytest.mark.parametrize("name", names())
def test_every_option_of_an_objective_says_what_it_is(name):
    fields = load(name).options.model_fields

    assert [key for key, field in fields.items() if not (field.description or "").strip()] == []


@pytest.mark.parametrize("method", ["onehot", "cutmix+vs"])
@pytest.mark.parametrize("name", names())
def test_every_objective_ends_alike_when_it_was_stopped_and_went_on(asked_for, trained, name, method):
    run = asked_for(name, method)
    whole, told = trained(run, "whole")
    with pytest.raises(Stopped):
        trained(run, "parts", steps=3)
    resumed, _ = trained(run, "parts")

    assert len(told) == 2
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert all(bool(tensor.isfinite().all()) for tensor in whole.values())


@pytest.mark.parametrize("name", names())
def test_no_loss_lies_below_its_floor(asked_for, trained, name):
    _, told = trained(asked_for(name, "vs"), "run")

    assert all(epoch.excess > 0 for epoch in told)
    assert all(epoch.loss < 100 for epoch in told)


@pytest.mark.parametrize("name", names())
def test_every_objective_leaves_the_network_and_the_global_random_numbers_as_they_were(asked_for, name):
    run = asked_for(name, "vs")
    material, labelling = opened(run), labelling_of(run, 5)
    network = build(run, material, labelling.extra).network.train()
    network.network[1].eval()
    network.network[0].weight.requires_grad_(False)
    objective = objective_of(run, material, teacher, Ranks(), CPU)
    step = Batches(run, material, labelling, Ranks()).at(0, 0)[0]
    before = {key: tensor.clone() for key, tensor in network.named_parameters()}
    modes = [module.training for module in network.modules()]
    images, numbers = step.images.clone(), torch.random.get_rng_state()

    objective.backward(step, Trainee(network, labelling, dtype=torch.float32))
    objective.after(Trainee(network, labelling, dtype=torch.float32))

    assert [module.training for module in network.modules()] == modes
    assert [key for key, tensor in network.named_parameters() if not tensor.requires_grad] == ["network.0.weight"]
    assert [key for key, tensor in network.named_parameters() if tensor.requires_grad and tensor.grad is None] == []
    assert all(torch.allclose(tensor, before[key], atol=1e-7) for key, tensor in network.named_parameters())
    assert torch.equal(step.images, images)
    assert torch.equal(torch.random.get_rng_state(), numbers)


@pytest.mark.parametrize("name", names())
def test_two_processes_find_the_gradients_of_one(asked_for, name):
    """Without batch normalisation and weight perturbation, which looks at all processes by itself."""
    run = asked_for(name, "vs")
    if name == "awp":
        run = dataclasses.replace(run, recipe=run.recipe.model_copy(update={"objective": waiting(run)}))
    material, labelling = opened(run), labelling_of(run, 5)

    def gradients(rank, world):
        network = build(run, material, labelling.extra).network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        ranks = Ranks(rank, world)
        step = Batches(run, material, labelling, ranks).at(0, 1)[0]
        found = objective_of(run, material, teacher, ranks, CPU).backward(
            step, Trainee(network, labelling, dtype=torch.float32)
        )
        return found, {key: tensor.grad for key, tensor in network.named_parameters()}

    whole, wanted = gradients(0, 1)
    (first, one), (second, other) = gradients(0, 2), gradients(1, 2)

    assert ((first.loss + second.loss) / 2).item() == pytest.approx(whole.loss.item(), rel=1e-5)
    assert ((first.floor + second.floor) / 2).item() == pytest.approx(whole.floor.item(), rel=1e-5)
    assert all(torch.allclose((one[key] + other[key]) / 2, wanted[key], atol=1e-5) for key in wanted)


def waiting(run):
    return run.recipe.objective.model_copy(update={"warmup": 1})


WRONG = {
    "epsilon": ["0", "300/255", "far"],
    "step_size": [0, -1],
    "steps": [0, 2.5],
    "beta": [-1, float("inf")],
    "gamma": [-0.1],
    "warmup": [-1],
    "temperature": [0],
    "weight": [-1],
    "ratio": [0],
    "labels": ["vs3"],
    "teacher": [""],
    "outliers": [""],
    "unlabelled": [7],
}


def test_every_option_is_tried_with_values_that_it_cannot_take():
    assert {key for name in names() for key in load(name).options.model_fields} == set(WRONG)


@pytest.mark.parametrize("name", names())
def test_a_value_that_an_option_cannot_take_is_told_with_its_name(asked_for, name):
    good = asked_for(name).recipe.objective
    for option in load(name).options.model_fields:
        for value in WRONG[option]:
            with pytest.raises(InvalidRecipe) as told:
                options_of(good.model_copy(update={option: value}))
            assert told.value.problem.startswith(f"objective.{option} is {value!r}")
            assert told.value.detail
            assert told.value.remedy == f"--set objective.{option}=VALUE"


@pytest.mark.parametrize("name", names())
def test_an_option_that_is_not_there_is_told_with_those_that_are(asked_for, name):
    good = asked_for(name).recipe.objective
    with pytest.raises(InvalidRecipe, match="has no option `stepps`") as told:
        options_of(good.model_copy(update={"stepps": 3}))

    assert all(option in told.value.detail for option in load(name).options.model_fields)


@pytest.mark.parametrize("name", names())
def test_what_a_recipe_says_of_an_objective_survives_json(asked_for, name):
    recipe = asked_for(name).recipe
    again = Recipe.model_validate(json.loads(json.dumps(recipe.resolved)))

    assert options_of(again.objective) == options_of(recipe.objective)
