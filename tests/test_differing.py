"""What keeps two reports apart is told in words, not in Python's own writing."""

import pytest

from repaudit.compare.differing import differences

FGSM = {"name": "fgsm", "key": "fgsm", "norm": "linf", "epsilon": 0.03}
PGD = {"name": "pgd", "key": "pgd_w", "norm": "linf", "epsilon": 0.001, "steps": 7}
LONG = [{"name": "pgd", "key": f"pgd_{number}", "norm": "linf", "epsilon": 0.03} for number in range(60)]


@pytest.mark.parametrize(
    ("theirs", "mine", "told"),
    [
        (
            [FGSM, PGD],
            [PGD | {"steps": 10, "epsilon": 0.002}, {"name": "apgd", "key": "apgd"}],
            [
                "attacks: fgsm only in the baseline",
                "attacks: apgd only here",
                "attacks: pgd_w.epsilon is 0.001 in the baseline, 0.002 here",
                "attacks: pgd_w.steps is 7 in the baseline, 10 here",
            ],
        ),
        ([PGD], [PGD | {"start": "zero"}], ["attacks: pgd_w.start is absent in the baseline, zero here"]),
        ([FGSM], [FGSM | {"epsilon": None}], ["attacks: fgsm.epsilon is 0.03 in the baseline, null here"]),
        ([FGSM, PGD], [PGD, FGSM], ["attacks: fgsm, pgd_w in the baseline, in another order here"]),
        ([FGSM], [], ["attacks: fgsm only in the baseline"]),
        (["fgsm"], ["pgd"], ['attacks is ["fgsm"] in the baseline, ["pgd"] here']),
        ("sphere", None, ["attacks is sphere in the baseline, null here"]),
        ([FGSM], [dict(FGSM)], []),
    ],
)
def test_every_difference_is_told_once_and_by_the_name_of_its_field(theirs, mine, told):
    assert list(differences("attacks", theirs, mine, "the baseline")) == told


def test_however_many_attacks_differ_a_line_stays_a_line():
    (line,) = differences("attacks", [FGSM, *LONG], [FGSM], "the baseline")

    assert line.startswith("attacks: pgd_0, pgd_1, ")
    assert len(line) < 250
