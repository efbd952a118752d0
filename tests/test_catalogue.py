"""What exists can be looked up by name."""

import pytest

from repaudit import audits
from repaudit.catalogue import Kind, entries, page
from repaudit.errors import UsageError
from repaudit.metrics.paired import is_paired


@pytest.mark.parametrize("name", audits.names())
def test_an_audit_s_page_has_its_question_its_keys_and_every_parameter_with_its_default(name):
    found = page(Kind.AUDITS, name)
    parameters, metrics = found.sections.values()

    assert found.entry.summary == audits.load(name).question
    assert [entry.name for entry in parameters] == list(audits.load(name).parameters.model_fields)
    assert all(entry.summary.startswith("default ") for entry in parameters)
    assert [entry.name for entry in metrics] == list(audits.load(name).keys)


def test_defaults_are_shown_as_a_profile_writes_them():
    robustness = {entry.name: entry.summary for entry in next(iter(page(Kind.AUDITS, "robustness").sections.values()))}

    assert robustness["attacks"].startswith("default [fgsm, pgd_w]. ")
    assert robustness["limit"].startswith("default null. ")


def test_an_attack_s_page_tells_required_options_from_defaults_and_names_its_presets():
    options, presets = page(Kind.ATTACKS, "pgd").sections.values()
    said = {entry.name: entry.summary for entry in options}

    assert said["steps"].startswith("required. ")
    assert said["restarts"].startswith("default 1. ")
    assert [entry.name for entry in presets] == ["pgd_w", "pgd_s", "pgd_20"]


@pytest.mark.parametrize(
    ("kind", "name", "remedy"),
    [
        (Kind.AUDITS, "calibraton", "repaudit list audits calibration"),
        (Kind.ATTACKS, "pdg", "repaudit list attacks pgd"),
        (Kind.METRICS, "calibration.ecee", "repaudit list metrics calibration.ece"),
        (Kind.AUDITS, "§", "repaudit list audits"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(kind, name, remedy):
    with pytest.raises(UsageError) as refused:
        page(kind, name)

    assert refused.value.remedy == remedy


def test_a_preset_is_listed_and_has_the_page_of_its_attack():
    listed = {entry.name: entry.summary for entry in entries(Kind.ATTACKS)}

    assert "8/255" in listed["autoattack_s"]
    assert page(Kind.ATTACKS, "pgd_s").sections == page(Kind.ATTACKS, "pgd").sections


@pytest.mark.parametrize("name", audits.names())
def test_every_metric_of_an_audit_is_defined_once_with_its_source_and_nothing_else_is(name):
    audit = audits.load(name)

    assert sorted(audit.definitions) == sorted(audit.keys)
    for key, definition in audit.definitions.items():
        assert 20 < len(definition.text) < 320, key
        assert definition.text.endswith("."), key
        assert len(definition.source) > 5, key


def test_a_metric_s_page_says_what_it_is_its_unit_direction_and_source_by_its_short_name():
    (rows,) = page(Kind.METRICS, "ece").sections.values()
    said = {row.name: row.summary for row in rows}

    assert page(Kind.METRICS, "ece").entry.name == "calibration.ece"
    assert "15 equal-width bins (a, b]" in said["is"]
    assert "Naeini et al. 2015" in said["from"]
    assert (said["unit"], said["direction"]) == ("fraction", "lower is better")
    assert said["gate"] == "calibration.ece <= NUMBER @95%"
    assert "worse(calibration.ece)" in said["compared"]


def test_an_attack_s_metric_is_explained_by_the_pattern_that_it_fits():
    assert page(Kind.METRICS, "pgd_w.robust_accuracy").entry.name == "robustness.*.robust_accuracy"


@pytest.mark.parametrize("name", ["robustness.worst.asr", "worst.robust_accuracy", "worst.error_share"])
def test_all_attacks_together_are_not_offered_to_be_compared(name):
    (rows,) = page(Kind.METRICS, name).sections.values()
    said = {row.name: row.summary for row in rows}
    key = f"robustness.worst.{name.rpartition('.')[2]}"

    assert not is_paired(key)
    assert said["compared"].startswith("not at all")
    assert f"worse({key}" not in said["compared"]
    assert said["gate"].startswith(f"{key} ")


def test_one_attack_is_offered_by_its_own_key_and_the_pattern_names_its_exception():
    (rows,) = page(Kind.METRICS, "pgd_w.asr").sections.values()
    said = {row.name: row.summary for row in rows}
    listed = {entry.name: entry.summary for entry in entries(Kind.METRICS)}

    assert said["compared"].endswith("worse(robustness.pgd_w.asr) <= NUMBER @95%")
    assert listed["robustness.*.asr"] == "audit robustness, comparable by worse(…), but not worst"
    assert listed["calibration.ece"] == "audit calibration, comparable by worse(…)"
    assert "comparable" not in listed["robustness.*.perturbation_rms"]


def test_what_has_no_interval_is_not_offered_with_a_level_and_what_cannot_be_paired_not_as_compared():
    (rows,) = page(Kind.METRICS, "temperature").sections.values()
    said = {row.name: row.summary for row in rows}

    assert said["gate"] == "calibration.temperature <= or >= NUMBER"
    assert "compared" not in said


def test_a_short_name_of_several_metrics_is_refused_with_all_of_them():
    with pytest.raises(UsageError) as refused:
        page(Kind.METRICS, "class_mean")

    assert "geometry.pearson.class_mean" in refused.value.detail
    assert refused.value.remedy == "repaudit list metrics geometry.cosine.class_mean"


@pytest.mark.parametrize("name", ["resnet50", "resnet50.a1_in1k", "torchvision:resnet50", "resnet*"])
def test_an_architecture_among_the_model_sources_is_answered_with_the_table_of_heads(name):
    with pytest.raises(UsageError, match="is an architecture") as refusal:
        page(Kind.MODELS, name)

    assert refusal.value.remedy == f"repaudit list models {name} --head"
