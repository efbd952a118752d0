"""Manifests: columns, labels in three spellings, and paths."""

from pathlib import Path

import pytest

from repaudit.data import open_images
from repaudit.errors import InvalidData


@pytest.fixture
def root(tmp_path, save_pictures) -> Path:
    return save_pictures(tmp_path, "sub/a.png", "b.png", "with, comma.png")


def write(root: Path, text: str) -> str:
    (root / "list.csv").write_text(text, encoding="utf-8")
    return f"csv:{root / 'list.csv'}"


@pytest.mark.parametrize(
    "text",
    [
        "sub/a.png,3\nb.png,0\n",
        "path,label\nsub/a.png,3\nb.png,0\n",
        "label,extra,path\n3,x,sub/a.png\n0,y,b.png\n",
        "﻿path,label\r\n sub/a.png , 3\r\n\r\n./b.png,0",
        "Filename,Class\nsub/a.png,3\nb.png,0\n",
    ],
)
def test_columns_are_found_with_and_without_a_header(root, make_request, text):
    images = open_images(make_request(write(root, text)))

    assert images.ids == ("sub/a.png", "b.png")
    assert images.labels.tolist() == [3, 0]
    assert images.label_source == "integer labels of list.csv"


def test_quoted_and_absolute_paths_are_read_and_named_from_the_files_folder(root, make_request):
    images = open_images(make_request(write(root, f'"with, comma.png",1\n{root}/b.png,2\n')))

    assert images.ids == ("with, comma.png", "b.png")


def test_wnids_and_class_names_mean_the_same_classes(root, make_request):
    for goldfish, tissue in (("n01443537", "n15075141"), ("goldfish", "Toilet Paper"), ("1", "999")):
        images = open_images(make_request(write(root, f"b.png,{goldfish}\nsub/a.png,{tissue}\n"), classes=1000))

        assert images.labels.tolist() == [1, 999]


def test_a_word_for_two_classes_is_refused(root, make_request):
    with pytest.raises(InvalidData, match="cannot be mapped"):
        open_images(make_request(write(root, "b.png,crane\n"), classes=1000))


def test_own_class_names_are_looked_up_in_the_models(root, make_request):
    ref = write(root, "b.png,Dog\nsub/a.png,cat\n")

    images = open_images(make_request(ref, classes=2, class_ids=("cat", "dog")))

    assert images.labels.tolist() == [1, 0]
    assert images.label_source == "class names of list.csv"


def test_a_file_that_is_missing_is_a_bad_image(root, make_request):
    ref = write(root, "b.png,0\nabsent.png,1\n")

    with pytest.raises(InvalidData, match="1 of 2 files") as raised:
        open_images(make_request(ref))
    images = open_images(make_request(ref, skip_bad_images=True))

    assert "absent.png: no such file or directory" in raised.value.detail
    assert [bad.id for bad in images.bad_images] == ["absent.png"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("path,label\n", "header and no lines"),
        ("path,label\nb.png\n", "line 2 of .* lacks"),
        ("path,label\nb.png,\n", "line 2 of .* lacks"),
        ("b.png,0,1\n", "does not say which columns"),
        ("path,amount\nb.png,0\n", "does not say which columns"),
        ("b.png,0\nb.png,1\n", "1 ids come more than once, such as `b.png`"),
        ("b.png,10\n", "go up to 10, the model has 10 classes"),
        ("b.png,cat\n", "1 labels under .* cannot be mapped"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(root, make_request, text, problem):
    with pytest.raises(InvalidData, match=problem):
        open_images(make_request(write(root, text)))


def test_bytes_that_are_no_text_are_refused(root, make_request):
    (root / "list.csv").write_bytes(b"\xff\xfe\x00\x01")

    with pytest.raises(InvalidData, match="is no csv file"):
        open_images(make_request(f"csv:{root / 'list.csv'}"))
