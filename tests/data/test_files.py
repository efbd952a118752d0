"""Image files: what a set of them promises, and how bad ones are told."""

import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from repaudit.data import open_images
from repaudit.data._files import SHARED_MEMORY, _workers_that_fit
from repaudit.errors import InvalidData, UnfinishedError

NAMES = [f"{label}/{number}.png" for label in range(3) for number in range(4)]


@pytest.fixture
def folder(tmp_path, save_pictures) -> Path:
    return save_pictures(tmp_path / "set", *NAMES)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_whole_and_with_their_own_labels(folder, make_request, workers):
    images = open_images(make_request(f"imagefolder:{folder}", workers=workers))

    batches = list(images.batches(5))

    assert [len(batch.ids) for batch in batches] == [5, 5, 2]
    assert [name for batch in batches for name in batch.ids] == sorted(NAMES)
    for batch in batches:
        assert batch.stored.dtype == torch.uint8
        assert batch.labels.tolist() == [int(name[0]) for name in batch.ids]
        for pixels, name in zip(batch.stored, batch.ids, strict=True):
            assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(Image.open(folder / name)))


@pytest.mark.parametrize("workers", [0, 2])
def test_images_can_be_read_again_in_any_order(folder, make_request, workers):
    images = open_images(make_request(f"imagefolder:{folder}", workers=workers))
    asked = ["2/3.png", "0/1.png", "1/0.png", "0/1.png"]

    found = [name for batch in images.batches(2, asked) for name in batch.ids]
    pixels = torch.cat([batch.stored for batch in images.batches(2, asked)])

    assert found == asked
    assert torch.equal(pixels[1], pixels[3])
    assert not torch.equal(pixels[0], pixels[1])


def test_closing_the_batches_early_ends_the_workers(folder, make_request):
    images = open_images(make_request(f"imagefolder:{folder}", workers=2))
    before = set(multiprocessing.active_children())
    batches = images.batches(2)
    next(batches)
    assert set(multiprocessing.active_children()) > before

    batches.close()

    assert set(multiprocessing.active_children()) == before


def test_reading_moves_no_global_random_stream(folder, make_request):
    images = open_images(make_request(f"imagefolder:{folder}", workers=2, limit=7))
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002

    list(images.batches(2))

    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_the_limit_keeps_every_class_in_its_share(tmp_path, save_pictures, make_request):
    names = [f"0/{n}.png" for n in range(20)] + [f"1/{n}.png" for n in range(10)] + [f"2/{n}.png" for n in range(10)]
    save_pictures(tmp_path, *names)

    images = open_images(make_request(f"imagefolder:{tmp_path}", limit=8, seed=3))
    again = open_images(make_request(f"imagefolder:{tmp_path}", limit=8, seed=3))
    other = open_images(make_request(f"imagefolder:{tmp_path}", limit=8, seed=4))

    assert np.bincount(images.labels).tolist() == [4, 2, 2]
    assert images.subset == "stratified 8 of 40, seed 3"
    assert images.ids == again.ids
    assert images.ids != other.ids


def test_a_limit_above_the_number_of_images_takes_all(folder, make_request):
    images = open_images(make_request(f"imagefolder:{folder}", limit=100))

    assert len(images) == 12
    assert images.subset == "all"


def test_a_limit_below_one_is_refused(folder, make_request):
    with pytest.raises(InvalidData, match="limit of 0"):
        open_images(make_request(f"imagefolder:{folder}", limit=0))


def spoil(folder: Path) -> dict[str, bytes]:
    whole = (folder / "0/0.png").read_bytes()
    spoilt = {"0/text.jpg": b"no image at all", "1/cut.png": whole[: len(whole) // 2], "2/nothing.png": b""}
    for name, content in spoilt.items():
        (folder / name).write_bytes(content)
    return spoilt


def test_files_that_cannot_be_decoded_are_named_with_the_remedy(folder, make_request):
    spoilt = spoil(folder)

    with pytest.raises(InvalidData, match="3 of 15 files") as raised:
        open_images(make_request(f"imagefolder:{folder}"))

    assert all(name in raised.value.detail for name in spoilt)
    assert "--skip-bad-images" in raised.value.remedy


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_files_are_left_out_and_listed_on_request(folder, make_request, workers):
    spoilt = spoil(folder)

    images = open_images(make_request(f"imagefolder:{folder}", skip_bad_images=True, workers=workers))

    assert images.ids == tuple(sorted(NAMES))
    assert {bad.id for bad in images.bad_images} == set(spoilt)
    assert {bad.id: bad.reason for bad in images.bad_images}["2/nothing.png"] == "empty file"
    assert sum(len(batch.ids) for batch in images.batches(5)) == 12


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9, 0.99])
def test_a_truncated_jpeg_is_found_wherever_it_ends(tmp_path, save_pictures, make_request, draw, keep):
    save_pictures(tmp_path, "0/sound.jpg")
    Image.fromarray(draw(120, 90)).save(tmp_path / "0/cut.jpg", quality=90)
    content = (tmp_path / "0/cut.jpg").read_bytes()
    (tmp_path / "0/cut.jpg").write_bytes(content[: int(len(content) * keep)])

    images = open_images(make_request(f"imagefolder:{tmp_path}", skip_bad_images=True))

    assert [bad.id for bad in images.bad_images] == ["0/cut.jpg"]


@pytest.mark.parametrize("limit", [100, 60])  # PIL itself only warns up to twice its limit
def test_a_decompression_bomb_is_a_bad_image(tmp_path, save_pictures, make_request, monkeypatch, limit):
    save_pictures(tmp_path, "0/small.png")
    Image.new("RGB", (15, 10)).save(tmp_path / "0/bomb.png")
    Image.new("RGB", (5, 5)).save(tmp_path / "0/small.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)

    images = open_images(make_request(f"imagefolder:{tmp_path}", skip_bad_images=True))

    assert [(bad.id, bad.reason) for bad in images.bad_images] == [
        ("0/bomb.png", f"decompression bomb: more than {limit} pixels")
    ]


def test_a_file_that_would_run_a_program_is_not_opened(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "0/sound.png")
    (tmp_path / "0/drawing.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")

    images = open_images(make_request(f"imagefolder:{tmp_path}", skip_bad_images=True))

    assert [bad.reason.startswith("no image of a known kind") for bad in images.bad_images] == [True]


def test_nothing_but_bad_files_is_an_error_even_when_they_may_be_skipped(tmp_path, make_request):
    (tmp_path / "0").mkdir()
    (tmp_path / "0/a.jpg").write_bytes(b"x")

    with pytest.raises(InvalidData, match="none of the 1 files"):
        open_images(make_request(f"imagefolder:{tmp_path}", skip_bad_images=True))


def test_images_of_two_sizes_need_a_preprocessing_that_says_one(folder, make_request):
    Image.new("RGB", (7, 9)).save(folder / "1/odd.png")

    with pytest.raises(InvalidData, match="differ in size") as raised:
        open_images(make_request(f"imagefolder:{folder}"))

    assert "7×9" in raised.value.detail
    assert next(open_images(make_request(f"imagefolder:{folder}", size=(6, 6))).batches(99)).stored.shape[2:] == (6, 6)


def test_sixteen_bit_images_are_mentioned_because_they_are_clipped(tmp_path, make_request, remarks):
    (tmp_path / "0").mkdir()
    Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(tmp_path / "0/deep.png")

    images = open_images(make_request(f"imagefolder:{tmp_path}"))

    assert next(images.batches(1)).stored.unique().tolist() == [255]
    assert any("clipped" in note for note in remarks.notes)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_vanishes_after_the_check_is_named(folder, make_request, workers):
    images = open_images(make_request(f"imagefolder:{folder}", workers=workers))
    (folder / "1/2.png").unlink()

    with pytest.raises(UnfinishedError, match=r"1/2\.png was sound"):
        list(images.batches(3))


def test_no_more_workers_start_than_shared_memory_has_room_for():
    free = shutil.disk_usage(SHARED_MEMORY).free

    assert _workers_that_fit(2 * free) == 0
    assert _workers_that_fit(free // 100) >= 16
