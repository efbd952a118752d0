"""What `repaudit list metrics NAME` says of a metric is what the code does."""

import numpy as np
import pytest

from repaudit import audits
from repaudit.metrics.collapse import neural_collapse


def test_nc3_takes_the_rows_of_the_head_as_they_are_and_says_so(rng):
    means = rng.normal(size=(3, 5))
    labels = np.repeat(np.arange(3), 4)
    features, rows = means[labels], means - means.mean(axis=0)

    def misfit(weight):
        return neural_collapse(features, labels, labels, weight).nc3

    assert misfit(rows) == pytest.approx(0, abs=1e-12)
    assert misfit(rows + 1) > 0.1  # centred, it would be the same head
    assert "rows of W as they are" in audits.load("geometry").definitions["collapse.nc3"].text


def test_planted_adversarials_are_said_to_be_those_that_random_search_does_not_find():
    assert "that random search does not find" in audits.load("masking").definitions["masking.planted_missed"].text
