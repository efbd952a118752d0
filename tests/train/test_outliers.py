"""Images of no class: what they are said to be, and how they come beside each batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from repaudit.errors import InvalidRecipe
from repaudit.progress import SilentProgress
from repaudit.train.batches import Batches
from repaudit.train.distributed import Ranks
from repaudit.train.examples import Examples, open_material
from repaudit.train.network import build
from repaudit.train.objectives import options_of
from repaudit.train.objectives.oe import OutlierLabels, outlier_row
from repaudit.train.readiness import labelling_of, objective_of, refuse_unready
from repaudit.train.trainee import Trainee

K = 4


@pytest.fixture
def with_extra(material):
    """The small material and 70 images of noise, labelled in turn."""
    generator = torch.Generator().manual_seed(8)
    stored = torch.randint(0, 256, (70, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return replace(material, extra=Examples(stored=stored, labels=torch.arange(70) % K), extra_fingerprint="1" * 64)


@pytest.fixture
def exposed(run, with_extra):
    """Objective, trainee and first batch of a run with a second set."""

    def make(name, method="onehot", **options):
        one = run(method, objective={"name": name, "outliers": "npz:x", **options})
        labelling = labelling_of(one, K)
        network = build(one, with_extra, labelling.extra).network.train()
        objective = objective_of(one, with_extra, lambda _: None, Ranks(), torch.device("cpu"))
        step = Batches(one, with_extra, labelling, Ranks()).at(0, 0)[0]
        return objective, Trainee(network, labelling, dtype=torch.float32), step

    return make


def answers(trainee, step):
    """Logits of one joint pass in training mode, and the network as it was."""
    before = {name: tensor.clone() for name, tensor in trainee.network.state_dict().items()}
    logits = trainee.network(torch.cat([step.images, step.extra.images])).detach()
    trainee.network.load_state_dict(before)
    return logits[: len(step.images)], logits[len(step.images) :]


def test_exposure_adds_half_the_mean_log_probability_of_outliers(exposed):
    objective, trainee, step = exposed("oe")
    own, foreign = answers(trainee, step)
    wanted = F.cross_entropy(own, step.labels) - 0.5 * foreign.log_softmax(1).mean()

    found = objective.backward(step, trainee)

    assert len(step.extra.images) == 32
    assert found.loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert found.floor.item() == pytest.approx(0.5 * np.log(K), rel=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 0.6])
def test_outliers_may_be_put_into_virtual_classes(run, alpha):
    labelling = labelling_of(run("vs", alpha=alpha, vs={"virtual": 3}), K)
    rows = {labels: outlier_row(labelling, labels)[0].tolist() for labels in OutlierLabels}

    assert rows[OutlierLabels.UNIFORM] == pytest.approx([1 / 4] * 4 + [0] * 3)
    assert rows[OutlierLabels.VS1] == pytest.approx([(1 - alpha) / 4] * 4 + [alpha / 3] * 3)
    assert rows[OutlierLabels.VS2] == pytest.approx([0] * 4 + [1 / 3] * 3)
    assert [sum(row) for row in rows.values()] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("labels", ["vs1", "vs2"])
def test_exposure_with_virtual_classes_is_the_sum_of_two_cross_entropies(exposed, labels):
    objective, trainee, step = exposed("oe", "vs", labels=labels, weight=0.3)
    own, foreign = answers(trainee, step)
    row = torch.tensor([0.5 / 4] * 4 + [0.5 / 4] * 4 if labels == "vs1" else [0.0] * 4 + [0.25] * 4)
    wanted = F.cross_entropy(own, step.targets) + 0.3 * F.cross_entropy(foreign, row.expand(len(foreign), -1))

    assert objective.backward(step, trainee).loss.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_virtual_labels_of_outliers_need_virtual_classes(run, with_extra):
    objective = {"name": "oe", "outliers": "npz:x", "labels": "vs2"}
    with pytest.raises(InvalidRecipe, match="no virtual classes") as told:
        refuse_unready([run("vs", objective=objective), run("ls", objective=objective)], with_extra, lambda _: None)

    assert "--reg vs" in told.value.remedy


@pytest.mark.parametrize(("method", "nodes"), [("onehot", 8), ("ls", 8), ("vs", 12)])
def test_an_outlier_is_labelled_with_its_likeliest_reject_node(exposed, method, nodes):
    objective, trainee, step = exposed("ssl", method, weight=0.7)
    own, foreign = answers(trainee, step)
    chosen = foreign[:, K : 2 * K].argmax(1) + K
    one = torch.eye(nodes)[chosen]
    soft = {
        "onehot": one,
        "ls": 0.9 * one + 0.1 / 8,
        "vs": torch.cat([0.5 * one[:, :8], torch.full((len(one), 4), 0.5 / 4)], 1),
    }[method]
    wanted = F.cross_entropy(own, step.targets) + 0.7 * F.cross_entropy(foreign, soft)

    found = objective.backward(step, trainee)

    assert own.shape[1] == step.targets.shape[1] == nodes
    assert found.loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    if method != "ls":
        assert step.targets[:, K : 2 * K].count_nonzero() == 0


def test_pseudo_labels_are_learned_as_labels_are(run, with_extra):
    one = run("vs", objective={"name": "rst", "unlabelled": "npz:x", "beta": 0.0, "steps": 1})
    labelling = labelling_of(one, K)
    trainee = Trainee(build(one, with_extra, labelling.extra).network.train(), labelling, dtype=torch.float32)
    step = Batches(one, with_extra, labelling, Ranks()).at(0, 0)[0]
    before = {name: tensor.clone() for name, tensor in trainee.network.state_dict().items()}
    seen = []
    trainee.network.register_forward_pre_hook(lambda network, inputs: seen.append((network.training, inputs[0])))

    found = objective_of(one, with_extra, lambda _: None, Ranks(), torch.device("cpu")).backward(step, trainee)

    (learned,) = [pixels for training, pixels in seen if training]
    trainee.network.load_state_dict(before)
    logits = trainee.network.train()(learned).detach()[:32]
    real = torch.eye(K)[torch.cat([step.labels, step.extra.labels])]
    targets = torch.cat([0.5 * real, torch.full((32, 4), 0.5 / 4)], 1)
    assert torch.equal(learned[16:32], step.extra.images)
    assert found.loss.item() == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-5)


def test_every_outlier_is_seen_before_one_comes_again(run, with_extra):
    one = run(objective={"name": "oe", "outliers": "npz:x", "ratio": 2})
    batches = Batches(one, with_extra, labelling_of(one, K), Ranks())
    seen = [batches.at(0, step)[0].extra for step in range(4)]

    assert [extra.lap for extra in seen] == [0, 0, 1, 1]
    for first, second in (seen[:2], seen[2:]):
        rows = torch.cat([first.rows, second.rows]).tolist()
        assert len(set(rows)) == 64
        assert min(rows) >= 80  # behind the training images
    assert seen[0].rows.tolist() != seen[2].rows.tolist()


@pytest.mark.parametrize("name", ["oe", "rst"])
def test_two_processes_share_the_second_set_of_one(run, with_extra, name):
    option = "outliers" if name == "oe" else "unlabelled"
    one = run(objective={"name": name, option: "npz:x"})
    labelling = labelling_of(one, K)
    whole = Batches(one, with_extra, labelling, Ranks()).at(1, 2)[0].extra
    parts = [Batches(one, with_extra, labelling, Ranks(rank, 2)).at(1, 2)[0].extra for rank in range(2)]

    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    assert torch.equal(torch.cat([part.rows for part in parts]), whole.rows)
    assert torch.equal(whole.labels, (whole.rows - 80) % K)


@pytest.fixture
def files(tmp_path):
    """Digits of 10 classes in colour at 12 × 12, without labels."""
    images = np.random.default_rng(3).integers(0, 256, (300, 12, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "outliers.npz", images=images)
    np.savez(tmp_path / "labelled.npz", images=images, labels=np.arange(300) % 10)
    np.savez(tmp_path / "wrong.npz", images=images, labels=np.arange(300) % 12)
    return tmp_path


def opened(recipe, **objective):
    data = {"train": "digits", "limit": 100, "mean": [0.5], "std": [0.5]}
    asked = recipe(data=data, batch_size=32, objective=objective)
    return open_material(asked, torch.device("cpu"), SilentProgress())


def test_outliers_need_no_labels_and_become_as_the_training_images_are(recipe, files):
    material = opened(recipe, name="oe", outliers=f"npz:{files}/outliers.npz")

    assert material.extra.stored.shape == (300, 1, 8, 8)
    assert material.fingerprints.keys() == {"train", "extra"}


@pytest.mark.parametrize("name", ["oe", "ssl"])
def test_labels_of_outliers_are_not_looked_at(recipe, files, name):
    assert len(opened(recipe, name=name, outliers=f"npz:{files}/wrong.npz").extra) == 300


def test_pseudo_labels_are_kept(recipe, files):
    assert opened(recipe, name="rst", unlabelled=f"npz:{files}/labelled.npz").extra.labels[:12].tolist() == [
        *range(10),
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("name", "option", "reference", "problem"),
    [
        ("oe", "outliers", None, "objective.outliers is missing"),
        ("ssl", "outliers", None, "objective.outliers is missing"),
        ("rst", "unlabelled", None, "objective.unlabelled is missing"),
        ("oe", "outliers", "npz:nowhere.npz", "objective.outliers: "),
        ("rst", "unlabelled", "npz:{}/outliers.npz", "has no array `labels`"),
        ("rst", "unlabelled", "npz:{}/wrong.npz", "go up to 11, the model has 10 classes"),
    ],
)
def test_a_second_set_that_cannot_be_had_is_told_with_its_option(recipe, files, name, option, reference, problem):
    given = {} if reference is None else {option: reference.format(files)}
    with pytest.raises(InvalidRecipe) as told:
        opened(recipe, name=name, **given)

    assert problem in told.value.problem
    assert f"--set objective.{option}=" in told.value.remedy
    assert told.value.detail


def test_a_second_set_smaller_than_its_part_of_a_step_is_refused(recipe, files):
    with pytest.raises(InvalidRecipe, match="300 images are fewer than the 320 of one step"):
        opened(recipe, name="oe", outliers=f"npz:{files}/outliers.npz", ratio=10)


def test_exposure_has_the_papers_defaults(recipe):
    options = options_of(recipe(objective={"name": "oe", "outliers": "x"}).objective)

    assert (options.weight, options.ratio, options.labels) == (0.5, 2, OutlierLabels.UNIFORM)
    assert options_of(recipe(objective={"name": "rst", "unlabelled": "x"}).objective).ratio == 1
