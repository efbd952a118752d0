"""ImageNet's validation images as they lie on disks, and where their labels come from."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from repaudit.data import open_images
from repaudit.errors import InvalidData

FLAT = ["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000003.JPEG"]


@pytest.mark.parametrize("below", ["", "val/", "validation/", "valid/", "eval/"])
def test_validation_images_are_found_in_the_folder_or_its_split(tmp_path, save_pictures, make_request, below):
    save_pictures(tmp_path, f"{below}n01443537/a.jpg", "train/n01440764/b.jpg")
    if not below:
        (tmp_path / "train" / "n01440764" / "b.jpg").unlink()
        (tmp_path / "train" / "n01440764").rmdir()
        (tmp_path / "train").rmdir()

    images = open_images(make_request(f"imagenet-val:{tmp_path}", classes=1000))

    assert images.ids == ("n01443537/a.jpg",)
    assert images.labels.tolist() == [1]
    assert images.layout == "imagenet-val"


def test_the_environment_says_where_imagenet_lies(tmp_path, save_pictures, make_request, monkeypatch):
    save_pictures(tmp_path, "val/n01443537/a.jpg")
    monkeypatch.setenv("IMAGENET_DIR", str(tmp_path))

    assert open_images(make_request("imagenet-val", classes=1000)).labels.tolist() == [1]


def test_without_a_folder_and_without_the_variable_both_are_named(make_request):
    with pytest.raises(InvalidData, match="where its images lie") as raised:
        open_images(make_request("imagenet-val", classes=1000))

    assert "IMAGENET_DIR" in raised.value.remedy


def test_two_validation_folders_are_not_chosen_between(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "val/n01443537/a.jpg", "validation/n01443537/a.jpg")

    with pytest.raises(InvalidData, match="2 validation folders"):
        open_images(make_request(f"imagenet-val:{tmp_path}", classes=1000))


def test_a_folder_without_classes_says_what_was_seen(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "holiday/a.jpg")

    with pytest.raises(InvalidData, match="no ImageNet class folders") as raised:
        open_images(make_request(f"imagenet-val:{tmp_path}", classes=1000))

    assert "holiday" in raised.value.detail


@pytest.fixture
def flat(tmp_path, save_pictures) -> Path:
    return save_pictures(tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val", *FLAT)


def write_devkit(folder: Path) -> None:
    """The devkit numbers toilet tissue 2 and goldfish 3; 1 is goldfish's sibling in no sorted order."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    rows = [(1, "n03126707", "crane", "", 0), (2, "n15075141", "toilet tissue", "", 0)]
    rows += [(3, "n01443537", "goldfish", "", 0), (1001, "n00001740", "entity", "", 3)]
    table = np.empty((4, 1), dtype=fields)
    for number, row in enumerate(rows):
        table[number, 0] = row
    savemat(folder / "meta.mat", {"synsets": table})
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1\n2\n")


def write_kaggle(folder: Path) -> None:
    (folder / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00000003,n15075141 1 2 3 4 n15075141 5 6 7 8\n"
        "ILSVRC2012_val_00000001,n01443537 85 1 499 272\n"
        "ILSVRC2012_val_00000002,n03126707 85 1 499 272\n"
    )


def write_caffe(folder: Path) -> None:
    (folder / "val.txt").write_text(
        "ILSVRC2012_val_00000001.JPEG 1\nILSVRC2012_val_00000002.JPEG 517\nILSVRC2012_val_00000003.JPEG 999\n"
    )


@pytest.mark.parametrize("levels", range(5))
@pytest.mark.parametrize("write", [write_kaggle, write_caffe, write_devkit])
def test_three_official_label_files_give_the_same_labels(flat, make_request, write, levels):
    write([flat, *flat.parents][levels])

    images = open_images(make_request(f"imagenet-flat:{flat}", classes=1000))

    assert images.ids == tuple(FLAT)
    assert images.labels.tolist() == [1, 999]


def test_the_devkit_is_found_where_its_archive_puts_it(flat, make_request):
    write_devkit(flat.parent / "ILSVRC2012_devkit_t12" / "data")

    images = open_images(make_request(f"imagenet-flat:{flat}", classes=1000))

    assert images.labels.tolist() == [1, 999]
    assert images.label_source == "ILSVRC2012_validation_ground_truth.txt"


def test_without_labels_the_files_to_bring_are_named(flat, make_request):
    with pytest.raises(InvalidData, match="no labels for the flat images") as raised:
        open_images(make_request(f"imagenet-flat:{flat}", classes=1000))

    for name in ("LOC_val_solution.csv", "val.txt", "ILSVRC2012_validation_ground_truth.txt", "meta.mat"):
        assert name in raised.value.detail


def test_ground_truth_without_its_table_is_not_read_in_sorted_order(flat, make_request):
    write_devkit(flat)
    (flat / "meta.mat").unlink()

    with pytest.raises(InvalidData, match=r"meta\.mat that explains it is absent"):
        open_images(make_request(f"imagenet-flat:{flat}", classes=1000))


def test_kaggles_list_of_names_is_not_taken_for_caffes_labels(flat, make_request):
    (flat / "val.txt").write_text("".join(f"ILSVRC2012_val_{n:08d} {n}\n" for n in range(1, 4)))

    with pytest.raises(InvalidData, match="no labels for the flat images"):
        open_images(make_request(f"imagenet-flat:{flat}", classes=1000))


def test_an_image_without_a_label_is_named(flat, make_request, save_pictures):
    write_kaggle(flat)
    save_pictures(flat, "ILSVRC2012_val_00000009.JPEG")

    with pytest.raises(InvalidData, match=r"no label for 1 of 3 images, such as ILSVRC2012_val_00000009\.JPEG"):
        open_images(make_request(f"imagenet-flat:{flat}", classes=1000))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("LOC_val_solution.csv", "ImageId,PredictionString\nsomething,else\n"),
        ("val.txt", "ILSVRC2012_val_00000001.JPEG 1000\nILSVRC2012_val_00000003.JPEG 2\n"),
        ("val.txt", "one two three\n"),
    ],
)
def test_a_label_file_of_another_kind_is_refused(flat, make_request, name, content):
    (flat / name).write_text(content)

    with pytest.raises(InvalidData, match="is not as expected"):
        open_images(make_request(f"imagenet-flat:{flat}", classes=1000))


def test_a_foreign_table_of_classes_is_refused(flat, make_request):
    write_devkit(flat)
    (flat / "meta.mat").write_bytes(b"not matlab" * 50)

    with pytest.raises(InvalidData, match="not the devkit's table"):
        open_images(make_request(f"imagenet-flat:{flat}", classes=1000))


def test_flat_images_do_not_suit_a_model_of_ten_classes(flat, make_request):
    write_kaggle(flat)

    with pytest.raises(InvalidData, match=r"2 labels under .* cannot be mapped to the model's 10 classes"):
        open_images(make_request(f"imagenet-flat:{flat}", classes=10))
