"""Which runs a matrix has, what decides each, and who makes it."""

import pytest

from repaudit.errors import InvalidOutput, InvalidRecipe
from repaudit.train.folder import claim, refuse_foreign_tables
from repaudit.train.method import parse_method, parse_methods
from repaudit.train.recipe import Recipe
from repaudit.train.runs import Run, runs_of, shard
from repaudit.train.table import table_of


def run(method="vs", seed=0, alpha=None, **changed):
    return Run(Recipe.model_validate(changed), parse_method(method), seed, alpha)


def test_every_method_has_every_seed_and_only_smoothing_has_a_grid():
    recipe = Recipe.model_validate({"reg": ["onehot", "vs"], "seeds": 2, "alphas": [0.1, 0.3], "held_out": 0.1})

    assert [each.name for each in runs_of(recipe)] == [
        "onehot-seed0", "onehot-seed1",
        "vs-alpha0.1-seed0", "vs-alpha0.1-seed1", "vs-alpha0.3-seed0", "vs-alpha0.3-seed1",
    ]  # fmt: skip


def test_shards_share_the_matrix_without_overlap():
    runs = runs_of(Recipe())
    parts = [shard(runs, f"{part}/4") for part in range(1, 5)]

    assert sorted(each.name for part in parts for each in part) == sorted(each.name for each in runs)
    assert shard(runs, None) == runs


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(InvalidRecipe, match="i/n"):
        shard(runs_of(Recipe()), text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("vss", "vss"), ("mixup+cutmix", "of one kind"), ("ls+vs", "of one kind"), ("onehot+vs", "onehot")],
)
def test_what_is_no_method_is_refused_with_one_that_is(text, problem):
    with pytest.raises(InvalidRecipe, match=problem) as refusal:
        parse_methods(text)

    assert "--reg" in refusal.value.remedy


def test_a_run_is_another_one_when_what_decides_its_weights_is_changed():
    base = run().identity

    assert run(epochs=31).identity != base
    assert run(vs={"alpha": 0.4}).identity != base
    assert run(seed=1).identity != base
    assert run("onehot").identity != base


def test_what_decides_nothing_of_a_run_leaves_it_the_same():
    base = run().identity

    assert run(ls={"alpha": 0.4}, mixup={"a": 0.2}).identity == base
    assert run(seeds=9, about="words", scan={"profile": "full"}).identity == base
    assert run(alpha=0.5).identity == base  # the recipe's own mass, given by hand


def test_a_folder_of_another_recipe_is_refused_with_the_differences(tmp_path):
    claim(tmp_path / "run", run(), {"train": "a"})
    claim(tmp_path / "run", run(), {"train": "a"})

    with pytest.raises(InvalidRecipe) as refusal:
        claim(tmp_path / "run", run(optimizer={"rate": 0.2}), {"train": "b"})
    assert refusal.value.detail.splitlines() == [
        "data_sha256.train: 'a' there, 'b' now",
        "optimizer.rate: 0.1 there, 0.2 now",
    ]


def test_a_folder_with_files_of_others_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(InvalidOutput, match=r"thesis\.tex"):
        claim(tmp_path, run(), {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["table.json", "table.csv"])
def test_a_table_of_somebody_else_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("years of work")

    with pytest.raises(InvalidOutput, match=name):
        refuse_foreign_tables(tmp_path)
    assert (tmp_path / name).read_text() == "years of work"


def test_a_table_of_an_earlier_call_may_be_replaced(tmp_path):
    table = table_of("r", ())
    (tmp_path / "table.json").write_text(table.to_json())
    (tmp_path / "table.csv").write_text(table.to_csv())

    refuse_foreign_tables(tmp_path)
