"""What happens to an image depends on the seed, the epoch and its own number."""

import numpy as np
import pytest
import torch

from repaudit.train.augment import Border, augmented


@pytest.fixture
def stored():
    return torch.randint(0, 256, (40, 3, 8, 9), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def shifted(stored, rows, **changed):
    settings = {"seed": 0, "epoch": 0, "pad": 2, "border": Border.ZEROS, "flip": True} | changed
    return augmented(stored[rows], rows, **settings)


@pytest.mark.parametrize("border", list(Border))
def test_an_image_is_moved_alike_in_every_batch(stored, border):
    rows = torch.arange(40)
    whole = shifted(stored, rows, border=border)

    assert torch.equal(shifted(stored, rows.flip(0), border=border), whole.flip(0))
    assert torch.equal(shifted(stored, rows[7:8], border=border), whole[7:8])


@pytest.mark.parametrize("border", list(Border))
def test_every_result_is_a_window_of_the_padded_image_or_its_mirror(stored, border):
    mode = {"zeros": "constant", "reflect": "reflect"}[border]
    padded = np.pad(stored.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode=mode) / np.float32(255)
    seen = set()
    for image, row in zip(shifted(stored, torch.arange(40), border=border).numpy(), range(40), strict=True):
        windows = {
            (top, left, mirrored): padded[row][:, top : top + 8, left : left + 9][:, :, :: -1 if mirrored else 1]
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
        }
        fitting = [place for place, window in windows.items() if np.array_equal(window, image)]
        assert fitting
        seen.add(fitting[0])
    assert {top for top, _, _ in seen} == {left for _, left, _ in seen} == set(range(5))
    assert {mirrored for _, _, mirrored in seen} == {False, True}


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": 1}])
def test_another_seed_or_epoch_moves_images_otherwise(stored, changed):
    rows = torch.arange(40)

    assert not torch.equal(shifted(stored, rows), shifted(stored, rows, **changed))


def test_half_of_the_images_are_mirrored():
    ramp = torch.arange(9, dtype=torch.uint8).expand(2000, 1, 8, 9)
    mirrored = shifted(ramp, torch.arange(2000), pad=0)[:, 0, 0, 0] > 0

    assert abs(int(mirrored.sum()) - 1000) < 4 * (2000 / 4) ** 0.5


def test_without_augmentation_the_pixels_are_the_stored_ones(stored):
    rows = torch.arange(40)

    assert torch.equal(shifted(stored, rows, pad=0, flip=False), stored.float() / 255)
