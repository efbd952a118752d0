"""What a profile may say of an attack."""

import pytest

from repaudit.attacks import load, names, presets, resolve
from repaudit.attacks.threat import Norm
from repaudit.errors import InvalidProfile

PGD = {"name": "pgd", "key": "pgd_2", "epsilon": "2/255", "steps": 20, "step_size": "0.5/255", "norm": "linf"}


def test_fgsm_and_pgd_are_found_by_listing_the_folder_and_the_engine_is_not():
    assert {"fgsm", "pgd"} <= set(names())
    assert not {"pool", "harness", "threat", "noise", "checks", "verdict"} & set(names())


@pytest.mark.parametrize(
    ("preset", "epsilon", "steps", "step_size"),
    [("pgd_w", 0.4 / 255, 7, 0.2 / 255), ("pgd_s", 8 / 255, 7, 2 / 255)],
)
def test_the_presets_are_the_settings_of_the_paper(preset, epsilon, steps, step_size):
    setting = resolve(preset)

    assert (setting.name, setting.key, setting.threat.norm) == ("pgd", preset, Norm.LINF)
    assert setting.threat.epsilon == pytest.approx(epsilon, rel=1e-15)
    assert (setting.options.steps, setting.options.start) == (steps, "uniform")
    assert setting.options.step_size == pytest.approx(step_size, rel=1e-15)


def test_fgsm_is_one_step_of_eight_levels():
    setting = resolve("fgsm")

    assert (setting.threat.epsilon, setting.members()[0].attack.steps) == (8 / 255, 1)


def test_a_mapping_names_everything_itself():
    setting = resolve({**PGD, "start": "clean"})

    assert (setting.key, setting.threat.epsilon, setting.options.steps) == ("pgd_2", 2 / 255, 20)
    assert setting.options.start == "clean"


def test_a_mapping_on_a_preset_overrides_only_what_it_names():
    setting = resolve({"name": "pgd_s", "key": "pgd_s_l2", "norm": "l2", "epsilon": 0.5, "restarts": 3})

    assert (setting.name, setting.threat.norm, setting.threat.epsilon) == ("pgd", Norm.L2, 0.5)
    assert (setting.options.steps, setting.options.restarts) == (7, 3)


@pytest.mark.parametrize("raw", ["fgsm", "pgd_w", PGD, {"name": "fgsm", "norm": "l2", "epsilon": 1.5, "key": "fgm"}])
def test_a_setting_written_out_resolves_to_itself(raw):
    setting = resolve(raw)

    assert resolve(setting.as_dict()) == setting


@pytest.mark.parametrize(("asked", "meant"), [("pgdw", "pgd_w"), ("fgms", "fgsm"), ("pdg", "pgd")])
def test_an_unknown_attack_is_refused_with_the_nearest_name(asked, meant):
    with pytest.raises(InvalidProfile) as refused:
        resolve(asked)

    assert asked in refused.value.problem
    assert meant in refused.value.remedy


def test_a_name_that_is_both_an_attack_and_a_preset_is_suggested_once():
    with pytest.raises(InvalidProfile) as refused:
        resolve("fgsmm")

    assert refused.value.remedy == "fgsm"


def test_loading_an_unknown_attack_suggests_the_nearest():
    with pytest.raises(InvalidProfile, match="pgg"):
        load("pgg")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"stepsize": 1}, "step_size"),
        ({"steps": 0}, "steps"),
        ({"steps": "many"}, "steps"),
        ({"step_size": "-1/255"}, "step_size"),
        ({"start": "middle"}, "start"),
        ({"restarts": 0}, "restarts"),
        ({"restarts": 2, "start": "clean"}, "restarts"),
        ({"norm": "linfinity"}, "linf"),
        ({"epsilon": "0"}, "epsilon"),
        ({"key": "Über"}, "key"),
        ({"key": "a.b"}, "key"),
        ({"key": "worst"}, "worst"),
        ({"key": 3}, "key"),
    ],
)
def test_a_wrong_option_is_refused_by_name(changed, named):
    with pytest.raises(InvalidProfile) as refused:
        resolve({**PGD, **changed})

    assert named in refused.value.render()


@pytest.mark.parametrize("missing", ["steps", "step_size", "epsilon"])
def test_what_pgd_needs_is_asked_for(missing):
    with pytest.raises(InvalidProfile) as refused:
        resolve({key: value for key, value in PGD.items() if key != missing})

    assert missing in refused.value.render() or "radius" in refused.value.problem


@pytest.mark.parametrize("raw", [None, 3, [], {}, {"epsilon": "8/255"}, {"name": 5}])
def test_an_entry_without_a_name_is_refused(raw):
    with pytest.raises(InvalidProfile, match="names no attack"):
        resolve(raw)


def test_fgsm_takes_no_steps():
    with pytest.raises(InvalidProfile, match="`steps`"):
        resolve({"name": "fgsm", "epsilon": "8/255", "steps": 3})


def test_every_preset_names_an_attack_that_exists():
    assert {entry["name"] for entry in presets().values()} <= set(names())
