"""Random search: draws are uniform in the ball, independent, and never heed an answer or a neighbour."""

import numpy as np
import pytest
import torch
from scipy import stats

from repaudit.attacks import Rows, load, resolve
from repaudit.attacks.noise import job_key
from repaudit.attacks.threat import Norm
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.classifier import Work
from repaudit.randomness import stream_key, text_key, uniforms

EPSILON = 0.1
SHAPE = (3, 4, 5)


def rows_of(names, iteration, clean=None):
    n = len(names)
    return Rows(
        index=torch.arange(n),
        clean=torch.full((n, *SHAPE), 0.5) if clean is None else clean,
        labels=torch.zeros(n, dtype=torch.int64),
        targets=torch.full((n,), -1),
        iteration=torch.full((n,), iteration),
        keys=torch.tensor([job_key(7, name, "random_noise", target=-1, restart=0) for name in names]),
    )


def search(norm=Norm.LINF, queries=100):
    setting = resolve({"name": "random_noise", "norm": norm, "epsilon": EPSILON, "queries": queries})
    (member,) = setting.members()
    return member.attack


def test_a_draw_is_the_uniform_of_its_image_s_stream_and_step():
    rows = rows_of(["a", "b"], 5)
    drawn = search().propose(rows) - rows.clean
    name = text_key("random_noise")
    keys = np.array([stream_key(7, text_key(image), name, -1, 0, 5) for image in ("a", "b")], dtype=np.uint64)

    np.testing.assert_allclose(drawn.flatten(1).numpy(), (2 * uniforms(keys, 60) - 1) * EPSILON, atol=1e-7)


@pytest.mark.parametrize("norm", list(Norm))
def test_a_row_draws_the_same_bits_beside_any_neighbours(norm):
    together = search(norm).propose(rows_of(["a", "b", "c", "d", "e"], 3))
    alone = search(norm).propose(rows_of(["d"], 3))

    assert torch.equal(together[3:4], alone)


@pytest.mark.parametrize("norm", list(Norm))
def test_draws_of_two_steps_and_of_two_images_differ(norm):
    first, second = (search(norm).propose(rows_of(["a", "b"], step)) for step in (0, 1))

    assert (first != second).float().mean() > 0.99
    assert (first[0] != first[1]).float().mean() > 0.99


def test_linf_draws_are_uniform_in_every_pixel():
    rows = rows_of([f"image-{row}" for row in range(200)], 0)
    drawn = (search().propose(rows) - rows.clean).flatten().double().numpy()

    assert stats.kstest(drawn, stats.uniform(-EPSILON, 2 * EPSILON).cdf).pvalue > 1e-3


def test_l2_draws_fill_the_ball_evenly():
    rows = rows_of([f"image-{row}" for row in range(400)], 0)
    length = torch.linalg.vector_norm((search(Norm.L2).propose(rows) - rows.clean).flatten(1).double(), dim=1)
    # the volume within radius r is (r / epsilon) to the power of the dimension
    shares = (length / EPSILON).numpy() ** 60

    assert stats.kstest(shares, stats.uniform.cdf).pvalue > 1e-3


@pytest.mark.parametrize("queries", [1, 7])
def test_a_robust_image_costs_the_asked_number_of_queries_and_no_backward_pass(
    classifier, predicted_images, subjects_of, run, queries
):
    images = predicted_images(classifier, 8)
    subjects = subjects_of(classifier, images)
    classifier.work = Work()
    found = run(classifier, images, {"name": "random_noise", "epsilon": 1e-6, "queries": queries}, subjects=subjects)

    assert found.count(Outcome.ROBUST) == 8
    assert (classifier.work.forward_rows, classifier.work.backward_rows) == (8 * queries, 0)
    assert found.gradients.rows == 0
    assert not resolve("random_noise").gradients


def test_more_draws_never_break_fewer_images(classifier, predicted_images, run):
    images = predicted_images(classifier, 40)
    few, many = (
        run(classifier, images, {"name": "random_noise", "epsilon": 0.15, "queries": queries}).outcome
        == CODES[Outcome.BROKEN]
        for queries in (2, 40)
    )

    assert (many | ~few).all()
    assert 0 < few.sum() < many.sum()


def test_it_says_that_it_is_a_yardstick():
    assert "yardstick" in load("random_noise").summary
