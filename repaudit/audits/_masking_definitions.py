"""What each figure of the audit `masking` is, and where its definition comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

_ATHALYE = "Athalye, Carlini & Wagner 2018; Carlini et al. 2019"

DEFINITIONS: Mapping[str, Definition] = {
    "masking.black_box_gap": Definition(
        "Share of images that Square (200 queries, no gradients) breaks and the iterated attack does not.",
        _ATHALYE,
    ),
    "masking.one_step_gap": Definition(
        "Share of images that one step of FGSM breaks and the iterated attack does not.",
        _ATHALYE,
    ),
    "masking.transfer_gap": Definition(
        "Share of images that an attack along a surrogate's gradients breaks and the iterated attack does not.",
        _ATHALYE,
    ),
    "masking.non_monotone": Definition(
        "Share of images broken at a radius and left at a larger one; the worst pair of radii.",
        _ATHALYE,
    ),
    "masking.survivors_half": Definition(
        "Share of images that 100 steps of PGD at radius 1/2 leave, where a grey image is within reach.",
        _ATHALYE,
    ),
    "masking.noise_ratio": Definition(
        "Images that uniform noise breaks / images that the attack of the same radius breaks, at most 1.",
        "Carlini et al. 2019",
    ),
    "masking.restart_gain": Definition(
        "Share of images that only the second to fourth start of PGD break.",
        "Carlini et al. 2019",
    ),
    "masking.loss_stalled": Definition(
        "Share of APGD's robust images whose loss it never raised.",
        "Croce & Hein 2020",
    ),
    "masking.planted_missed": Definition(
        "Of adversarials planted within the radius that random search does not find, the share that PGD does not "
        "find either.",
        "Zimmermann, Brendel, Tramèr & Carlini 2022",
    ),
    "masking.zero_gradient": Definition(
        "Share of input gradients that are exactly zero, at any step.",
        _ATHALYE,
    ),
    "masking.nonfinite_gradient": Definition(
        "Share of input gradients and last queries that hold NaN or infinity, at any step.",
        _ATHALYE,
    ),
    "masking.gradient_cosine": Definition(
        "Median cosine between input gradients and finite differences of the same loss along 8 directions.",
        "finite differences",
    ),
}
