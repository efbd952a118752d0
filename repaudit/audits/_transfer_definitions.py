"""What each figure of the audit `transfer` is, and where its definition comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAPERNOT = "Papernot, McDaniel & Goodfellow 2016"

DEFINITIONS: Mapping[str, Definition] = {
    "transfer.asr": Definition(
        "Attack success rate of PGD along a surrogate's gradients: broken / (right by the model and by the surrogate "
        "- errors). Any query within the radius counts, not only the last.",
        f"{_PAPERNOT}; on images that both get right as in arXiv 2410.03999, Table 4",
    ),
    "transfer.robust_accuracy": Definition(
        "Share of all images that the model gets right and goes on getting right when its images are moved along the "
        "surrogate's gradients: an upper bound of the truth.",
        _PAPERNOT,
    ),
    "transfer.error_share": Definition(
        "Share of images on which the model answered with NaN or infinity: neither robust nor broken.",
        "a third outcome, so that no failure reads as robustness",
    ),
    "transfer.surrogate_top1": Definition(
        "Share of the same images, unchanged, that the surrogate gets right: one that does not know them says nothing "
        "of the model.",
        "stands beside the attack's success, which it bounds",
    ),
}
