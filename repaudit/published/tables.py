"""Which column of which printed table is which metric, and how it was measured."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Paper(StrEnum):
    """Whose figures."""

    RS = "rs"
    """arXiv 2410.03999."""
    VS = "vs"
    """AAAI 2025."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A printed column."""

    name: str
    """In the file."""
    key: str
    """Of the metric."""
    percent: bool = False
    """Printed from 0 to 100; ours are fractions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A printed table and its file."""

    paper: Paper
    number: str
    file: str
    """Without its extension."""
    labels: tuple[str, ...]
    """Columns that tell its rows apart; slips name a row by their values."""
    columns: tuple[Column, ...]
    convention: str
    """How its figures were measured, where another way would give others."""
    data: str | None = None
    """The images of all its rows; None where a column says."""
    method: str | None = None
    """The training of all its rows; None where a column says."""


_ATTACKS = ("fgsm", "pgd_w", "pgd_s", "autoattack_w", "autoattack_s")
_OVERALL = (
    Column(name="accuracy_percent", key="accuracy.top1", percent=True),
    Column(name="rms_mean", key="geometry.rms"),
    Column(name="center_cosine_mean", key="geometry.cosine.minimum_loss"),
    Column(name="ece", key="calibration.ece"),
    *(Column(name=f"asr_{name}_percent", key=f"robustness.{name}.asr", percent=True) for name in _ATTACKS),
)
_OVERALL_CONVENTION = (
    "ImageNet validation images; cosine to the minimum-loss point by gradient descent (`center: sgd`, as in profile "
    "paper); attack success among right answers: FGSM 8/255, pgd_w 7 steps at 0.4/255, pgd_s 7 steps at 8/255, "
    "AutoAttack at 1/255 and 8/255"
)
_ACCURACY = (Column(name="accuracy_percent", key="accuracy.top1", percent=True),)

TABLES = (
    Table(
        paper=Paper.RS,
        number="2",
        file="rs_table2_overall",
        labels=("model", "method"),
        columns=_OVERALL,
        convention=_OVERALL_CONVENTION,
        data="ImageNet",
    ),
    Table(
        paper=Paper.RS,
        number="8",
        file="rs_table8_torchvision",
        labels=("model", "method"),
        columns=_OVERALL,
        convention=_OVERALL_CONVENTION,
        data="ImageNet",
    ),
    Table(
        paper=Paper.RS,
        number="1",
        file="rs_table1_pearson",
        labels=("model", "method"),
        columns=(
            Column(name="class_mean", key="geometry.pearson.class_mean"),
            Column(name="weight_vector", key="geometry.pearson.weight_vector"),
            Column(name="minimum_loss_point", key="geometry.pearson.minimum_loss"),
        ),
        convention="confidence against the cosine to a class centre; minimum-loss point by gradient descent",
        data="ImageNet",
    ),
    Table(
        paper=Paper.RS,
        number="5",
        file="rs_table5_cone_index",
        labels=("model", "dataset"),
        columns=(*_ACCURACY, Column(name="first_misclassified_step_mean", key="cones.first_error_step")),
        convention="first misclassified of 100 steps to the origin, 100 where none is; the accuracies are Baseline's",
        method="Baseline",
    ),
    Table(
        paper=Paper.RS,
        number="6",
        file="rs_table6_bias",
        labels=("model", "method"),
        columns=(
            Column(name="abs_bias_mean", key="geometry.bias_abs"),
            Column(name="bias_dependent_ratio_mean", key="geometry.bias_dependence"),
        ),
        convention="means over classes: size of the bias; share of right answers that change without it",
        data="ImageNet",
    ),
    Table(
        paper=Paper.VS,
        number="2, 3",
        file="vs_table2_3_accuracy",
        labels=("model", "label", "data"),
        columns=_ACCURACY,
        convention="one run each, mass α chosen on the test images",
    ),
    Table(
        paper=Paper.VS,
        number="4",
        file="vs_table4_ece",
        labels=("data", "label", "alpha"),
        columns=(Column(name="ece", key="calibration.ece"),),
        convention="softmax over the real classes only; the network is not given",
    ),
)
"""In the order in which a merged row names them."""
