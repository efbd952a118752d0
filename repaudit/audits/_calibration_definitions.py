"""What each figure of the audit `calibration` is, and where its definition comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

_RS = "arXiv 2410.03999, appendix L"
_HALF = "Guo et al. 2017, fitted and reported on different halves"

DEFINITIONS: Mapping[str, Definition] = {
    "calibration.ece": Definition(
        "Expected calibration error: sum over 15 equal-width bins (a, b] of the share of images times"
        " |accuracy - mean confidence|.",
        "Naeini et al. 2015; Guo et al. 2017",
    ),
    "calibration.signed_gap": Definition(
        "Mean confidence - accuracy over all images; positive: over-confident.",
        "the sign that an expected calibration error loses",
    ),
    "calibration.ece_over": Definition(
        "The part of `ece` in bins whose mean confidence exceeds their accuracy; with `ece_under` it adds up to `ece`.",
        "Naeini et al. 2015, split by sign",
    ),
    "calibration.ece_under": Definition(
        "The part of `ece` in bins whose accuracy exceeds their mean confidence; with `ece_over` it adds up to `ece`.",
        "Naeini et al. 2015, split by sign",
    ),
    "calibration.ece_equal_mass": Definition(
        "As `ece`, over 15 bins of as nearly equal size as ties of confidence allow.",
        "Nguyen & O'Connor 2015; Nixon et al. 2019",
    ),
    "calibration.mce": Definition(
        "Maximum calibration error: the largest |accuracy - mean confidence| of the equal-width bins,"
        " however few images it holds.",
        "Naeini et al. 2015",
    ),
    "calibration.l2_debiased": Definition(
        "Signed root of the squared calibration error over 15 equal-mass bins, less what chance adds;"
        " below 0 where chance explains more than all of it.",
        "Kumar, Liang & Ma 2019",
    ),
    "calibration.ece_classwise": Definition(
        "Calibration error of each class's probability on the images where it exceeds 1/K, mean over classes.",
        "Nixon et al. 2019",
    ),
    "calibration.smooth_ece": Definition(
        "Calibration error without bins: a reflected Gaussian kernel, as wide as the error itself.",
        "Błasiok & Nakkiran 2023",
    ),
    "calibration.nll": Definition(
        "Negative log-likelihood: mean of -log p(label).",
        "a proper scoring rule; Good 1952",
    ),
    "calibration.brier": Definition(
        "Mean over images of the sum over classes of (p - [class is the label])²; from 0 to 2.",
        "Brier 1950",
    ),
    "calibration.null_ece": Definition(
        "Mean `ece` that a perfectly calibrated model with these confidences would show on so many images.",
        "simulated: each label right with probability of its confidence",
    ),
    "calibration.temperature": Definition(
        "T that minimises the negative log-likelihood of logits / T on one half of the images; above "
        "1: over-confident.",
        "Guo et al. 2017",
    ),
    "calibration.feature_scale": Definition(
        "S that minimises the negative log-likelihood of S (logits - bias) + bias on one half of the "
        "images; below 1: over-confident.",
        _RS,
    ),
    "calibration.ece_heldout": Definition(
        "`ece` of the half on which nothing was fitted, as it is: what every `..._after_...` is compared with.",
        _HALF,
    ),
    "calibration.nll_heldout": Definition(
        "`nll` of the half on which nothing was fitted, as it is.",
        _HALF,
    ),
    "calibration.ece_after_temperature": Definition(
        "`ece` of the held-out half after division of the logits by `temperature`.",
        _HALF,
    ),
    "calibration.nll_after_temperature": Definition(
        "`nll` of the held-out half after division of the logits by `temperature`.",
        _HALF,
    ),
    "calibration.ece_after_feature_scale": Definition(
        "`ece` of the held-out half after the features are scaled by `feature_scale`.",
        _RS,
    ),
    "calibration.top1_after_feature_scale": Definition(
        "Accuracy of the held-out half after the features are scaled by `feature_scale`: unlike T, S "
        "can change answers.",
        _RS,
    ),
}
