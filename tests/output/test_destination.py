"""Outputs are tried before anything is measured, and nothing that is not ours is overwritten."""

import os

import pytest

from repaudit.errors import InvalidOutput
from repaudit.output import Format, prepare


def test_a_dash_is_stdout_and_a_name_without_suffix_a_folder(tmp_path):
    outputs = prepare(("-", str(tmp_path / "out"), str(tmp_path / "r.json")))

    assert outputs.stdout
    assert {target.path for target in outputs.files} == {
        tmp_path / "out" / "report.json",
        tmp_path / "out" / "report.html",
        tmp_path / "out" / "report.md",
        tmp_path / "r.json",
    }
    assert outputs.folders == (tmp_path / "out",)
    assert (tmp_path / "out").is_dir()


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.json", Format.JSON),
        ("a.html", Format.HTML),
        ("a.md", Format.MARKDOWN),
        ("a.xml", Format.JUNIT),
        ("a.csv", Format.CSV),
    ],
)
def test_the_extension_says_the_format(tmp_path, name, format):
    (target,) = prepare((str(tmp_path / name),)).files

    assert target.format is format


def test_a_slash_at_the_end_makes_a_folder_of_a_name_with_a_dot(tmp_path):
    assert prepare((f"{tmp_path}/model.v2/",)).folders == (tmp_path / "model.v2",)


def test_json_is_written_before_anything_that_could_go_wrong(tmp_path):
    outputs = prepare((str(tmp_path / "a.html"), str(tmp_path / "b.csv"), str(tmp_path / "c.json")))

    assert outputs.files[0].format is Format.JSON


@pytest.mark.parametrize("name", ["index.html", "README.md", "build.xml", "data.csv"])
def test_somebody_elses_file_of_any_format_is_never_overwritten(tmp_path, name):
    (tmp_path / name).write_text("<html>mine</html>")

    with pytest.raises(InvalidOutput, match="no report of repaudit"):
        prepare((str(tmp_path / name),))


def test_somebody_elses_figures_are_never_overwritten(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "thesis.svg").write_text("<svg/>")

    with pytest.raises(InvalidOutput, match="figures"):
        prepare((str(tmp_path),))


@pytest.mark.parametrize("name", ["report.pdf", "report.yaml"])
def test_a_format_that_does_not_exist_is_refused_with_one_that_does(tmp_path, name):
    with pytest.raises(InvalidOutput) as refused:
        prepare((str(tmp_path / name),))
    assert refused.value.remedy.endswith("report.json")
    assert ".html" in refused.value.detail


@pytest.mark.parametrize("name", ["", " "])
def test_a_name_that_a_variable_left_empty_is_no_place(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InvalidOutput, match="empty"):
        prepare((name,))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "meant"), [(".json", "report.json"), ("out/.XML", "out/report.xml")])
def test_an_extension_alone_is_no_folder(tmp_path, monkeypatch, name, meant):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InvalidOutput) as refused:
        prepare((name,))
    assert refused.value.remedy == f"-o {meant}"
    assert list(tmp_path.iterdir()) == []


def test_an_extension_in_capitals_is_suggested_in_small_letters(tmp_path):
    with pytest.raises(InvalidOutput) as refused:
        prepare((str(tmp_path / "r.HTML"),))
    assert refused.value.remedy == f"-o {tmp_path / 'r.html'}"


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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.csv", "id,model,accuracy\n1,resnet,0.7\n"),
        ("mine.csv", "id,metric,value,unit,mine\n"),
        ("notes.md", "# About <!-- repaudit report -->\n"),
        ("board.json", '{"tool": {"name": "repaudit"}, "kind": "comparison"}'),
    ],
)
def test_a_file_that_only_resembles_a_report_is_left_as_it_is(tmp_path, name, text):
    (tmp_path / name).write_text(text)

    with pytest.raises(InvalidOutput, match="is no report of repaudit"):
        prepare((str(tmp_path / name),))


@pytest.mark.parametrize(("place", "rows"), [("", "per_image.npz"), ("x.json", "x.per_image.npz")])
def test_somebody_elses_rows_are_never_overwritten(tmp_path, place, rows):
    (tmp_path / rows).write_text("mine")

    with pytest.raises(InvalidOutput, match="no report of repaudit lies beside it"):
        prepare((str(tmp_path / place),))
