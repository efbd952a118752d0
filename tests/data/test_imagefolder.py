"""Class folders: which index each one gets, and what is refused."""

import csv
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from timm.data import ImageNetInfo
from torchvision.datasets import ImageFolder

from repaudit.data import open_images
from repaudit.errors import InvalidData

WNIDS = ImageNetInfo().label_names()


def labels_of(images) -> dict[str, int]:
    return dict(zip(images.ids, images.labels.tolist(), strict=True))


def test_a_subset_of_imagenets_wnids_gets_imagenets_indices(tmp_path, save_pictures, make_request):
    # goldfish, toilet tissue and the second `crane` as the 1000-class checkpoints count them
    save_pictures(tmp_path, "n01443537/a.jpg", "n15075141/b.jpg", "n03126707/c.jpg")

    images = open_images(make_request(f"imagefolder:{tmp_path}", classes=1000))

    assert labels_of(images) == {"n01443537/a.jpg": 1, "n15075141/b.jpg": 999, "n03126707/c.jpg": 517}
    assert images.label_source == "wnid folders"
    assert images.class_names[1] == "goldfish"
    assert len(images.class_names) == 1000


def test_photographs_get_the_indices_that_their_attribution_states(assets, make_request):
    with (assets / "imagenet_like" / "attribution.csv").open() as stream:
        stated = {row["path"]: int(row["class_index"]) for row in csv.DictReader(stream)}

    images = open_images(make_request(f"imagefolder:{assets / 'imagenet_like' / 'val'}", classes=1000, size=(224, 224)))

    found = {f"val/{name}": label for name, label in labels_of(images).items()}
    assert len(found) == 240
    assert found == {name: stated[name] for name in found}


def test_class_ids_of_the_model_decide_over_the_sorted_order(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "n01443537/a.jpg", "n02084071/b.jpg")

    images = open_images(
        make_request(f"imagefolder:{tmp_path}", classes=3, class_ids=("n02084071", "n00000001", "n01443537"))
    )

    assert labels_of(images) == {"n01443537/a.jpg": 2, "n02084071/b.jpg": 0}


def test_class_ids_need_not_be_wnids(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "dog/a.jpg", "cat/b.jpg")

    images = open_images(make_request(f"imagefolder:{tmp_path}", classes=3, class_ids=("dog", "emu", "cat")))

    assert labels_of(images) == {"cat/b.jpg": 2, "dog/a.jpg": 0}
    assert images.class_names == ("dog", "emu", "cat")


def test_a_wnid_that_the_model_does_not_know_is_named(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "n01443537/a.jpg", "n99999999/b.jpg")

    with pytest.raises(InvalidData, match="1 of 2 wnid folders") as raised:
        open_images(make_request(f"imagefolder:{tmp_path}", classes=1000))

    assert "n99999999" in raised.value.problem


def test_integer_folders_are_numbers_not_strings(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, *(f"{label}/a.jpg" for label in (0, 1, 2, 10, 11, 100)))

    images = open_images(make_request(f"imagefolder:{tmp_path}", classes=101))

    assert labels_of(images) == {f"{label}/a.jpg": label for label in (0, 1, 2, 10, 11, 100)}
    assert images.label_source == "integer folders"


def test_integers_beyond_the_head_are_refused_and_counting_from_one_is_suspected(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, *(f"{label}/a.jpg" for label in range(1, 6)))

    with pytest.raises(InvalidData, match="go up to 5, the model has 5 classes") as raised:
        open_images(make_request(f"imagefolder:{tmp_path}", classes=5))

    assert "subtract 1" in raised.value.detail


def test_two_folders_for_one_integer_are_refused(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "1/a.jpg", "01/b.jpg")

    with pytest.raises(InvalidData, match="same integer"):
        open_images(make_request(f"imagefolder:{tmp_path}"))


@pytest.mark.parametrize("name", ["class_to_idx.json", "class_to_idx.yaml"])
def test_a_map_beside_the_folders_decides_where_names_say_nothing(tmp_path, save_pictures, make_request, name):
    save_pictures(tmp_path, "cat/a.jpg", "dog/b.jpg")
    (tmp_path / name).write_text(json.dumps({"dog": 0, "cat": 7}))

    images = open_images(make_request(f"imagefolder:{tmp_path}"))

    assert labels_of(images) == {"cat/a.jpg": 7, "dog/b.jpg": 0}
    assert images.label_source == name


def test_a_map_helps_where_integers_do_not_fit(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "1/a.jpg", "2/b.jpg")
    (tmp_path / "class_to_idx.json").write_text('{"1": 0, "2": 1}')

    assert labels_of(open_images(make_request(f"imagefolder:{tmp_path}", classes=2))) == {"1/a.jpg": 0, "2/b.jpg": 1}


def test_a_map_that_wnids_make_idle_is_mentioned(tmp_path, save_pictures, make_request, remarks):
    save_pictures(tmp_path, "n01443537/a.jpg")
    (tmp_path / "class_to_idx.json").write_text('{"n01443537": 0}')

    images = open_images(make_request(f"imagefolder:{tmp_path}", classes=1000))

    assert images.labels.tolist() == [1]
    assert any("class_to_idx.json is not used" in note for note in remarks.notes)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"cat": 0}', "does not name 1 of 2 folders: `dog`"),
        ('{"cat": 0, "dog": 10}', "go up to 10, the model has 10 classes"),
        ('{"cat": 0, "dog": -1}', "labels of"),
        ('{"cat": "0", "dog": 1}', "must map names to class indices"),
        ('["cat", "dog"]', "must map names to class indices"),
        ('{"cat": 0, "dog"', "cannot be read"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(tmp_path, save_pictures, make_request, content, problem):
    save_pictures(tmp_path, "cat/a.jpg", "dog/b.jpg")
    (tmp_path / "class_to_idx.json").write_text(content)

    with pytest.raises(InvalidData, match=problem):
        open_images(make_request(f"imagefolder:{tmp_path}"))


def test_two_maps_are_refused(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "cat/a.jpg")
    (tmp_path / "class_to_idx.json").write_text('{"cat": 0}')
    (tmp_path / "class_to_idx.yaml").write_text("cat: 1")

    with pytest.raises(InvalidData, match="2 label maps"):
        open_images(make_request(f"imagefolder:{tmp_path}"))


def test_sorted_order_is_taken_only_for_the_models_number_of_folders_and_with_a_warning(
    tmp_path, save_pictures, make_request, remarks
):
    save_pictures(tmp_path, "emu/c.jpg", "cat/a.jpg", "dog/b.jpg")
    torchvisions = ImageFolder(str(tmp_path)).class_to_idx

    images = open_images(make_request(f"imagefolder:{tmp_path}", classes=3))

    assert {name.split("/")[0]: label for name, label in labels_of(images).items()} == torchvisions
    assert "unconfirmed" in images.label_source
    assert any(note.startswith("warning: 3 folders") for note in remarks.notes)


@pytest.mark.parametrize(("classes", "words"), [(2, "more than its classes"), (4, "fewer than its classes")])
def test_another_number_of_folders_than_classes_is_never_guessed(tmp_path, save_pictures, make_request, classes, words):
    save_pictures(tmp_path, "emu/c.jpg", "cat/a.jpg", "dog/b.jpg")

    with pytest.raises(InvalidData, match=f"the model's {classes} classes") as raised:
        open_images(make_request(f"imagefolder:{tmp_path}", classes=classes))

    assert words in raised.value.detail
    assert "class_to_idx.json" in raised.value.remedy


def test_hidden_files_and_what_desktops_leave_are_no_images(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "0/a.jpg", "0/deep/er/b.jpg")
    for name in ("0/.DS_Store", "0/Thumbs.db", "0/.hidden/x.jpg", "README.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")

    assert open_images(make_request(f"imagefolder:{tmp_path}")).ids == ("0/a.jpg", "0/deep/er/b.jpg")


def test_links_are_followed_and_a_circle_ends(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path / "elsewhere", "a.jpg")
    (tmp_path / "set" / "0").mkdir(parents=True)
    (tmp_path / "set" / "0" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "set" / "0")

    assert open_images(make_request(f"imagefolder:{tmp_path / 'set'}")).ids == ("0/linked/a.jpg",)


def test_official_files_lying_flat_get_the_remedy_that_reads_them(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path / "val", "ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG")

    for ref in (f"imagefolder:{tmp_path / 'val'}", f"imagefolder:{tmp_path}", f"imagenet-val:{tmp_path}"):
        with pytest.raises(InvalidData) as raised:
            open_images(make_request(ref, classes=1000))

        assert raised.value.render() == (
            f"repaudit: no images with known labels under {tmp_path / 'val'}\n"
            "  2 files named ILSVRC2012_val_*.JPEG lie flat in one folder; "
            'the folder name "val" is not a class.\n'
            f"  try: --data imagenet-flat:{tmp_path / 'val'}"
        )


def test_other_files_lying_flat_get_the_manifest_as_remedy(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "a.jpg", "b.jpg")

    with pytest.raises(InvalidData, match="no images with known labels") as raised:
        open_images(make_request(f"imagefolder:{tmp_path}"))

    assert "csv:FILE" in raised.value.remedy


def test_splits_are_not_taken_for_classes(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "train/0/a.jpg", "val/0/b.jpg")

    with pytest.raises(InvalidData, match="holds splits") as raised:
        open_images(make_request(f"imagefolder:{tmp_path}", classes=2))

    assert raised.value.remedy == f"--data imagefolder:{tmp_path / 'val'}"


def test_empty_folders_are_an_error(tmp_path, make_request):
    with pytest.raises(InvalidData, match="is empty"):
        open_images(make_request(f"imagefolder:{tmp_path}"))
    (tmp_path / "0").mkdir()
    with pytest.raises(InvalidData, match="no files under"):
        open_images(make_request(f"imagefolder:{tmp_path}"))


def test_a_path_that_does_not_exist_names_the_nearest_that_does(tmp_path, make_request):
    with pytest.raises(InvalidData, match="does not exist") as raised:
        open_images(make_request(f"imagefolder:{tmp_path}/a/b/c"))

    assert raised.value.detail.endswith(str(tmp_path))


def test_a_file_is_no_folder(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "a.jpg")

    with pytest.raises(InvalidData, match="is a file, not a folder"):
        open_images(make_request(f"imagefolder:{tmp_path / 'a.jpg'}"))


@pytest.mark.parametrize("closed", [".", "0", "0/deep"])
def test_a_folder_that_may_not_be_read_is_named(save_pictures, make_request, as_nobody, closed):
    with tempfile.TemporaryDirectory() as name:
        root = save_pictures(Path(name), "0/deep/a.jpg")
        root.chmod(0o755)
        (root / closed).chmod(0o000)
        try:
            with as_nobody(), pytest.raises(InvalidData, match="may not be") as raised:
                open_images(make_request(f"imagefolder:{root}"))
            assert str((root / closed).resolve()) in raised.value.remedy
        finally:
            (root / closed).chmod(0o755)


def test_unreadable_image_files_are_bad_images(save_pictures, make_request, as_nobody):
    with tempfile.TemporaryDirectory() as name:
        root = save_pictures(Path(name), "0/a.jpg", "0/b.jpg")
        root.chmod(0o755)
        (root / "0/a.jpg").chmod(0o000)
        with as_nobody():
            images = open_images(make_request(f"imagefolder:{root}", skip_bad_images=True))

    assert [(bad.id, bad.reason) for bad in images.bad_images] == [("0/a.jpg", "permission denied")]


def test_the_thousand_wnids_map_onto_0_to_999(tmp_path, draw, make_request):
    content = None
    for wnid in WNIDS:
        (tmp_path / wnid).mkdir()
        (tmp_path / wnid / "a.ppm").write_bytes(content := content or b"P6 2 2 255\n" + bytes(range(12)))

    images = open_images(make_request(f"imagenet-val:{tmp_path}", classes=1000))

    assert np.array_equal(np.sort(images.labels), np.arange(1000))
    assert all(WNIDS[label] == name.split("/")[0] for name, label in labels_of(images).items())
