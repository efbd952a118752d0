"""Whatever lies in the profiles folder loads, runs audits that exist, and is documented."""

import re
from pathlib import Path

import pytest

from repaudit import audits, shipped
from repaudit.profiles import load, names, summary


@pytest.fixture(params=names())
def name(request) -> str:
    return request.param


def test_a_shipped_profile_resolves_to_audits_and_parameters_that_exist(name, tmp_path):
    profile = load(name, audits=None, settings=[], limit=None, directory=tmp_path)

    assert profile.name == name
    assert profile.path is None
    bound = [audits.bind(audit, parameters) for audit, parameters in profile.audits.items()]
    assert [audit.id for audit in bound] == list(profile.audits)


def test_a_shipped_profile_says_in_one_line_what_it_is_for(name):
    assert summary(name).endswith(".")
    assert 20 < len(summary(name)) <= 110


def test_every_setting_of_a_shipped_profile_has_its_source_in_the_readme(name):
    page = (shipped.folder("profiles") / "README.md").read_text()
    own = (shipped.folder("profiles") / f"{name}.yaml").read_text()
    settings = re.findall(r"^ +(\w+): (?!\{\})\S", own, re.MULTILINE)

    assert f"| `{name}` |" in page
    assert [key for key in settings if not re.search(rf"[`.]{key}: ", page)] == []


def test_shipped_profiles_differ_in_what_they_do(tmp_path):
    digests = {load(each, audits=None, settings=[], limit=None, directory=tmp_path).sha256 for each in names()}

    assert len(digests) == len(names())


def test_the_folder_of_shipped_profiles_holds_nothing_else():
    files = {path.name for path in Path(shipped.folder("profiles")).iterdir()}

    assert files == {f"{each}.yaml" for each in names()} | {"README.md"}
