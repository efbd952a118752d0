"""The mistakes that a model is surest of, and their pictures."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from repaudit import profiles
from repaudit.audits.mistakes import thumbnail
from repaudit.data import load_data
from repaudit.public import scan
from repaudit.sources import load_model


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("mistakes")
        patch.setenv("REPAUDIT_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def found(own_folder):
    return scan("embedded:digits-cnn", "digits", audits=["accuracy", "mistakes"], settings=["mistakes.limit=5"])


def picture(entry):
    return Image.open(io.BytesIO(base64.b64decode(entry["jpeg"], validate=True)))


def test_the_share_counts_wrong_answers_from_the_confidence_on(found):
    columns = found.columns
    wrong = columns["prediction"] != columns["label"]

    assert found.metrics["mistakes.sure_share"].value == (wrong & (columns["confidence"] >= 0.9)).mean()
    assert found.figures["mistakes.most_confident"]["n"] == wrong.sum()


def test_the_pictures_are_of_the_most_confident_mistakes_in_their_order(found):
    columns, entries = found.columns, found.figures["mistakes.most_confident"]["images"]
    wrong = np.flatnonzero(columns["prediction"] != columns["label"])
    first = wrong[np.argsort(-columns["confidence"][wrong], kind="stable")][:5]

    assert [entry["id"] for entry in entries] == columns["id"][first].tolist()
    assert [entry["prediction"] for entry in entries] == columns["prediction"][first].tolist()
    assert all(entry["label"] != entry["prediction"] for entry in entries)


def test_a_picture_shows_the_image_that_the_model_saw(found):
    classifier = load_model("embedded:digits-cnn")
    images = load_data("digits", classifier)
    entry = found.figures["mistakes.most_confident"]["images"][0]
    (batch,) = images.batches(8, [entry["id"]])

    shown = np.asarray(picture(entry)).astype(float).reshape(8, 8, 8, 8).mean(axis=(1, 3))  # 64 pixels: 8 a pixel

    assert np.abs(shown - 255 * batch.images[0, 0].numpy()).max() < 12


@pytest.mark.parametrize(
    ("shape", "size", "mode"),
    [
        ((3, 224, 224), (96, 96), "RGB"),
        ((3, 100, 50), (48, 96), "RGB"),
        ((1, 8, 8), (64, 64), "L"),
        ((4, 80, 80), (80, 80), "RGB"),
    ],
)
def test_a_picture_has_between_64_and_96_pixels_and_keeps_its_shape_and_colours(shape, size, mode):
    made = Image.open(io.BytesIO(base64.b64decode(thumbnail(torch.full(shape, 0.5)))))

    assert (made.size, made.mode) == (size, mode)
    assert abs(np.asarray(made).astype(int) - 128).max() <= 2


def test_no_shipped_profile_keeps_pictures():
    for name in profiles.names():
        resolved = profiles.load(name, audits=None, settings=(), limit=None, directory=Path.cwd())
        assert resolved.audits.get("mistakes", {"limit": 0})["limit"] == 0


def test_a_limit_of_zero_keeps_no_picture_and_still_counts(own_folder):
    none = scan("embedded:digits-cnn", "digits", audits=["mistakes"], settings=["mistakes.limit=0"])

    assert none.figures["mistakes.most_confident"]["images"] == []
    assert none.figures["mistakes.most_confident"]["n"] > 0
    assert "mistakes.sure_share" in none.metrics
