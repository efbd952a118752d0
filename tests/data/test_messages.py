"""What is said of data that cannot be used: the headline is true, and the remedy works when it is followed."""

import json

import numpy as np
import pytest

from repaudit.data import open_images
from repaudit.errors import InvalidData

IMAGES = np.zeros((4, 4, 5, 3), np.uint8)
LABELS = np.arange(4)


def refusal(request) -> InvalidData:
    with pytest.raises(InvalidData) as raised:
        open_images(request)
    return raised.value


@pytest.fixture
def refused_npz(tmp_path, make_request):
    def refuse(images=IMAGES, labels=LABELS) -> InvalidData:
        np.savez(tmp_path / "set.npz", images=images, labels=labels)
        return refusal(make_request(f"npz:{tmp_path / 'set.npz'}"))

    return refuse


def test_a_negative_label_is_in_the_headline(refused_npz):
    error = refused_npz(labels=np.array([3, -1, 8, 0]))

    assert "run from -1 to 8" in error.problem
    assert "go up to" not in error.problem


def test_a_list_of_labels_that_is_cut_says_so(refused_npz):
    wrong = refused_npz(images=np.repeat(IMAGES, 2, axis=0), labels=np.arange(50, 58))
    few = refused_npz(labels=np.array([0, 1, 50, 51]))

    assert wrong.detail.endswith("50, 51, 52, 53, 54, …")
    assert few.detail.endswith("50, 51")


def test_a_missing_label_is_not_answered_with_one_hot_labels(refused_npz):
    assert "one-hot" not in refused_npz(labels=LABELS[:3]).remedy
    assert "one-hot" in refused_npz(labels=np.eye(4)).remedy


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_counted_and_located(refused_npz, value):
    images = np.full((4, 4, 5, 3), 0.5)
    images[2, 1, 1] = images[3, 0, 0] = value

    error = refused_npz(images=images)

    assert "NaN or infinity in 2 of 4 images" in error.problem
    assert "row 2" in error.detail
    assert "255" not in error.remedy


def test_the_remedy_for_pixels_that_are_no_numbers_leaves_a_set_that_opens(refused_npz, tmp_path, make_request):
    images, labels = np.full((4, 4, 5, 3), 0.5), LABELS
    images[2, 1, 1] = np.nan
    names = {"numpy": np, "images": images, "labels": labels, "FILE": tmp_path / "mended.npz"}

    exec(refused_npz(images=images).remedy, names)

    assert open_images(make_request(f"npz:{tmp_path / 'mended.npz'}")).labels.tolist() == [0, 1, 3]


@pytest.mark.parametrize(("content", "words"), [(b"x", "begins with `x`"), (b"", "is empty"), (b"\x80\x04", r"\x80")])
def test_a_file_that_is_no_archive_is_not_accused_of_pickles(tmp_path, make_request, content, words):
    (tmp_path / "set.npz").write_bytes(content)

    error = refusal(make_request(f"npz:{tmp_path / 'set.npz'}"))

    assert words in error.render()
    assert "pickle" not in error.render()


@pytest.mark.parametrize("name", ["weights.pth", "net.safetensors", "notes.txt"])
def test_a_file_of_no_layout_is_not_called_a_folder_of_classes(tmp_path, make_request, name):
    (tmp_path / name).write_bytes(b"\x80")

    error = refusal(make_request(tmp_path / name))

    assert "imagefolder" not in error.remedy
    assert ("--arch" in error.remedy) == (name != "notes.txt")


def test_more_wnid_folders_than_classes_are_not_answered_with_one_index_each(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, *(f"n0000000{number}/a.png" for number in range(4)))

    error = refusal(make_request(tmp_path, classes=3))

    assert "a model with" in error.remedy


def test_wnids_unknown_to_the_model_can_be_mapped_as_the_remedy_says(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "n01440764/a.png", "n01443537/b.png")
    request = make_request(f"imagefolder:{tmp_path}", classes=3, class_ids=("cat", "dog", "emu"))
    remedy = refusal(request).remedy
    (tmp_path / "class_to_idx.json").write_text(json.dumps({"n01440764": 2, "n01443537": 0}))

    assert "class_to_idx.json" in remedy
    assert "every folder" in remedy
    assert open_images(request).labels.tolist() == [2, 0]


def test_a_line_break_in_a_class_name_does_not_break_the_message(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "ca\nt/a.png", "d\x1b[31mog/b.png")

    lines = refusal(make_request(f"imagefolder:{tmp_path}", classes=5)).render().split("\n")

    assert len(lines) == 3
    assert r"ca\nt" in lines[1]
    assert r"d\x1b[31mog" in lines[1]
