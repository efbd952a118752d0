"""Outputs are tried before anything is measured, and nothing that is not ours is overwritten."""

import os

import pytest

from repaudit.cli._outputs import prepare
from repaudit.errors import InvalidOutput


def test_a_dash_is_stdout_and_a_name_without_suffix_a_folder(tmp_path):
    outputs = prepare(("-", str(tmp_path / "out"), str(tmp_path / "r.json")))

    assert outputs.stdout
    assert outputs.files == (tmp_path / "out" / "report.json", tmp_path / "r.json")
    assert (tmp_path / "out").is_dir()


@pytest.mark.parametrize("name", ["report.pdf", "report.yaml"])
def test_a_format_that_does_not_exist_is_refused_with_one_that_does(tmp_path, name):
    with pytest.raises(InvalidOutput) as refused:
        prepare((str(tmp_path / name),))
    assert refused.value.remedy.endswith("report.json")


def test_a_missing_folder_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(InvalidOutput) as refused:
        prepare((str(tmp_path / "no" / "such" / "r.json"),))
    assert refused.value.remedy == f"mkdir -p {tmp_path / 'no' / 'such'}"


def test_somebody_elses_json_is_never_overwritten(tmp_path):
    precious = tmp_path / "package.json"
    precious.write_text('{"name": "mine"}')

    with pytest.raises(InvalidOutput, match="no report of repaudit"):
        prepare((str(precious),))
    assert precious.read_text() == '{"name": "mine"}'


def test_a_truncated_file_is_not_taken_for_a_report(tmp_path):
    (tmp_path / "r.json").write_text('{"tool": {"name": "repau')

    with pytest.raises(InvalidOutput):
        prepare((str(tmp_path / "r.json"),))


def test_a_folder_that_cannot_be_written_is_found_out_beforehand(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)

    with pytest.raises(InvalidOutput, match="cannot be written"):
        prepare((str(tmp_path / "r.json"),))


def test_trying_an_output_leaves_nothing_behind(tmp_path):
    prepare((str(tmp_path / "r.json"),))

    assert list(tmp_path.iterdir()) == []
