"""What holds of every data layout, those not yet written included."""

import re
from pathlib import Path

import pytest

from repaudit.data import DataRequest, Layout, load, names, open_images
from repaudit.errors import InvalidData
from repaudit.images import ImageSet
from repaudit.preprocessing import Preprocess
from repaudit.progress import SilentProgress

PAGE = Path(__file__).parents[1] / "docs" / "data.md"


@pytest.fixture(autouse=True)
def nothing_lies_around(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    monkeypatch.chdir(tmp_path)


def request(ref: str) -> DataRequest:
    return DataRequest(
        ref=ref,
        preprocess=Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3, source="test"),
        classes_count=10,
        class_ids=None,
        limit=None,
        seed=0,
        skip_bad_images=False,
        workers=0,
        progress=SilentProgress(),
    )


def opened(ref: str) -> ImageSet | InvalidData:
    try:
        return open_images(request(ref))
    except InvalidData as refusal:
        return refusal


@pytest.mark.parametrize("name", names())
def test_a_layout_says_in_one_line_how_it_is_called(name):
    layout = load(name)

    assert isinstance(layout, Layout)
    assert re.match(rf"{name}(\[?:| —)", layout.summary)
    assert len(layout.summary) <= 110
    assert "\n" not in layout.summary


@pytest.mark.parametrize("name", names())
def test_a_layout_refuses_a_path_that_does_not_exist_with_a_remedy(name):
    with pytest.raises(InvalidData) as raised:
        open_images(request(f"{name}:absent/at/all"))

    assert raised.value.exit_status == 2
    assert raised.value.remedy


@pytest.mark.parametrize("name", names())
def test_a_layout_does_not_recognise_an_empty_folder_or_a_foreign_file(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no data")

    assert not load(name).recognises(tmp_path / "empty")
    assert not load(name).recognises(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", names())
def test_a_layout_without_a_path_opens_something_or_says_what_it_needs(name):
    answer = opened(name)

    if isinstance(answer, InvalidData):
        assert f"{name}:" in answer.remedy
    else:
        assert len(answer) > 0


@pytest.mark.parametrize("name", names())
def test_a_layout_is_explained_on_its_page(name):
    assert f"`{name}" in PAGE.read_text(encoding="utf-8")
