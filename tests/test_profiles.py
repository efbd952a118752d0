"""Which profile is meant, what it extends to, and what the command line changes."""

import json
import re
from datetime import date
from pathlib import Path

import pytest

from repaudit.errors import InvalidProfile
from repaudit.profiles import Severity, Waiver, load, names

QUICK = {"attacks": ["fgsm", "pgd_w"], "limit": 256, "perturbation_limit": 64}


def profile(directory: Path, reference: str | None = None, **changes):
    options = {"audits": None, "settings": [], "limit": None} | changes
    return load(reference, directory=directory, **options)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refusal(directory: Path, reference: str | None = None, **changes) -> InvalidProfile:
    with pytest.raises(InvalidProfile) as refused:
        profile(directory, reference, **changes)
    return refused.value


# --- finding


def test_without_any_file_the_profile_is_quick(tmp_path):
    found = profile(tmp_path)

    assert found.name == "quick"
    assert list(found.audits) == ["accuracy", "calibration", "geometry", "cones", "robustness"]
    assert found.audits["robustness"] == QUICK
    assert found.gates == ()


def test_repaudit_yaml_of_the_working_directory_wins_over_pyproject(tmp_path):
    put(tmp_path / "repaudit.yaml", "audits: [accuracy]\ngates: [top1 >= 0.75]")
    put(tmp_path / "pyproject.toml", "[tool.repaudit]\naudits = ['cones']")

    found = profile(tmp_path)

    assert (found.name, list(found.audits)) == ("repaudit.yaml", ["accuracy"])
    assert [gate.text for gate in found.gates] == ["top1 >= 0.75"]


def test_the_nearest_table_up_to_the_repository_root_is_found(tmp_path):
    put(tmp_path / "pyproject.toml", "[tool.repaudit]\naudits = ['cones']\nlimit = 7")
    put(tmp_path / "src" / "pyproject.toml", "[project]\nname = 'x'")
    below = tmp_path / "src" / "deep"
    below.mkdir(parents=True)

    assert profile(below).name == "quick"
    (tmp_path / ".git").mkdir()
    found = profile(below)
    assert (found.name, list(found.audits), found.limit) == ("pyproject.toml", ["cones"], 7)
    (below / ".git").mkdir()
    assert profile(below).name == "quick"


def test_a_shipped_name_means_the_shipped_profile_even_beside_a_file_of_that_name(tmp_path):
    put(tmp_path / "quick", "audits: [cones]")

    assert len(profile(tmp_path, "quick").audits) == 5


def test_an_unknown_profile_is_refused_with_the_nearest(tmp_path):
    assert refusal(tmp_path, "standrad").remedy == "--profile standard"
    assert "mine.yaml" in refusal(tmp_path, "mine.yaml").problem


# --- extends


def test_parameters_merge_key_by_key_along_extends_and_lists_replace(tmp_path):
    put(
        tmp_path / "base.yaml",
        "audits: {a: {x: 1, deep: {p: 1, q: [1, 2]}}, b: {y: 2}}\ngates: [top1 >= 0.5]\nlimit: 9",
    )
    put(tmp_path / "own.yaml", "extends: base.yaml\naudits: {a: {deep: {q: [3]}}, c: }\ngates: [ece <= 0.1]")

    found = profile(tmp_path, "own.yaml")

    assert found.audits == {"a": {"x": 1, "deep": {"p": 1, "q": [3]}}, "b": {"y": 2}, "c": {}}
    assert [gate.text for gate in found.gates] == ["ece <= 0.1"]
    assert found.limit == 9


def test_a_list_of_audits_replaces_the_set_and_keeps_their_parameters(tmp_path):
    put(tmp_path / "own.yaml", "extends: quick\naudits: [robustness, selective]")

    assert profile(tmp_path, "own.yaml").audits == {
        "robustness": QUICK,
        "selective": {},
    }


def test_standard_is_quick_with_more(tmp_path):
    quick, standard = profile(tmp_path, "quick"), profile(tmp_path, "standard")

    assert set(standard.audits) == {*quick.audits, "selective", "masking"}
    assert standard.audits["robustness"] == {
        "attacks": ["fgsm", "pgd_w", "pgd_s", "autoattack_s"],
        "limit": 1000,
        "perturbation_limit": 256,
    }


def test_a_path_in_extends_is_relative_to_its_own_file(tmp_path):
    put(tmp_path / "team" / "base.yaml", "audits: [cones]")
    put(tmp_path / "team" / "own.yaml", "extends: ./base.yaml")
    put(tmp_path / "base.yaml", "audits: [accuracy]")

    assert list(profile(tmp_path, "team/own.yaml").audits) == ["cones"]


def test_profiles_that_extend_each_other_are_refused_with_the_circle(tmp_path):
    put(tmp_path / "a.yaml", "extends: b.yaml")
    put(tmp_path / "b.yaml", "extends: a.yaml")

    assert refusal(tmp_path, "a.yaml").detail == "a.yaml → b.yaml → a.yaml"


def test_an_unknown_parent_is_refused_with_the_line_that_names_it(tmp_path):
    put(tmp_path / "own.yaml", "limit: 5\nextends: qiuck")

    error = refusal(tmp_path, "own.yaml")
    assert error.problem.startswith("own.yaml:2:")
    assert error.remedy == "extends: quick"


def test_gates_alone_judge_what_quick_measures(tmp_path):
    put(tmp_path / "repaudit.yaml", "gates: [top1 >= 0.75, ece <= 0.05 @95%]")

    found = profile(tmp_path)

    assert found.name == "repaudit.yaml"
    assert found.audits == profile(tmp_path, "quick").audits
    assert [gate.text for gate in found.gates] == ["top1 >= 0.75", "ece <= 0.05 @95%"]


def test_gates_that_are_extended_add_no_audits_to_those_of_the_file_that_extends_them(tmp_path):
    put(tmp_path / "gates.yaml", "gates: [top1 >= 0.75]")
    put(tmp_path / "own.yaml", "extends: gates.yaml\naudits: {accuracy: {}}")

    assert list(profile(tmp_path, "own.yaml").audits) == ["accuracy"]


# --- where a mistake is mended


@pytest.mark.parametrize(
    ("text", "place", "where"),
    [
        ("extends: quick\naudits:\n  calibration:\n    bin: 3", ("audits", "calibration", "bin"), "own.yaml:4: "),
        ("audits:\n  - accuracy\n  - cnes", ("audits", "cnes"), "own.yaml:3: "),
        ("audits: [accuracy]\ngates:\n  - top1 >= 0.5\n  - x <= 1", ("gates", 1), "own.yaml:4: "),
        ("extends: quick\nlimit: 5", ("audits", "robustness", "attacks"), ""),
    ],
)
def test_a_value_is_located_in_the_file_that_says_it_and_nowhere_else(tmp_path, text, place, where):
    put(tmp_path / "own.yaml", text)
    error = InvalidProfile("wrong", remedy="on the command line")

    told = profile(tmp_path, "own.yaml").located(error, *place, edit="in the file")

    assert told.problem == f"{where}wrong"
    assert told.remedy == ("in the file" if where else "on the command line")


def test_what_the_command_line_says_is_not_blamed_on_the_file(tmp_path):
    put(tmp_path / "own.yaml", "audits: {calibration: {bins: 3}}\ngates: [top1 >= 0.5]")
    found = profile(
        tmp_path, "own.yaml", audits=["calibration", "cnes"], settings=["calibration.bins=4", "gates=[x <= 1]"]
    )
    error = InvalidProfile("wrong", remedy="mended")

    for place in (("audits", "cnes"), ("audits", "calibration", "bins"), ("gates", 0)):
        assert found.located(error, *place).problem == "wrong"
    assert found.located(error, "audits", "calibration").problem == "own.yaml:1: wrong"


def test_a_setting_that_mends_the_command_line_mends_a_file_as_yaml(tmp_path):
    put(tmp_path / "own.yaml", "audits: [robustness]\ngates: [x <= 1]")
    error = InvalidProfile("wrong", remedy="--set 'robustness.attacks=[fgsm, pgd_s]'")

    told = profile(tmp_path, "own.yaml").located(error, "gates", 0)

    assert told.remedy == "audits: {robustness: {attacks: [fgsm, pgd_s]}}"


def test_a_mistake_in_a_table_names_the_table(tmp_path):
    put(tmp_path / "pyproject.toml", "[tool.repaudit]\naudits = ['cnes']")

    told = profile(tmp_path).located(InvalidProfile("wrong"), "audits", "cnes")

    assert told.problem == "pyproject.toml [tool.repaudit]: wrong"


def test_a_key_that_stands_twice_is_refused_with_both_lines_and_a_way_out(tmp_path):
    put(tmp_path / "own.yaml", "limit: 5\naudits: [accuracy]\nlimit: 6")

    error = refusal(tmp_path, "own.yaml")

    assert error.problem.startswith("own.yaml:3:")
    assert "line 1" in error.detail
    assert "`limit:`" in error.remedy


# --- what files may say


@pytest.mark.parametrize(
    ("text", "where", "named"),
    [
        ("limit: 5\naudit: [accuracy]", "own.yaml:2", "`audits:`"),
        ("audits: [accuracy]\ngate: [top1 >= 1]", "own.yaml:2", "`gates:`"),
        ("plugins: []", "own.yaml:1", ""),
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_key(tmp_path, text, where, named):
    put(tmp_path / "own.yaml", text)

    error = refusal(tmp_path, "own.yaml")

    assert error.problem.startswith(f"{where}:")
    assert error.remedy.startswith(named)


@pytest.mark.parametrize(
    ("text", "line", "seen"),
    [
        ("audits: [accuracy]\nlimit: 0", 2, "0"),
        ("audits: [accuracy]\nlimit: yes", 2, "True"),
        ("audits: [accuracy]\nlimit: 1.5", 2, "1.5"),
        ("version: 2", 1, "2"),
        ("seed: -1", 1, "-1"),
        ("audits: accuracy", 1, "'accuracy'"),
        ("audits: {accuracy: 5}", 1, "5"),
        ("audits: [1]", 1, "1"),
        ("gates: top1 >= 0.5", 1, "top1"),
        ("limit: 5\ngates:\n  - top1 >= 0.5\n  - top1 > 0.5", 4, "top1 > 0.5"),
        ("gates:\n  - {if: top1 >= 0.5, level: wran}", 2, "wran"),
        ("gates:\n  - {if: top1 >= 0.5, until: 5}", 2, "until"),
        ("gates: [{level: warn}]", 1, "if"),
        ("limit: 5\nlimit: 6", 2, "limit"),
        ("audits: {a: {x: 1,\n x: 2}}", 2, "x"),
        ("audits: [accuracy", 1, "YAML"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_line_and_what_was_seen(tmp_path, text, line, seen):
    put(tmp_path / "own.yaml", text)

    error = refusal(tmp_path, "own.yaml")

    assert error.problem.startswith(f"own.yaml:{line}:")
    assert seen in error.problem + error.detail


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- accuracy", "mapping"),
        ("audits: {a: {day: 2024-01-01}}", "date"),
        ("audits: {a: {x: .inf}}", "inf"),
        ("audits: {a: {1: 2}}", "quote it"),
        ("a: &x [1]\nb: *x", "alias"),
        ("limit: 5", "names no audit"),
        ("", "names no audit"),
    ],
)
def test_what_a_report_could_not_keep_is_refused(tmp_path, text, named):
    put(tmp_path / "own.yaml", text)

    assert named in refusal(tmp_path, "own.yaml").problem


def test_a_profile_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "own.yaml").write_bytes(b"\xff\xfe")

    assert "UTF-8" in refusal(tmp_path, "own.yaml").problem


def test_numbers_in_scientific_notation_are_numbers(tmp_path):
    put(tmp_path / "own.yaml", "audits: {a: {rate: 1e-3, radius: 8/255}}")

    assert profile(tmp_path, "own.yaml").audits == {"a": {"rate": 0.001, "radius": "8/255"}}


def test_a_gate_may_only_warn(tmp_path):
    put(tmp_path / "own.yaml", "audits: [accuracy]\ngates: [{if: top1 >= 0.9 @95%, level: warn}, top1 >= 0.5]")

    found = profile(tmp_path, "own.yaml")

    assert [gate.severity for gate in found.gates] == [Severity.WARN, Severity.FAIL]
    assert found.resolved["gates"] == [{"if": "top1 >= 0.9 @95%", "level": "warn"}, "top1 >= 0.5"]


# --- waivers

DAY = "2026-12-31"
WAIVER = f"{{gate: ece, until: {DAY}, reason: a fix is under way}}"


def test_a_waiver_is_read_with_its_day_quoted_or_not_in_yaml_in_toml_and_after_set(tmp_path):
    put(tmp_path / "plain.yaml", f"audits: [accuracy]\nwaivers: [{WAIVER}]")
    put(tmp_path / "quoted.yaml", f"audits: [accuracy]\nwaivers: [{WAIVER.replace(DAY, repr(DAY))}]")
    toml = "[tool.repaudit]\naudits = ['accuracy']\n[[tool.repaudit.waivers]]\ngate = 'ece'\nuntil = {}\nreason = '{}'"
    put(tmp_path / "day.toml", toml.format("2026-12-31", "a fix is under way"))
    put(tmp_path / "text.toml", toml.format("'2026-12-31'", "a fix is under way"))
    put(tmp_path / "bare.yaml", "audits: [accuracy]")

    found = [profile(tmp_path, name) for name in ("plain.yaml", "quoted.yaml", "day.toml", "text.toml")]
    found.append(profile(tmp_path, "bare.yaml", settings=[f"waivers=[{WAIVER}]"]))

    expected = Waiver(gate="ece", until=date(2026, 12, 31), reason="a fix is under way", model=None)
    assert [each.waivers for each in found] == [(expected,)] * 5
    assert {each.sha256 for each in found} == {found[0].sha256}
    entry = {"gate": "ece", "until": "2026-12-31", "reason": "a fix is under way"}
    assert json.loads(json.dumps(found[0].resolved))["waivers"] == [entry]


def test_a_list_of_waivers_replaces_the_one_that_is_extended(tmp_path):
    put(tmp_path / "base.yaml", f"audits: [accuracy]\ngates: [top1 >= 0.9]\nwaivers: [{WAIVER}]")
    put(tmp_path / "keeps.yaml", "extends: base.yaml\ngates: [top1 >= 0.5]")
    put(tmp_path / "own.yaml", f"extends: base.yaml\nwaivers: [{WAIVER.replace('ece', 'top1')}]")

    assert [each.gate for each in profile(tmp_path, "keeps.yaml").waivers] == ["ece"]
    assert [each.gate for each in profile(tmp_path, "own.yaml").waivers] == ["top1"]
    assert profile(tmp_path, "own.yaml", settings=["waivers=[]"]).waivers == ()
    assert profile(tmp_path, "quick").waivers == ()


def test_a_day_however_far_and_a_gate_that_nobody_has_are_no_mistakes(tmp_path):
    put(tmp_path / "own.yaml", "audits: [accuracy]\nwaivers: [{gate: 'nc9 < x', until: 9999-12-31, reason: why}]")

    assert profile(tmp_path, "own.yaml").waivers == (Waiver(gate="nc9 < x", until=date.max, reason="why"),)


@pytest.mark.parametrize(
    ("entry", "line", "seen", "remedy"),
    [
        ("gate: ece\n    reason: why", 3, "needs `until`", "until: YYYY-MM-DD"),
        ("gate: ece\n    until: 2026-12-31", 3, "needs `reason`", "reason: "),
        ("reason: why\n    until: 2026-12-31", 3, "needs `gate`", "gate: ece"),
        ("gate: ece\n    until: 2026-12-31\n    reason: ''", 5, "''", "reason: "),
        ("gate: ece\n    until: 2026-12-31\n    reason: ' \t'", 5, "reason", "reason: "),
        ("gate: ece\n    until: 2026-12-31\n    reason:", 5, "None", "reason: "),
        ("gate: ece\n    until: 2026-12-31\n    reason: 412", 5, "412", "reason: "),
        ("gate: [ece]\n    until: 2026-12-31\n    reason: why", 3, "['ece']", "gate: ece"),
        ("gate: ece\n    until: 2026-12-31\n    reason: why\n    model: ''", 6, "''", "model: "),
        ("gate: ece\n    until: soon\n    reason: why", 4, "'soon'", "until: YYYY-MM-DD"),
        ("gate: ece\n    until: 2026-02-30\n    reason: why", 4, "'2026-02-30'", "until: YYYY-MM-DD"),
        ("gate: ece\n    until: 31.12.2026\n    reason: why", 4, "'31.12.2026'", "until: YYYY-MM-DD"),
        ("gate: ece\n    until: 2026-1-5\n    reason: why", 4, "'2026-1-5'", "until: 2026-01-05"),
        ("gate: ece\n    until: 20261231\n    reason: why", 4, "20261231", "until: 2026-12-31"),
        ("gate: ece\n    until: '20261231'\n    reason: why", 4, "20261231", "until: 2026-12-31"),
        ("gate: ece\n    until: 2026-12-31 10:00:00\n    reason: why", 4, "10:00:00", "until: 2026-12-31"),
        ("gate: ece\n    until: 2026\n    reason: why", 4, "2026", "until: YYYY-MM-DD"),
        ("gate: ece\n    until:\n    reason: why", 4, "None", "until: YYYY-MM-DD"),
        ("gate: ece\n    untl: 2026-12-31\n    reason: why", 4, "no key `untl`", "`until:` instead of `untl:`"),
        ("gate: ece\n    until: 2026-12-31\n    reason: why\n    level: warn", 6, "no key `level`", ""),
    ],
)
def test_a_waiver_that_does_not_say_all_is_refused_with_its_line_what_was_seen_and_what_mends_it(
    tmp_path, entry, line, seen, remedy
):
    put(tmp_path / "own.yaml", f"audits: [accuracy]\nwaivers:\n  - {entry}")

    error = refusal(tmp_path, "own.yaml")

    assert error.problem.startswith(f"own.yaml:{line}: ")
    assert seen in error.problem
    assert error.remedy.startswith(remedy)
    assert error.exit_status == 2


@pytest.mark.parametrize("waivers", ["ece", "{ece: 2026-12-31}", "[ece]", "[[ece]]"])
def test_waivers_of_another_form_are_refused_with_the_right_one(tmp_path, waivers):
    put(tmp_path / "own.yaml", f"audits: [accuracy]\nwaivers: {waivers}")

    error = refusal(tmp_path, "own.yaml")

    assert error.problem.startswith("own.yaml:2: `waivers` cannot be")
    assert "{gate: ece, until: YYYY-MM-DD, reason: why}" in error.detail


def test_a_date_elsewhere_than_in_a_waiver_is_refused_still(tmp_path):
    put(tmp_path / "own.yaml", "audits: [accuracy]\nmodel: 2026-01-01")
    put(tmp_path / "own.toml", "[tool.repaudit]\nlimit = 2026-12-31")

    assert "2026-01-01 is read as a date: quote it" in refusal(tmp_path, "own.yaml").problem
    assert "2026-12-31 is read as a date: quote it" in refusal(tmp_path, "own.toml").problem


@pytest.mark.parametrize(
    ("text", "line", "seen"),
    [
        ("audits: [accuracy]\nmodel: 2026-01-01", 2, "2026-01-01 is read as a date"),
        ("audits:\n  geometry:\n    x: [1, 2026-01-01]", 3, "2026-01-01 is read as a date"),
        ("audits:\n  geometry:\n    x: .inf", 3, "inf is no number"),
        ("audits:\n  geometry:\n    1: 2", 3, "the key 1 is no text"),
        ("audits: [accuracy]\ngates:\n  - {if: ece <= 0.05,\n     until: 2026-01-01}", 4, "is read as a date"),
    ],
)
def test_what_a_report_could_not_keep_is_refused_with_its_line(tmp_path, text, line, seen):
    put(tmp_path / "own.yaml", text)
    problem = refusal(tmp_path, "own.yaml").problem

    assert problem.startswith(f"own.yaml:{line}: ")
    assert seen in problem


def test_an_unknown_key_is_told_before_the_dates_below_it(tmp_path):
    put(tmp_path / "own.yaml", "gates: [ece <= 0.05]\nwaiver:\n  - {gate: ece, until: 2026-12-31, reason: why}")
    put(tmp_path / "own.toml", "[tool.repaudit]\nwaiver = [{gate = 'ece', until = 2026-12-31, reason = 'why'}]")
    in_yaml, in_toml = refusal(tmp_path, "own.yaml"), refusal(tmp_path, "own.toml")

    assert in_yaml.problem == "own.yaml:2: a profile has no key `waiver`"
    assert in_toml.problem == "own.toml [tool.repaudit]: a profile has no key `waiver`"
    assert in_yaml.remedy == in_toml.remedy == "`waivers:` instead of `waiver:`"


def test_a_folder_is_no_profile_and_is_called_one(tmp_path):
    (tmp_path / "dd.yaml").mkdir()

    assert refusal(tmp_path, "dd.yaml").problem == "dd.yaml is a folder, and a profile is a file"
    assert refusal(tmp_path, "dd.yaml").remedy == "repaudit list profiles"
    put(tmp_path / "dd.yaml" / "repaudit.yaml", "extends: quick")
    assert refusal(tmp_path, "dd.yaml").remedy == "--profile dd.yaml/repaudit.yaml"


def test_a_waiver_on_the_command_line_and_in_a_table_is_refused_by_its_place(tmp_path):
    put(tmp_path / "own.toml", "[tool.repaudit]\naudits = ['accuracy']\nwaivers = [{gate = 'ece', reason = 'why'}]")

    assert refusal(tmp_path, "own.toml").problem.startswith("own.toml [tool.repaudit]: a waiver needs `until`")
    by_hand = refusal(tmp_path, "quick", settings=["waivers=[{gate: ece, until: 2026-12-31}]"])
    assert by_hand.problem.startswith("--set: a waiver needs `reason`")


def test_toml_says_the_same_as_yaml(tmp_path):
    put(
        tmp_path / "pyproject.toml", "[tool.repaudit]\nextends = 'quick'\n[tool.repaudit.audits.calibration]\nbins = 20"
    )
    put(tmp_path / "own.yaml", "extends: quick\naudits: {calibration: {bins: 20}}")

    assert profile(tmp_path).sha256 == profile(tmp_path, "own.yaml").sha256


def test_an_unknown_key_of_a_table_is_refused(tmp_path):
    put(tmp_path / "pyproject.toml", "[tool.repaudit]\naudit = ['cones']")

    error = refusal(tmp_path)
    assert "pyproject.toml [tool.repaudit]" in error.problem
    assert error.remedy.startswith("`audits:`")


# --- the command line


def test_settings_reach_parameters_with_or_without_the_prefix(tmp_path):
    with_prefix = profile(tmp_path, settings=["audits.calibration.bins=20", "audits.robustness.attacks=[fgsm]"])
    without = profile(tmp_path, settings=["calibration.bins=20", "robustness.attacks=[fgsm]"])

    assert without.audits["calibration"] == {"bins": 20}
    assert without.audits["robustness"] == {**QUICK, "attacks": ["fgsm"]}
    assert with_prefix.resolved == without.resolved


def test_settings_make_the_same_profile_as_a_file_that_says_so(tmp_path):
    put(tmp_path / "own.yaml", "extends: quick\nlimit: 50\naudits: {geometry: {deep: {x: 1.5}}}\ngates: [top1 >= 0.5]")

    by_file = profile(tmp_path, "own.yaml")
    by_flags = profile(tmp_path, "quick", settings=["limit=50", "geometry.deep.x=1.5", "gates=[top1 >= 0.5]"])

    assert by_flags.sha256 == by_file.sha256
    assert by_flags.gates == by_file.gates


def test_model_arguments_are_kept_apart(tmp_path):
    found = profile(tmp_path, settings=["model.pad_type=same", "model.drop=1e-2", "model.deep=true", "model=other"])

    assert found.model_arguments == {"pad_type": "same", "drop": 0.01, "deep": True}
    assert found.model == "other"
    assert found.resolved["audits"] == profile(tmp_path).resolved["audits"]


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ("calibration", "calibration.bins=20"),
        ("=5", "calibration.bins=20"),
        ("calibration..bins=5", "calibration.bins=20"),
        ("calibraton.bins=20", "--set calibration.bins=…"),
        ("calibration=20", "calibration.limit"),
        ("limt=20", "--set limit=…"),
        ("model.size=[1, 2]", "model.size=VALUE"),
        ("calibration.bins=[1", "quoted"),
        ("calibration.day=2024-01-01", "calibration.day="),
        ("extends=quick", "--profile"),
        ("audits=[accuracy]", "--audits"),
        ("limit=-3", "docs/profiles.md"),
        ("gates=[top1 > 3]", "top1 >= 3"),
    ],
)
def test_a_setting_that_leads_nowhere_is_refused_with_one_that_does(tmp_path, setting, remedy):
    error = refusal(tmp_path, settings=[setting])

    assert remedy in error.remedy
    assert "--set" in error.problem


def test_choosing_audits_keeps_their_parameters_and_adds_unnamed_ones_with_defaults(tmp_path):
    found = profile(tmp_path, audits=["robustness", "selective"])

    assert found.audits == {"robustness": QUICK, "selective": {}}


def test_a_setting_of_an_audit_that_was_not_chosen_is_refused(tmp_path):
    error = refusal(tmp_path, audits=["accuracy"], settings=["geometry.center=sgd"])

    assert error.remedy == "--audits accuracy,geometry"


def test_no_audits_at_all_are_refused(tmp_path):
    error = refusal(tmp_path, audits=[])

    assert error.problem == "--audits names no audit"
    assert error.remedy == "--audits accuracy,calibration"


def test_the_limit_of_the_command_line_wins_over_the_profile(tmp_path):
    put(tmp_path / "own.yaml", "extends: quick\nlimit: 50")

    assert profile(tmp_path, "own.yaml").limit == 50
    assert profile(tmp_path, "own.yaml", limit=20).limit == 20
    assert profile(tmp_path, "own.yaml", limit=20).resolved["limit"] == 20


def test_defaults_of_the_file_reach_the_caller(tmp_path):
    put(tmp_path / "own.yaml", "extends: quick\nmodel: resnet50.a1_in1k\ndata: imagenet-val\nseed: 3")

    found = profile(tmp_path, "own.yaml")

    assert (found.model, found.data, found.seed) == ("resnet50.a1_in1k", "imagenet-val", 3)


def test_the_digest_sees_every_change_and_no_difference_of_spelling(tmp_path):
    put(tmp_path / "one.yaml", "audits: {a: {x: 1, y: 2}, b: {}}")
    put(tmp_path / "two.yaml", "version: 1\n# same\naudits:\n  a:\n    y: 2\n    x: 1\n  b:\n")
    put(tmp_path / "three.yaml", "audits: {a: {x: 1, y: 3}, b: {}}")
    one, two, three = (profile(tmp_path, f"{name}.yaml") for name in ("one", "two", "three"))

    assert one.sha256 == two.sha256
    assert one.sha256 != three.sha256


def test_loading_leaves_the_shipped_profiles_as_they_are(tmp_path):
    before = json.dumps(profile(tmp_path, "standard").resolved)
    profile(
        tmp_path,
        "standard",
        settings=["robustness.limit=1", "calibration.bins=3"],
        audits=["robustness", "calibration"],
    )

    assert json.dumps(profile(tmp_path, "standard").resolved) == before


# --- the documentation

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", (DOCS / "profiles.md").read_text(), re.DOTALL))
def test_every_profile_that_the_page_shows_loads(tmp_path, example):
    put(tmp_path / "repaudit.yaml", example)

    assert profile(tmp_path).gates


def test_every_shipped_profile_has_a_row_on_the_page():
    page = (DOCS / "profiles.md").read_text()

    assert [name for name in names() if f"| `{name}` |" not in page] == []
