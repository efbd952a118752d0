"""The baselines that ship are what the recipe `digits` makes, and show what holds of such labels."""

import json

import pytest
import torch
from safetensors import safe_open

from repaudit import shipped
from repaudit.data import load_data
from repaudit.demo import BASELINES
from repaudit.sources import load_model
from repaudit.train.reading import load
from repaudit.train.runs import Run

FOLDER = shipped.assets() / "baselines"
METHODS = ("onehot", "ls", "mixup", "cutmix", "vs")


def measured(reference):
    """Accuracy, mean confidence and RMS of features over the 900 unseen digits."""
    classifier = load_model(reference)
    (batch,) = load_data("digits", classifier).batches(900)
    with torch.inference_mode():
        output = classifier.forward(batch.images)
    confidence, predicted = output.logits.softmax(1).max(1)
    rms = output.features.square().mean(1).sqrt().mean()
    return float((predicted == batch.labels).float().mean()), float(confidence.mean()), float(rms)


@pytest.fixture(scope="module")
def found():
    return {method: measured(f"embedded:digits-{method}") for method in METHODS}


def test_the_demo_compares_the_five_that_ship_the_first_with_one_hot_labels():
    assert tuple(f"embedded:digits-{method}" for method in METHODS) == BASELINES
    assert {path.stem for path in FOLDER.iterdir()} == {f"digits-{method}" for method in METHODS}
    assert all(path.stat().st_size <= 100_000 for path in FOLDER.iterdir())


@pytest.mark.parametrize("method", METHODS)
def test_a_baseline_says_how_it_was_trained_and_that_is_what_the_shipped_recipe_says(method):
    with safe_open(FOLDER / f"digits-{method}.safetensors", framework="pt") as file:
        told = json.loads(file.metadata()["repaudit"])
    recipe = load("digits").recipe
    wanted = next(run for run in _runs(recipe) if run.name == f"{method}-seed0")

    assert told["recipe"] == "digits"
    assert told["settings"] == wanted.decisive
    assert told["virtual"] == (10 if method == "vs" else 0)


def _runs(recipe) -> tuple[Run, ...]:
    from repaudit.train.runs import runs_of

    return runs_of(recipe)


def test_features_of_every_soft_label_are_smaller_than_those_of_one_hot_labels(found):
    rms = {method: value for method, (_, _, value) in found.items()}

    assert all(rms[method] < rms["onehot"] for method in METHODS[1:])


def test_label_smoothing_is_less_sure_than_virtual_smoothing_and_that_than_one_hot_labels(found):
    confidence = {method: value for method, (_, value, _) in found.items()}

    assert confidence["ls"] < confidence["vs"] < confidence["onehot"]


@pytest.mark.slow
def test_the_recipe_makes_such_a_network_again(found, tmp_path, monkeypatch):
    from repaudit.cli.app import main

    monkeypatch.chdir(tmp_path)
    assert main(["train", "--reg", "vs", "--seeds", "1", "--no-scan", "--jobs", "1", "-o", "again"]) == 0
    accuracy, _, rms = measured("again/vs-seed0/model.safetensors")

    assert accuracy == pytest.approx(found["vs"][0], abs=0.02)
    assert rms == pytest.approx(found["vs"][2], rel=0.1)
