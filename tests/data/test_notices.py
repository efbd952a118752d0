"""What a reader of the report must know of the data: said on the set itself, not only on a terminal."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from repaudit.data import open_images
from repaudit.errors import InvalidData


def messages(images) -> dict[str, str]:
    return {notice.code: notice.message for notice in images.notices}


@pytest.fixture
def folder(tmp_path, save_pictures) -> Path:
    return save_pictures(tmp_path / "set", "0/a.png", "1/b.png", "2/c.png")


def odd_name(folder: Path, name: bytes) -> None:
    """A sound picture whose name is no UTF-8."""
    os.rename(folder / "0/a.png", os.fsencode(folder) + b"/0/" + name)  # noqa: PTH104


def test_sound_files_with_integer_names_give_nothing_to_mind(folder, make_request):
    assert open_images(make_request(f"imagefolder:{folder}")).notices == ()


def test_files_left_out_are_counted_and_the_first_are_named(folder, make_request):
    for number in range(7):
        (folder / f"1/spoilt{number}.jpg").write_bytes(b"no image")

    (said,) = messages(open_images(make_request(f"imagefolder:{folder}", skip_bad_images=True))).items()

    assert said[0] == "bad-images-left-out"
    assert "7 of 10" in said[1]
    assert "1/spoilt0.jpg" in said[1]
    assert "1/spoilt6.jpg" not in said[1]
    assert said[1].count("spoilt") < 7
    assert "…" in said[1]


def test_pictures_of_sixteen_bits_are_counted(folder, make_request):
    for number in range(2):
        Image.fromarray(np.full((12, 12), 40_000, dtype=np.uint16)).save(folder / f"1/deep{number}.png")

    said = messages(open_images(make_request(f"imagefolder:{folder}")))

    assert said["clipped-to-8-bits"].startswith("2 of 5 images")


@pytest.mark.parametrize("layout", ["imagefolder", "csv", "npz"])
def test_classes_taken_by_position_are_told_by_every_layout_without_a_path(
    tmp_path, save_pictures, make_request, layout
):
    save_pictures(tmp_path / "set", "cat/a.png", "dog/b.png")
    (tmp_path / "list.csv").write_text("set/cat/a.png,cat\nset/dog/b.png,dog\n")
    np.savez(tmp_path / "set.npz", images=np.zeros((2, 4, 4, 3), np.uint8), labels=np.array(["cat", "dog"]))
    where = {"imagefolder": "set", "csv": "list.csv", "npz": "set.npz"}[layout]

    said = messages(open_images(make_request(f"{layout}:{tmp_path / where}", classes=2)))

    assert "sorted names" in said["labels-by-position"]
    assert str(tmp_path) not in said["labels-by-position"]


def test_what_is_said_on_the_set_is_said_on_stderr_too(folder, make_request, remarks):
    (folder / "1/spoilt.jpg").write_bytes(b"no image")

    images = open_images(make_request(f"imagefolder:{folder}", skip_bad_images=True))

    assert [f"warning: {notice.message}" for notice in images.notices] == remarks.notes[:1]


def test_a_file_name_that_is_not_utf8_stops_with_the_flag_that_leaves_it_out(folder, make_request):
    odd_name(folder, b"\xff.png")

    with pytest.raises(InvalidData, match="1 of 3 files") as raised:
        open_images(make_request(f"imagefolder:{folder}"))

    assert r"0/\udcff.png" in raised.value.render()
    assert "not UTF-8" in raised.value.detail
    assert "--skip-bad-images" in raised.value.remedy


def test_a_file_name_that_is_not_utf8_is_left_out_on_request_and_named_by_escapes(folder, make_request):
    odd_name(folder, b"\xff.png")

    images = open_images(make_request(f"imagefolder:{folder}", skip_bad_images=True))

    assert images.ids == ("1/b.png", "2/c.png")
    assert [bad.id for bad in images.bad_images] == [r"0/\udcff.png"]
    assert r"0/\udcff.png" in messages(images)["bad-images-left-out"]


def test_files_below_a_folder_whose_name_is_not_utf8_are_read(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path / "set", "0/a.png")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.rename(tmp_path / "set", odd)  # noqa: PTH104

    images = open_images(make_request(f"imagefolder:{odd}"))

    assert images.ids == ("0/a.png",)
    assert len(next(images.batches(1)).stored) == 1
