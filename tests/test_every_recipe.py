"""Whatever lies in the training folder loads, names what exists, and says what its paper says."""

import csv
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest
import torch

from repaudit import published, shipped
from repaudit.catalogue import Kind, entries
from repaudit.errors import InvalidData, InvalidRecipe
from repaudit.networks import BUILDERS
from repaudit.profiles import load as load_profile
from repaudit.progress import SilentProgress
from repaudit.sources import ModelRequest, build_architecture
from repaudit.train import objectives
from repaudit.train.examples import open_material
from repaudit.train.reading import LoadedRecipe, load, names
from repaudit.train.recipe import Initialisation, Recipe
from repaudit.train.runs import runs_of

OURS = {"digits", "fashion"}
GIVEN_BY_THE_USER = {"kd": "teacher", "ard": "teacher", "rst": "unlabelled", "oe": "outliers", "ssl": "outliers"}
# methods of the papers' rows, values of a grid for each that has one, seeds
MATRICES = {
    "digits": (("onehot", "ls", "mixup", "cutmix", "vs"), 0, 3),
    "fashion": (("onehot", "ls", "mixup", "cutmix", "vs"), 0, 3),
    "rs-figures": (("onehot", "ls", "mixup", "cutmix"), 0, 1),
    "rs-figures-mixup": (("mixup",), 0, 1),
    "rs-figure12*": (("onehot",), 0, 1),
    "rs-cifar*": (("onehot", "ls", "mixup", "cutmix"), 0, 3),
    "rs-imagenet-convnext-t": (("onehot", "ls", "mixup"), 0, 1),
    "rs-imagenet-vit-b16": (("onehot", "cutmix"), 0, 1),
    "rs-imagenet-*": (("onehot", "ls", "mixup", "cutmix"), 0, 1),
    "vs-imagenet-*": (("onehot", "ls", "vs"), 0, 1),
    "vs-table4-cifar*": (("onehot", "ls", "vs"), 10, 1),
    "vs-table4-imagenet": (("onehot", "ls", "vs"), 4, 1),
    "vs-table12-*": (("onehot", "vs"), 5, 3),
    "vs-table13-*": (("onehot", "vs"), 9, 3),
    "vs-kd-*": (("onehot",), 0, 3),
    "vs-ard-*": (("onehot",), 0, 1),
    "vs-at-*": (("onehot", "ls", "vs"), 0, 1),
    "vs-oe-*-vs?": (("vs",), 0, 3),
    "vs-oe-*": (("onehot", "ls"), 0, 3),
    "vs-ssl-*": (("onehot", "ls", "vs"), 0, 3),
    "vs-*-vs": (("vs",), 0, 1),
    "vs-trades-*": (("onehot", "ls"), 0, 1),
    "vs-awp-*": (("onehot", "ls"), 0, 1),
    "vs-rst-*": (("onehot", "ls"), 0, 1),
    "vs-*": (("onehot", "ls", "vs"), 0, 3),
}


@pytest.fixture(params=names())
def name(request) -> str:
    return request.param


@cache
def shipped_recipe(name: str) -> LoadedRecipe:
    return load(name)


def rows_of(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader((Path(published.__file__).parent / f"{table}.csv").read_text().splitlines()))


def test_a_shipped_recipe_trains_the_runs_of_its_table(name):
    methods, grid, seeds = next(matrix for pattern, matrix in MATRICES.items() if fnmatchcase(name, pattern))
    runs = runs_of(shipped_recipe(name).recipe)
    values = sum(max(1, grid if method in ("ls", "vs") else 1) for method in methods)

    assert tuple(dict.fromkeys(run.method.name for run in runs)) == methods
    assert len(runs) == len({run.name for run in runs}) == values * seeds


def test_a_shipped_recipe_says_in_one_line_what_it_is_and_where_it_is_from(name):
    loaded = shipped_recipe(name)

    assert 20 < len(loaded.recipe.about) <= 115
    assert (loaded.recipe.source is None) == (name in OURS)
    assert loaded.name == name


def test_what_is_listed_of_recipes_is_what_each_says_of_itself():
    listed = {entry.name: entry.summary for entry in entries(Kind.RECIPES)}

    assert listed == {each: shipped_recipe(each).recipe.about for each in names()}
    assert len(set(listed.values())) == len(listed)


def test_a_shipped_recipe_is_in_the_readme(name):
    assert f"`{name}`" in (shipped.folder("training") / "README.md").read_text()


def test_the_folder_of_shipped_recipes_holds_nothing_else():
    files = {path.name for path in shipped.folder("training").iterdir() if path.is_file()}

    assert files == {f"{each}.yaml" for each in names()} | {"README.md", "digits_demo.py"}


def test_an_objective_of_a_shipped_recipe_takes_its_options(name):
    section = shipped_recipe(name).recipe.objective
    missing = GIVEN_BY_THE_USER.get(section.name)
    if missing is not None:
        with pytest.raises(InvalidRecipe, match=missing) as refused:
            objectives.options_of(section)
        assert f"objective.{missing}=" in refused.value.remedy
        section = load(name, settings=[f"objective.{missing}=npz:there.npz"]).recipe.objective

    objectives.options_of(section)


def test_every_audit_of_a_shipped_recipe_exists(tmp_path):
    for profile, settings in {(shipped_recipe(each).recipe.scan.profile, shipped_recipe(each).recipe.scan.settings)
                              for each in names()}:  # fmt: skip
        assert load_profile(profile, audits=None, settings=list(settings), limit=None, directory=tmp_path).audits


def test_images_that_a_recipe_does_not_name_are_asked_for():
    nameless = [each for each in names() if shipped_recipe(each).recipe.data.train is None]

    assert {each.split("-")[-2] for each in nameless if each != "fashion"} >= {"imagenet", "svhn", "tiny"}
    with pytest.raises(InvalidData) as refused:
        open_material(shipped_recipe("vs-svhn-resnet18").recipe, torch.device("cpu"), SilentProgress())
    assert refused.value.remedy.startswith("--data ")


def network_of(name: str) -> tuple[str, tuple[tuple[str, object], ...], int, int]:
    """Architecture, arguments, channels and side of an image; classes change nothing but rows of the head."""
    recipe = shipped_recipe(name).recipe
    side = recipe.data.size[0] if recipe.data.size else 8 if name == "digits" else 32
    return recipe.network.arch, tuple(sorted(recipe.network.arguments.items())), len(recipe.data.mean), side


def answers(arch: str, arguments: tuple[tuple[str, object], ...], channels: int, side: int) -> tuple[int, ...]:
    decided = {"num_classes": 7} | ({"channels": channels} if channels != 3 else {})
    request = ModelRequest(
        ref="the recipe", arch=arch, arguments=decided | dict(arguments), preprocess=None, device=torch.device("meta"),
        trust_pickle=False, offline=True, progress=SilentProgress(),
    )  # fmt: skip
    with torch.device("meta"):
        network = build_architecture(request).network.eval()
    return tuple(network(torch.empty(2, channels, side, side, device="meta")).shape)


NETWORKS = sorted({network_of(each) for each in names()}, key=str)


@pytest.mark.parametrize("network", [each for each in NETWORKS if each[3] < 224], ids=str)
def test_the_network_of_a_recipe_for_small_images_answers_them(network):
    assert answers(*network) == (2, 7)


@pytest.mark.slow
@pytest.mark.parametrize("network", [each for each in NETWORKS if each[3] == 224], ids=str)
def test_the_network_of_a_recipe_for_photographs_answers_them(network):
    assert answers(*network) == (2, 7)


def test_every_baseline_network_is_in_the_docs():
    page = (Path(__file__).parents[1] / "docs" / "train.md").read_text()

    assert [each for each in BUILDERS if f"`{each}`" not in page] == []


def test_every_key_of_a_recipe_is_in_the_docs():
    page = (Path(__file__).parents[1] / "docs" / "train.md").read_text()
    ends = {
        end
        for name, field in Recipe.model_fields.items()
        if name not in ("version", "about", "source")
        for end in (getattr(field.annotation, "model_fields", None) or {name: field})
    }

    assert sorted(end for end in ends if f".{end}`" not in page and f"`{end}`" not in page) == []


def test_the_recipe_that_the_docs_show_can_be_carried_out(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "train.md").read_text()
    (tmp_path / "shown.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])

    recipe = load(str(tmp_path / "shown.yaml")).recipe

    assert (recipe.epochs, recipe.schedule.shape, recipe.ls.alpha) == (30, "cosine", 0.5)


# --- figures of the papers

MODELS = {"ResNet-18": "resnet18", "ResNeXt": "resnext29", "ResNeXt-50": "resnext50"}
SETS = {"SVHN": "svhn", "CIFAR10": "cifar10", "CIFAR100": "cifar100", "Tiny-200": "tiny", "ImageNet": "imagenet"}


def test_masses_are_those_of_tables_2_and_3():
    checked = 0
    for row in rows_of("vs_table2_3_accuracy"):
        if not row["alpha"] or row["model"].startswith("T2T"):
            continue
        data, model = SETS[row["data"]], MODELS[row["model"]]
        recipe = shipped_recipe(f"vs-{data}-{'resnext50' if (data, model) == ('tiny', 'resnext29') else model}").recipe
        section = {"LS": recipe.ls, "VS": recipe.vs}[row["label"]]
        assert section.alpha == float(row["alpha"]), row
        checked += 1

    assert checked == 20


@pytest.mark.parametrize("data", ["CIFAR10", "CIFAR100", "ImageNet"])
@pytest.mark.parametrize("label", ["LS", "VS"])
def test_the_grid_of_table_4_is_the_printed_one(data, label):
    printed = [float(row["alpha"]) for row in rows_of("vs_table4_ece") if (row["data"], row["label"]) == (data, label)]

    assert list(shipped_recipe(f"vs-table4-{SETS[data]}").recipe.alphas) == printed


@pytest.mark.parametrize("data", ["CIFAR10", "CIFAR100"])
@pytest.mark.parametrize(("model", "short"), [("ResNet-18", "resnet18"), ("ResNeXt-29", "resnext29")])
def test_the_grids_of_tables_12_and_13_are_the_printed_ones(data, model, short):
    counts = [row for row in rows_of("vs_table12_v") if row["data"] == data and row["model"].startswith(model)]
    masses = [
        row for row in rows_of("vs_table13_alpha") if (row["data"], row["model"]) == (data.replace("IFAR", "F"), model)
    ]
    twelve, thirteen = (shipped_recipe(f"vs-table{number}-{data.lower()}-{short}").recipe for number in (12, 13))

    assert [0, *twelve.virtuals] == [int(row["v"]) for row in counts]
    assert {f"{model} [{twelve.vs.alpha:g}]"} == {row["model"] for row in counts}
    assert [0, *thirteen.alphas] == [float(row["alpha"]) for row in masses]


def test_masses_and_weights_of_the_defences_are_those_of_table_6():
    names_of = {"AT": "vs-at-cifar10", "AT_VS": "vs-at-cifar10"} | {
        f"{defence}{end}": f"vs-{defence.lower()}-cifar10{end.lower().replace('_', '-')}"
        for defence in ("TRADES", "AWP", "RST")
        for end in ("", "_VS")
    }
    for row in rows_of("vs_table6_adversarial_cifar10"):
        recipe = shipped_recipe(names_of[row["defense"]]).recipe
        beta = (recipe.objective.model_extra or {}).get("beta")
        assert ("-" if beta is None else f"{beta:g}") == row["beta"], row
        if row["defense"].endswith("_VS"):
            assert recipe.vs.alpha == float(row["alpha"]), row


@pytest.mark.parametrize(
    ("pattern", "epochs", "milestones", "rate", "decay"),
    [
        ("vs-cifar*", 200, (100, 150), 0.1, 1e-4),
        ("vs-svhn-*", 200, (100, 150), 0.1, 1e-4),
        ("vs-tiny-*", 200, (100, 150), 0.1, 1e-4),
        ("vs-kd-*", 200, (100, 150), 0.1, 1e-4),
        ("vs-imagenet-*", 120, (60, 90, 110), 0.1, 1e-4),
        ("vs-at-*", 160, (150, 155), 0.1, 5e-4),
        ("vs-trades-*", 160, (150, 155), 0.1, 5e-4),
        ("vs-awp-*", 200, (150, 180), 0.1, 5e-4),
        # 300 epochs, drops at 150 and 225, of 50,000 images of both kinds: ours count the labelled half alone
        ("vs-rst-*", 150, (75, 112.5), 0.1, 5e-4),
        ("vs-ard-*-mobilenetv2", 200, (150, 180), 0.1, 2e-4),
        ("vs-oe-*", 100, (), 0.1, 5e-4),
        ("rs-figure*", 100, (), 0.01, 1e-4),
        ("rs-*-swin-t", 300, (), None, 5e-4),
        ("rs-cifar*-resnet50", 300, (), 1e-3, 5e-4),
    ],
)
def test_schedules_are_those_of_the_papers(pattern, epochs, milestones, rate, decay):
    found = [shipped_recipe(each).recipe for each in names() if fnmatchcase(each, pattern)]

    assert found
    assert {(recipe.epochs, recipe.schedule.milestones) for recipe in found} == {(epochs, milestones)}
    assert {recipe.optimizer.weight_decay for recipe in found} == {decay}
    assert rate is None or {recipe.optimizer.rate for recipe in found} == {rate}


def test_the_four_beginnings_of_figure_12_each_have_a_recipe():
    found = {load(each).recipe.network.initialisation for each in names() if each.startswith("rs-figure12")}

    assert found == set(Initialisation)


def test_swin_t_learns_ten_times_as_fast_on_cifar_as_on_imagenet():
    rates = {each: shipped_recipe(each).recipe.optimizer.rate for each in names() if each.endswith("swin-t")}

    assert rates == {"rs-cifar10-swin-t": 1e-2, "rs-cifar100-swin-t": 1e-2, "rs-imagenet-swin-t": 1e-3}
