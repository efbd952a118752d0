"""AutoAttack (Croce & Hein 2020): the published ensemble, attack by attack, with its published settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from repaudit.attacks import Options, Protocol, resolve

if TYPE_CHECKING:
    from repaudit.attacks import Setting
    from repaudit.attacks.threat import Threat

PASSES = 20
"""Passes a gradient is averaged over in `rand`, as published."""
VOTES = 41
"""Fresh passes whose majority decides in `rand`; odd, so that there is always one."""


class AutoAttackOptions(Options):
    """Which of its versions; everything else is fixed, or it would be another protocol (see `cascade`)."""

    version: Literal["standard", "rand", "virtual"] = "standard"
    """`standard`; `rand` for networks that answer at random; `virtual` for heads widened by virtual classes."""
    target_count: int | None = Field(default=None, ge=1)
    """Targets of `virtual`, where every class but the label is one; `standard` has its published 9."""

    @model_validator(mode="after")
    def _targets_of_virtual(self) -> Self:
        if (self.target_count is None) == (self.version == "virtual"):
            raise ValueError("target_count belongs to version `virtual`, which needs it")
        return self


def parts(threat: Threat, options: AutoAttackOptions) -> tuple[Setting, ...]:
    """APGD-CE, targeted APGD, targeted FAB and Square; for `rand` APGD on the cross-entropy and on DLR, averaged."""
    common = {"norm": threat.norm.value, "epsilon": threat.epsilon}
    if options.version == "rand":
        return tuple(resolve({"name": name, "samples": PASSES, **common}) for name in ("apgd_ce", "apgd_dlr"))
    targets = {} if options.target_count is None else {"target_count": options.target_count}
    return (
        resolve({"name": "apgd_ce", **common}),
        resolve({"name": "apgd_t", **targets, **common}),
        resolve({"name": "fab_t", **targets, **common}),
        resolve({"name": "square", **common}),
    )


attack = Protocol(
    summary="AutoAttack, the published protocol: APGD-CE, APGD-T, FAB-T and Square.",
    options=AutoAttackOptions,
    parts=parts,
    votes=lambda options: VOTES if options.version == "rand" else 1,
    presets={
        # arXiv 2410.03999, the weak and the strong radius
        "autoattack_w": {"epsilon": "1/255"},
        "autoattack_s": {"epsilon": "8/255"},
        "autoattack_rand": {"epsilon": "8/255", "version": "rand"},
    },
)
