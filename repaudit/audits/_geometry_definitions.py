"""What each figure of the audit `geometry` is, and where its definition comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RS = "arXiv 2410.03999"
_TABLE = "arXiv 2410.03999, Table 1"
_BIAS = "arXiv 2410.03999, appendix D, Table 6"
_NC = "Papyan, Han & Donoho 2020, on the evaluation images"

_OF_GEOMETRY = {
    "geometry.rms": Definition(
        "Length of a feature per dimension, ‖f‖ / √d; mean over all images.",
        _RS,
    ),
    "geometry.weight_norm": Definition(
        "Mean Euclidean length of the head's rows, ‖w_c‖, over classes.",
        _RS,
    ),
    "geometry.bias_abs": Definition(
        "Mean |b_c| of the head's bias over classes.",
        _BIAS,
    ),
    "geometry.bias_dependence": Definition(
        "Share of a class's correct predictions that change without the bias; mean over classes that have any.",
        _BIAS,
    ),
    "geometry.row_space_share": Definition(
        "Share of ‖f‖² within the span of the rows w_c - mean w: what can move any difference of "
        "logits; mean over images.",
        "linear algebra: the rest of a feature changes no prediction",
    ),
    "collapse.nc1": Definition(
        "Spread within classes against that between them: tr(Σ_W Σ_B⁺) / m; 0 when features have "
        "collapsed to their class means.",
        _NC,
    ),
    "collapse.nc2_means_cv": Definition(
        "Standard deviation / mean of the lengths of the centred class means; 0 when all are equally long.",
        _NC,
    ),
    "collapse.nc2_weights_cv": Definition(
        "Standard deviation / mean of the lengths of the centred rows of W; 0 when all are equally long.",
        _NC,
    ),
    "collapse.nc2_angle": Definition(
        "Mean |cos + 1 / (m - 1)| over pairs of centred class means; 0 for a simplex.",
        _NC,
    ),
    "collapse.nc2_coherence": Definition(
        "Largest |cos| between centred class means over Welch's bound; 1 is the least possible where "
        "d < m - 1 leaves no room for a simplex.",
        "Welch 1974",
    ),
    "collapse.nc3": Definition(
        "‖W/‖W‖ - M/‖M‖‖ of the rows of W as they are and the centred class means M; 0 when the two are parallel.",
        _NC,
    ),
    "collapse.nc4": Definition(
        "Share of images whose nearest class mean is not the predicted class.",
        _NC,
    ),
}
_CENTERS = {
    "class_mean": "the mean of its class's correctly classified features",
    "weight_vector": "its class's row of W",
    "weight_centered": "its class's row of W less the mean row",
    "minimum_loss": "its class's point of least loss",
    "class_mean_loo": "the mean of its class's other correctly classified features",
}


def _of_alignment() -> Iterator[tuple[str, Definition]]:
    for center, words in _CENTERS.items():
        mean = f"Cosine of a feature with {words}; mean over initially correct images."
        yield f"geometry.cosine.{center}", Definition(mean, _RS)
        for kind, name in (("pearson", "Pearson"), ("spearman", "Spearman")):
            key = f"geometry.{kind}.{center}"
            over_all = f"{name} correlation of confidence with the cosine of a feature with {words}, over all images."
            correct = f"As `{kind}.{center}`, over initially correct images only."
            predicted = f"As `{kind}.{center}`, with the predicted class in place of the true one."
            yield key, Definition(over_all, _TABLE)
            yield f"{key}_correct", Definition(correct, _TABLE)
            if center != "class_mean_loo":  # an image is no part of the mean of a class it is not in
                yield f"{key}_predicted", Definition(predicted, _TABLE)


DEFINITIONS: Mapping[str, Definition] = _OF_GEOMETRY | dict(_of_alignment())
