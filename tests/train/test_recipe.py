"""A recipe that cannot be carried out is refused with its key, the value seen and what mends it."""

import pytest

from repaudit.cli.app import main
from repaudit.errors import InvalidRecipe
from repaudit.train.reading import load
from repaudit.train.recipe import Recipe
from repaudit.train.runs import runs_of


def refused(reference: str | None = None, **arguments: object) -> InvalidRecipe:
    with pytest.raises(InvalidRecipe) as caught:
        load(reference, **arguments)
    return caught.value


@pytest.mark.parametrize(
    ("setting", "key", "seen", "remedy"),
    [
        ("ls.alpha=1", "ls.alpha", "1", "--set ls.alpha=0.1"),
        ("vs.alpha=-0.1", "vs.alpha", "-0.1", "--set vs.alpha=0.5"),
        ("vs.alpha=1.0", "vs.alpha", "1.0", "--set vs.alpha=0.5"),
        ("vs.virtual=0", "vs.virtual", "0", "--set vs.virtual=null"),
        ("mixup.a=0", "mixup.a", "0", "--set mixup.a=1.0"),
        ("seeds=0", "seeds", "0", "--set seeds=3"),
        ("epochs=0", "epochs", "0", "--set epochs=30"),
        ("batch_size=1", "batch_size", "1", "--set batch_size=128"),
        ("optimizer.rate=0", "optimizer.rate", "0", "--set optimizer.rate=0.1"),
        ("optimizer.name=adam", "optimizer.name", "'adam'", "--set optimizer.name=sgd"),
        ("schedule.shape=step", "schedule.shape", "'step'", "--set schedule.shape=cosine"),
        ("network.bottleneck=4", "network.bottleneck", "4", "--set network.bottleneck=null"),
        ("alphas=[0.1, 1.5]", "alphas", "1.5", "--set alphas='[]'"),
        ("held_out=1", "held_out", "1", "--set held_out=0.0"),
        ("data.std=[0]", "data.std", "0", "--set data.std='[0.5, 0.5, 0.5]'"),
        ("network.arguments={width:4}", "network.arguments.width:4", "None", "--set network.arguments.width:4=VALUE"),
        ("reg=vs", "reg", "'vs'", "--set reg='[onehot, ls, mixup, cutmix, vs]'"),
    ],
)
def test_a_value_outside_its_range_is_refused_with_the_key_the_value_and_the_default(setting, key, seen, remedy):
    error = refused(settings=[setting])

    assert f"`{key}` cannot be {seen}" in error.problem
    assert error.detail
    assert error.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("settings", "told", "remedy"),
    [
        (["schedule.milestones=[40, 200]"], ("schedule.milestones", "200", "100 epochs"), "milestones='[15, 75]'"),
        (["schedule.milestones=[100]"], ("schedule.milestones", "100"), "milestones='[75]'"),
        (["schedule.warmup=100"], ("schedule.warmup", "100"), "schedule.warmup=10"),
        (["alphas=[0.1, 0.3]"], ("alphas", "held_out", "0"), "held_out=0.1"),
        (["alphas=[0.1]", "held_out=0.1", "reg=[onehot, mixup]"], ("alphas", "onehot, mixup"), "--reg onehot,ls,vs"),
        (["data.mean=[0.5, 0.5]"], ("mean has 2", "std 1"), "data.mean='[0.5]'"),
        (["reg=[]"], ("`reg` names no method",), "--reg onehot,ls"),
    ],
)
def test_keys_that_contradict_each_other_are_refused_with_what_mends_them(settings, told, remedy):
    error = refused(settings=settings)

    assert [part for part in told if part not in error.problem] == []
    assert remedy in error.remedy


def test_what_mends_milestones_is_accepted():
    error = refused("digits", settings=["schedule.milestones=[100, 150]", "epochs=30"])
    mended = error.remedy.removeprefix("--set ").replace("'", "")

    recipe = load("digits", settings=[mended, "epochs=30"]).recipe

    assert recipe.schedule.milestones == (15.0, 22.5)  # of 30 epochs as 100 and 150 are of 200


@pytest.mark.parametrize(
    ("setting", "where", "remedy"),
    [
        ("epoch=3", "a recipe has no key `epoch`, which is 3", "`epochs` instead of `epoch`"),
        ("optimizer.lr=0.5", "`optimizer` has no key `lr`, which is 0.5", "repaudit list recipes digits"),
        ("data.limits=3", "`data` has no key `limits`", "`limit` instead of `limits`"),
    ],
)
def test_an_unknown_key_is_refused_with_its_value_and_the_known_ones(setting, where, remedy):
    error = refused(settings=[setting])

    assert where in error.problem
    assert error.detail.startswith("known: ")
    assert error.remedy == remedy


def test_an_unknown_way_to_make_labels_soft_is_refused_with_the_nearest():
    error = refused(given={"reg": ["onehot", "cutmx"]})

    assert "`cutmx`" in error.problem
    assert error.remedy == "--reg cutmix"


def test_two_mixings_in_one_method_are_refused():
    assert "of one kind" in refused(given={"reg": ["mixup+cutmix"]}).problem


def test_a_name_that_is_no_recipe_is_refused_with_the_nearest():
    assert refused("digit").remedy == "--recipe digits"
    assert refused("nowhere.yaml").remedy == "repaudit list recipes"


def test_a_file_that_is_no_recipe_is_refused(tmp_path):
    (tmp_path / "list.yaml").write_text("- epochs: 3\n")
    (tmp_path / "broken.yaml").write_text("epochs: 3\nls: {alpha: 0.1\n")

    assert "holds no recipe" in refused(str(tmp_path / "list.yaml")).problem
    assert "is no YAML" in refused(str(tmp_path / "broken.yaml")).problem


def test_a_recipe_that_extends_itself_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")

    assert "extends itself" in refused(str(tmp_path / "a.yaml")).problem


def test_a_recipe_changes_only_what_it_says_of_the_one_that_it_extends(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: digits\nepochs: 7\noptimizer: {rate: 0.05}\n")
    own, digits = load(str(tmp_path / "mine.yaml")), load("digits").recipe

    assert own.name == "mine.yaml"
    changed = {"epochs": 7, "optimizer": digits.optimizer.model_copy(update={"rate": 0.05})}
    assert own.recipe == digits.model_copy(update=changed)


def test_an_objective_of_another_name_leaves_the_other_s_options_behind(tmp_path):
    (tmp_path / "below.yaml").write_text("objective: {name: trades, beta: 6}\n")
    (tmp_path / "same.yaml").write_text("extends: below.yaml\nobjective: {steps: 3}\n")
    (tmp_path / "other.yaml").write_text("extends: below.yaml\nobjective: {name: at, steps: 3}\n")

    assert load(str(tmp_path / "same.yaml")).recipe.objective.model_extra == {"beta": 6, "steps": 3}
    assert load(str(tmp_path / "other.yaml")).recipe.objective.model_extra == {"steps": 3}


def test_flags_win_over_settings_and_settings_over_the_file():
    recipe = load("digits", settings=["epochs=5", "seeds=2"], given={"epochs": 4}).recipe

    assert (recipe.epochs, recipe.seeds, recipe.batch_size) == (4, 2, 64)


def test_a_method_or_a_mass_that_is_named_twice_is_run_once():
    recipe = Recipe.model_validate({"reg": ["vs", "VS ", "onehot"], "alphas": [0.3, 0.3], "held_out": 0.1, "seeds": 1})

    assert [run.name for run in runs_of(recipe)] == ["vs-alpha0.3-seed0", "onehot-seed0"]


def test_the_hash_of_a_recipe_is_that_of_what_decides_weights():
    same = load("digits", settings=["about=other words", "seeds=9", "reg=[vs]", "scan.profile=standard"]).recipe

    assert same.sha256 == load("digits").recipe.sha256
    assert load("digits", settings=["epochs=99"]).recipe.sha256 != same.sha256


def test_a_mistake_in_a_recipe_ends_with_status_2(capsys):
    assert main(["train", "--set", "vs.virtual=0", "--plan"]) == 2
    assert "`vs.virtual` cannot be 0" in capsys.readouterr().err


def test_hostile_text_in_a_recipe_is_quoted_on_one_short_line(tmp_path):
    (tmp_path / "bad.yaml").write_text('"\\e[31mkey\\n' + "k" * 500 + '": "' + "x" * 10_000 + '"\n')

    error = refused(str(tmp_path / "bad.yaml"))

    assert "\x1b" not in error.problem + error.remedy
    assert len(error.problem) < 400
