"""Any attacks in any order, an image broken by one spared the next: ensembles of one's own, and `fast`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from repaudit.attacks import Options, Protocol, resolve
from repaudit.errors import InvalidProfile

if TYPE_CHECKING:
    from repaudit.attacks import Setting
    from repaudit.attacks.threat import Threat


class CascadeOptions(Options):
    """Which attacks."""

    attacks: tuple[str | dict[str, str | int | float], ...] = Field(min_length=1)
    """Presets by name, or mappings as in a profile; norm and radius are the cascade's own."""

    @field_validator("attacks")
    @classmethod
    def _no_radius(
        cls, attacks: tuple[str | dict[str, str | int | float], ...]
    ) -> tuple[str | dict[str, str | int | float], ...]:
        for entry in attacks:
            if isinstance(entry, dict) and {"norm", "epsilon"} & entry.keys():
                raise ValueError("norm and epsilon belong to the cascade, not to its attacks")
        return attacks


def parts(threat: Threat, options: CascadeOptions) -> tuple[Setting, ...]:
    """The attacks, each with the cascade's threat.

    Raises:
        InvalidProfile: no such attack, an option that cannot be, or a protocol that votes.
    """
    common = {"norm": threat.norm.value, "epsilon": threat.epsilon}
    entries = [{"name": entry} if isinstance(entry, str) else entry for entry in options.attacks]
    settings = tuple(resolve({**entry, **common}) for entry in entries)
    for setting in settings:
        if setting.votes > 1:
            raise InvalidProfile(
                f"`{setting.key}` decides by votes and cannot be part of a cascade", remedy=f"attacks: [{setting.key}]"
            )
    samples = {member.attack.samples for setting in settings for member in setting.members()}
    if len(samples) > 1:
        raise InvalidProfile(
            f"attacks of one cascade average their gradients over {sorted(samples)} passes",
            detail="Rows of several attacks share a pass of the network.",
            remedy="the same `samples` in all of them, or a cascade of each",
        )
    return settings


attack = Protocol(
    summary="Several attacks in turn, each on what the ones before left unbroken.",
    options=CascadeOptions,
    parts=parts,
    presets={
        # the gradient half of AutoAttack, for a quarter of the cost: on resnet2b at 4/255 FAB-T and Square broke no
        # image beyond it (docs/benchmarks.md); no standard, and never called one
        "fast": {"epsilon": "8/255", "attacks": ["apgd_ce", "apgd_t"]},
    },
)
