"""What a reference means: one layout, or an error; never a guess between two."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from repaudit.data import load, names, open_images
from repaudit.errors import InvalidData


def lay_out(root: Path, save_pictures) -> dict[str, Path]:
    """One example of every layout that a bare path can show."""
    save_pictures(root / "folders", "0/a.png", "1/b.png")
    save_pictures(root / "imagenet", "val/n01443537/a.png")
    save_pictures(root / "flat", "ILSVRC2012_val_00000001.JPEG")
    (root / "list.csv").write_text("folders/0/a.png,0\n")
    np.savez(root / "set.npz", images=np.zeros((1, 4, 4, 3), np.uint8), labels=np.zeros(1, int))
    for name, test, meta in (("cifar10", "test_batch", "batches.meta"), ("cifar100", "test", "meta")):
        (root / name).mkdir()
        (root / name / test).write_bytes(pickle.dumps({}))
        (root / name / meta).write_bytes(pickle.dumps({}))
    return {
        "imagefolder": root / "folders",
        "imagenet-val": root / "imagenet",
        "imagenet-flat": root / "flat",
        "csv": root / "list.csv",
        "npz": root / "set.npz",
        "cifar10": root / "cifar10",
        "cifar100": root / "cifar100",
    }


def test_every_layout_on_a_disk_is_recognised_by_itself_alone(tmp_path, save_pictures):
    examples = lay_out(tmp_path, save_pictures)

    for name, path in examples.items():
        assert [known for known in names() if load(known).recognises(path)] == [name]


def test_a_bare_path_is_read_by_the_layout_that_recognises_it(tmp_path, save_pictures, make_request, remarks):
    images = open_images(make_request(lay_out(tmp_path, save_pictures)["imagefolder"]))

    assert images.layout == "imagefolder"
    assert images.ref == str(tmp_path / "folders")
    assert any("(imagefolder)" in note for note in remarks.notes)


def test_a_folder_that_two_layouts_recognise_is_refused(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "0/a.png", "ILSVRC2012_val_00000001.JPEG")

    with pytest.raises(InvalidData, match="2 ways: imagefolder, imagenet-flat"):
        open_images(make_request(tmp_path))


def test_a_folder_that_no_layout_recognises_is_refused(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path, "deep/er/still/a.png")

    with pytest.raises(InvalidData, match=r"layout of .* is not recognised") as raised:
        open_images(make_request(tmp_path))

    assert "imagefolder:" in raised.value.remedy


def test_a_layouts_name_wins_over_a_folder_of_that_name(tmp_path, save_pictures, make_request, monkeypatch):
    save_pictures(tmp_path / "digits", "0/a.png")
    monkeypatch.chdir(tmp_path)

    assert open_images(make_request("digits")).layout == "digits"
    assert open_images(make_request("./digits")).layout == "imagefolder"


def test_a_path_with_a_colon_is_a_path(tmp_path, save_pictures, make_request):
    save_pictures(tmp_path / "a:b", "0/a.png")

    assert len(open_images(make_request(tmp_path / "a:b"))) == 1


@pytest.mark.parametrize(
    ("ref", "remedy"), [("imagenetval:data", "imagenet-val"), ("cifar:data", "cifar10"), ("digit", "digits")]
)
def test_a_misspelt_layout_gets_the_nearest_name(make_request, ref, remedy):
    with pytest.raises(InvalidData) as raised:
        open_images(make_request(ref))

    assert remedy in raised.value.remedy


def test_nothing_after_the_colon_is_refused(make_request):
    with pytest.raises(InvalidData, match="nothing follows the colon"):
        open_images(make_request("npz:"))


def test_channels_that_no_picture_has_are_refused(make_request):
    with pytest.raises(InvalidData, match="takes 4 channels"):
        open_images(make_request("digits", channels=4))


def test_listing_and_importing_the_layouts_needs_neither_timm_nor_scikit_learn():
    code = (
        "import sys; from repaudit import data; [data.load(name) for name in data.names()];"
        "assert not {'timm', 'sklearn', 'scipy.io', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )

    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr
