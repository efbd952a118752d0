"""A name stands in a table sorted by key: it must mean its own metric wherever it stands."""

import re

import pytest

from repaudit.render.html.names import NAMES
from repaudit.render.html.numbers import plain_name


def test_no_name_leans_on_the_row_above_it():
    leaning = re.compile(r"\b(the same|that cosine|this|they|them)\b")

    assert [name for _, name in NAMES if leaning.search(name)] == []


def test_no_two_metrics_are_called_the_same():
    names = [name for _, name in NAMES]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("key", ["calibration.nll", "calibration.nll_heldout", "calibration.nll_after_temperature"])
def test_of_a_likelihood_that_is_better_low_the_sign_is_told(key):
    assert plain_name(key).startswith("negative log-likelihood")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("calibration.top1_after_feature_scale", "top-1 accuracy after feature scaling"),
        ("calibration.ece_after_feature_scale", "calibration error after feature scaling"),
        ("calibration.ece_after_temperature", "calibration error after temperature scaling"),
    ],
)
def test_what_was_fitted_is_named_with_what_was_measured_after_it(key, name):
    assert plain_name(key) == name
