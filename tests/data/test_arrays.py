"""Images in memory: npz files, CIFAR's batches and the embedded digits."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from repaudit.data import open_images
from repaudit.data._prepare import prepare
from repaudit.errors import InvalidData


@pytest.fixture
def pixels(rng) -> np.ndarray:
    return rng.integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)


def save(folder: Path, **arrays) -> str:
    np.savez(folder / "set.npz", **arrays)
    return f"npz:{folder / 'set.npz'}"


def read(images) -> torch.Tensor:
    return torch.cat([batch.stored for batch in images.batches(4)])


def test_stored_pixels_reach_the_batch_untouched(tmp_path, pixels, make_request):
    images = open_images(make_request(save(tmp_path, images=pixels, labels=np.arange(6))))

    assert np.array_equal(read(images).permute(0, 2, 3, 1).numpy(), pixels)
    assert images.ids == ("0", "1", "2", "3", "4", "5")
    assert images.labels.tolist() == [0, 1, 2, 3, 4, 5]


def test_images_of_the_networks_size_are_untouched_though_it_resizes_larger_ones(tmp_path, pixels, make_request):
    images = open_images(make_request(save(tmp_path, images=pixels, labels=np.arange(6)), size=(8, 10), resize=12))

    assert np.array_equal(read(images).permute(0, 2, 3, 1).numpy(), pixels)


def test_other_sizes_are_fitted_as_files_are(tmp_path, pixels, make_request):
    request = make_request(save(tmp_path, images=pixels, labels=np.arange(6)), size=(6, 6), resize=7)

    expected = [prepare(Image.fromarray(image), request.preprocess) for image in pixels]

    assert np.array_equal(read(open_images(request)).numpy(), np.stack(expected))


def test_axes_are_recognised_where_only_one_reading_is_possible(tmp_path, pixels, make_request):
    labels = np.arange(6)
    last = open_images(make_request(save(tmp_path, images=pixels, labels=labels)))
    first = open_images(make_request(save(tmp_path, images=pixels.transpose(0, 3, 1, 2), labels=labels)))

    assert torch.equal(read(first), read(last))
    assert first.fingerprint == last.fingerprint


def test_grey_images_are_repeated_for_a_model_of_three_channels(tmp_path, pixels, make_request):
    ref = save(tmp_path, images=pixels[..., 0], labels=np.arange(6))

    colour, grey = read(open_images(make_request(ref))), read(open_images(make_request(ref, channels=1)))

    assert np.array_equal(grey[:, 0].numpy(), pixels[..., 0])
    assert torch.equal(colour, grey.expand(-1, 3, -1, -1))


@pytest.mark.parametrize("size", [None, (6, 6)])
def test_floats_in_the_unit_interval_stay_floats(tmp_path, pixels, make_request, size):
    floats = pixels / 255
    images = open_images(make_request(save(tmp_path, images=floats, labels=np.arange(6)), size=size))

    stored = read(images)

    assert stored.dtype == torch.float32
    assert 0 <= stored.min() < stored.max() <= 1
    if size is None:
        assert np.array_equal(stored.permute(0, 2, 3, 1).numpy(), floats.astype(np.float32))


def test_limit_and_ids_hold_for_arrays_too(tmp_path, pixels, make_request):
    names = np.array(["f", "e", "d", "c", "b", "a"])
    request = make_request(save(tmp_path, images=pixels, labels=[0, 0, 0, 1, 1, 1], ids=names), limit=4)

    images = open_images(request)
    (batch,) = images.batches(9, list(reversed(images.ids)))

    assert np.bincount(images.labels).tolist() == [2, 2]
    assert batch.ids == tuple(reversed(images.ids))
    for stored, name, label in zip(batch.stored, batch.ids, batch.labels, strict=True):
        row = names.tolist().index(name)
        assert np.array_equal(stored.permute(1, 2, 0).numpy(), pixels[row])
        assert label == (0 if row < 3 else 1)


def test_the_fingerprint_follows_pixels_labels_and_ids_but_not_their_order(tmp_path, pixels, make_request):
    ids, labels = np.arange(6), np.array([0, 1, 2, 3, 4, 5])

    def fingerprint(**arrays) -> str:
        return open_images(make_request(save(tmp_path, **arrays))).fingerprint

    base = fingerprint(images=pixels, labels=labels, ids=ids)
    changed = pixels.copy()
    changed[3, 0, 0, 0] ^= 1

    assert fingerprint(images=pixels[::-1], labels=labels[::-1], ids=ids[::-1]) == base
    assert fingerprint(images=changed, labels=labels, ids=ids) != base
    assert fingerprint(images=pixels, labels=labels[::-1], ids=ids) != base
    assert fingerprint(images=pixels, labels=labels, ids=ids + 1) != base


def test_real_arrays_are_read_as_numpy_reads_them(assets, make_request):
    path = assets / "cifar10" / "cifar10_test_250.npz"

    images = open_images(make_request(path))

    with np.load(path) as file:
        assert np.array_equal(read(images).permute(0, 2, 3, 1).numpy(), file["images"])
        assert np.array_equal(images.labels, file["labels"])
        assert images.ids == tuple(str(name) for name in file["ids"])
    assert images.layout == "npz"


GOOD = {"images": np.zeros((2, 4, 5, 3), np.uint8), "labels": np.array([0, 1])}


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"images": GOOD["images"]}, "has no array `labels`"),
        ({"pictures": GOOD["images"], "labels": GOOD["labels"]}, "has no array `images`"),
        ({**GOOD, "labels": np.array([0, 10])}, "go up to 10, the model has 10 classes"),
        ({**GOOD, "labels": np.array([0, -1])}, "labels of"),
        ({**GOOD, "labels": np.array([0, 1, 1])}, "`labels` of .* is 3 for 2 images"),
        ({**GOOD, "labels": np.eye(2)}, "is 2 × 2 for 2 images"),
        ({**GOOD, "labels": np.array([0.0, 1.0])}, "is float64; integers"),
        ({**GOOD, "labels": np.array([0, None])}, "cannot be read"),
        ({**GOOD, "ids": np.array(["a", "a"])}, "ids come more than once, such as `a`"),
        ({**GOOD, "ids": np.array(["a"])}, "`ids` of .* has shape"),
        ({**GOOD, "images": np.zeros((2, 3, 5, 3), np.uint8)}, "channels may come first or last"),
        ({**GOOD, "images": np.zeros((2, 4, 5, 4), np.uint8)}, "no axis has 1 or 3 channels"),
        ({**GOOD, "images": np.zeros((2, 4), np.uint8)}, "no axis has 1 or 3 channels"),
        ({**GOOD, "images": np.zeros((2, 4, 5, 3), np.int64)}, "is int64; uint8"),
        ({**GOOD, "images": np.full((2, 4, 5, 3), -2.1)}, r"outside \[0, 1\]: -2.1"),
        ({**GOOD, "images": np.full((2, 4, 5, 3), np.nan)}, "NaN or infinity in 2 of 2 images"),
        ({"images": np.zeros((0, 4, 5, 3), np.uint8), "labels": np.zeros(0, np.int64)}, "no images"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(tmp_path, make_request, arrays, problem):
    with pytest.raises(InvalidData, match=problem):
        open_images(make_request(save(tmp_path, **arrays)))


def test_torn_files_and_single_arrays_are_refused(tmp_path, make_request):
    ref = save(tmp_path, **GOOD)
    content = (tmp_path / "set.npz").read_bytes()
    np.save(tmp_path / "one.npy", GOOD["images"])

    for spoilt in (content[:-60], b"", b"no archive", (tmp_path / "one.npy").read_bytes()):
        (tmp_path / "set.npz").write_bytes(spoilt)
        with pytest.raises(InvalidData):
            open_images(make_request(ref))


@pytest.mark.parametrize(("part", "rows"), [("digits", range(897, 1797)), ("digits:train", range(897))])
def test_digits_are_scikit_learns_in_file_order(make_request, part, rows):
    images = open_images(make_request(part, channels=1))
    official = load_digits()

    assert images.ids == tuple(str(row) for row in rows)
    assert np.array_equal(images.labels, official.target[rows])
    brightness = np.array([round(value * 255 / 16) for value in range(17)])
    assert np.array_equal(read(images)[:, 0].numpy(), brightness[official.images[rows].astype(int)])
    assert images.class_names == tuple("0123456789")


def test_digits_have_no_other_parts_and_ten_classes(make_request):
    with pytest.raises(InvalidData, match="no part `tests`"):
        open_images(make_request("digits:tests"))
    with pytest.raises(InvalidData, match="10 classes, the model has 1000"):
        open_images(make_request("digits", classes=1000))


def write_cifar10(folder: Path, pixels: np.ndarray, labels: list[int], protocol: int) -> None:
    folder.mkdir(parents=True)
    batch = {"data": pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1), "labels": labels}
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for name, content in (("test_batch", batch), ("batches.meta", {"label_names": names})):
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.fixture
def small_cifar(rng) -> np.ndarray:
    return rng.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("below", ["", "cifar-10-batches-py"])
def test_cifars_batches_are_read_as_torchvision_reads_them(
    tmp_path, small_cifar, make_request, monkeypatch, protocol, below
):
    write_cifar10(tmp_path / "cifar-10-batches-py", small_cifar, [3, 1, 4, 1, 5, 9, 2], protocol)
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda _: None)
    official = CIFAR10(str(tmp_path), train=False)

    images = open_images(make_request(f"cifar10:{tmp_path if not below else tmp_path / below}"))

    assert np.array_equal(read(images).permute(0, 2, 3, 1).numpy(), official.data)
    assert np.array_equal(official.data, small_cifar)
    assert images.labels.tolist() == official.targets
    assert images.class_names[3] == "cat"


def test_python_2_batches_are_read(tmp_path, make_request):
    """The published files come from Python 2: byte strings, and numpy's modules under their old names."""
    raw = bytes(range(256)) * 12
    stream = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b"
        b"\x87Rq\x05(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff"
        b"\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00" + raw + b"tbU\x06labelsq\x08]q\x09K\x06au."
    )
    (tmp_path / "test_batch").write_bytes(stream)

    images = open_images(make_request(f"cifar10:{tmp_path}"))

    assert images.labels.tolist() == [6]
    assert read(images).flatten().numpy().tobytes() == raw
    assert images.class_names is None


class Harmful:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle ran')",))


def test_a_pickle_that_would_run_code_does_not(tmp_path, make_request):
    (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": Harmful(), "labels": []}))

    with pytest.raises(InvalidData, match="not one of CIFAR's python batches") as raised:
        open_images(make_request(f"cifar10:{tmp_path}"))

    assert "builtins.exec" in raised.value.detail


@pytest.mark.parametrize(
    "content",
    [
        b"torn",
        pickle.dumps([1, 2]),
        pickle.dumps({"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]}),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0, 1]}),
        pickle.dumps({"data": np.zeros(2, np.uint8), "labels": [0, 1]}),
        pickle.dumps({"data": np.array([None, {}]), "labels": [0, 1]}),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": ["a", "b"]}),
    ],
)
def test_files_that_are_no_batches_are_refused(tmp_path, make_request, content):
    (tmp_path / "test_batch").write_bytes(content)

    with pytest.raises(InvalidData, match="not one of CIFAR's python batches"):
        open_images(make_request(f"cifar10:{tmp_path}"))


def test_where_cifar_was_looked_for_is_said(tmp_path, make_request, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InvalidData, match="`test_batch` is not found") as raised:
        open_images(make_request("cifar10"))

    assert "data/cifar-10-batches-py" in raised.value.detail
    assert "cifar-10-python.tar.gz" in raised.value.remedy


def test_cifar_is_found_below_data_without_a_path(tmp_path, small_cifar, make_request, monkeypatch):
    write_cifar10(tmp_path / "data" / "cifar-10-batches-py", small_cifar, [0] * 7, 2)
    monkeypatch.chdir(tmp_path)

    assert len(open_images(make_request("cifar10"))) == 7


def test_cifar_100_takes_fine_labels_and_a_head_of_a_hundred(tmp_path, small_cifar, make_request):
    batch = {
        "data": small_cifar.transpose(0, 3, 1, 2).reshape(7, -1),
        "fine_labels": [99] * 7,
        "coarse_labels": [1] * 7,
    }
    (tmp_path / "test").write_bytes(pickle.dumps(batch, protocol=2))
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"c{n}" for n in range(100)]}, protocol=2))

    images = open_images(make_request(f"cifar100:{tmp_path}", classes=100))

    assert images.labels.tolist() == [99] * 7
    assert images.class_names[99] == "c99"
    with pytest.raises(InvalidData, match="CIFAR-100 has 100 classes, the model has 10"):
        open_images(make_request(f"cifar100:{tmp_path}"))
