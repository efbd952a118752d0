"""What exists can be looked up by name."""

import pytest

from repaudit import audits
from repaudit.catalogue import Kind, entries, page
from repaudit.errors import UsageError


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
