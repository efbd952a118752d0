"""Which metric a gate means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.errors import InvalidProfile, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repaudit.profiles import Gate


def resolve(name: str, keys: Iterable[str]) -> list[str]:
    """The keys that a metric's full or short name means: itself, else all that end in it by whole segments."""
    known = list(keys)
    return [name] if name in known else [key for key in known if key.endswith(f".{name}")]


def relative_keys(gates: Sequence[Gate], keys: Iterable[str]) -> list[str]:
    """The metrics that `worse(…)` of some gates mean, each once; names that mean none or several are left out."""
    known = list(keys)
    found = [resolve(gate.metric, known) for gate in gates if gate.relative]
    return list(dict.fromkeys(meant[0] for meant in found if len(meant) == 1))


def is_short_for(name: str, pattern: str) -> bool:
    """Whether a full or short name fits a key pattern: `*` is one segment, a last `*` one or more."""
    asked, wanted = name.split("."), pattern.split(".")
    if wanted[-1] == "*" and len(asked) > len(wanted):
        asked = asked[: len(wanted)]
    if len(asked) > len(wanted):
        return False
    tail = wanted[len(wanted) - len(asked) :]
    if len(asked) < len(wanted) and set(tail) == {"*"}:
        return False
    return all(want in {"*", given} for given, want in zip(asked, tail, strict=True))


def refuse_ambiguous(gate: Gate, found: Sequence[str]) -> None:
    """Refuses a short name of several metrics.

    Raises:
        InvalidProfile: with the full name of one of them.
    """
    if len(found) > 1:
        raise InvalidProfile(
            f"gate `{gate.text}`: `{gate.metric}` is short for {len(found)} metrics",
            detail=", ".join(found),
            remedy=gate.text.replace(gate.metric, found[0], 1),
        )


def unknown_metric(gate: Gate, known: Sequence[str], lead: str) -> InvalidProfile:
    """The refusal of a name that means none of the `known` keys, with the nearest that does."""
    shorts = {key.rpartition(".")[2]: key for key in known if not key.endswith("*")}
    near = nearest(gate.metric, [*known, *shorts], 1)
    return InvalidProfile(
        f"gate `{gate.text}`: {lead} metric `{gate.metric}`",
        remedy=gate.text.replace(gate.metric, near[0], 1) if near else "repaudit list metrics",
    )
