"""What each figure of the audit `robustness` is, and where its definition comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

_RS = "arXiv 2410.03999"
_FIG7 = "arXiv 2410.03999, Fig. 7"

DEFINITIONS: Mapping[str, Definition] = {
    "robustness.*.asr": Definition(
        "Attack success rate: broken / (initially correct - errors). Any query within the radius "
        "counts, not only the last.",
        _RS,
    ),
    "robustness.*.error_share": Definition(
        "Share of images on which the network answered with NaN or infinity: neither robust nor broken.",
        "a third outcome, so that no failure reads as robustness",
    ),
    "robustness.*.robust_accuracy": Definition(
        "Share of all images that are right and stay right under the attack: an upper bound of the truth.",
        "Croce & Hein 2020",
    ),
    "robustness.*.perturbation_rms": Definition(
        "Length per dimension of what the attack adds to the feature, ‖f(x + δ) - f(x)‖ / √d at the "
        "attack's last iterate; mean.",
        _FIG7,
    ),
    "robustness.*.perturbation_pearson": Definition(
        "Pearson correlation of ‖f(x + δ) - f(x)‖ with ‖f(x)‖.",
        _FIG7,
    ),
    "robustness.*.cosine_spearman": Definition(
        "Spearman correlation of being broken with the cosine of the feature to its class centre, per image.",
        "arXiv 2410.03999, Fig. 3",
    ),
    "robustness.*.margin_spearman": Definition(
        "Spearman correlation of being broken with the clean margin, per image.",
        "stands beside the cosine: an association, not a cause",
    ),
    "robustness.*.linear_distance_spearman": Definition(
        "Spearman correlation of being broken with the margin over the norm of its input gradient, per image.",
        "Hein & Andriushchenko 2017, to first order",
    ),
    "robustness.*.telling_epsilon": Definition(
        "A radius near the asked one at which this attack breaks between 30 and 80 % of the right answers.",
        "a saturated attack tells no models apart",
    ),
    "robustness.mechanism.shrink_cosine_large": Definition(
        "Cosine between the change of the feature and -f for one FGSM step of 8/255; mean.",
        _RS,
    ),
    "robustness.mechanism.shrink_cosine_small": Definition(
        "Cosine between the change of the feature and -f for one FGSM step of the smaller radius; mean.",
        _RS,
    ),
    "robustness.mechanism.radial_share_large": Definition(
        "Length of the change of the feature along f over its whole length, for one FGSM step of 8/255; mean.",
        _RS,
    ),
    "robustness.mechanism.radial_share_small": Definition(
        "Length of the change of the feature along f over its whole length, for one FGSM step of the "
        "smaller radius; mean.",
        _RS,
    ),
}
