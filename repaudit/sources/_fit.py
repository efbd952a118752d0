"""Putting stored weights into a network, or saying exactly why they do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from repaudit.sources._contract import Draft

WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.")
"""Left by DataParallel, torch.compile and Lightning."""
SHOWN = 4
"""How many keys of a kind a message names."""


def fit(draft: Draft, tensors: Mapping[str, torch.Tensor], what: str) -> tuple[str, ...]:
    """Loads weights strictly into the draft's network.

    Args:
        draft: the architecture; its network is changed in place.
        tensors: stored weights by name.
        what: the file, for messages.

    Returns:
        Notes on what had to be stripped, converted or widened.

    Raises:
        InvalidModel: keys are missing, unexpected or of another shape; the first few of each are named.
    """
    notes: list[str] = []
    wanted = draft.network.state_dict()
    state = _unwrapped(dict(tensors), wanted, notes)
    if not _fits(state, wanted) and draft.convert is not None:
        converted = _converted(draft, state)
        if converted is not None and _fits(converted, wanted):
            notes.append("weights renamed by timm's converter for this architecture")
            state = converted
    if not _fits(state, wanted):
        raise _mismatch(state, wanted, what, draft.resolved)
    half = {str(value.dtype).removeprefix("torch.") for value in state.values() if value.is_floating_point()}
    if half - {"float32"}:
        notes.append(f"weights stored as {', '.join(sorted(half - {'float32'}))}, computed in float32")
    for name in _counters(wanted, state):
        state[name] = wanted[name]
    draft.network.load_state_dict(state)
    return tuple(notes)


def _unwrapped(
    state: dict[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], notes: list[str]
) -> dict[str, torch.Tensor]:
    if "n_averaged" in state and "n_averaged" not in wanted:
        notes.append("averaged weights (`n_averaged` dropped)")
        state = {name: value for name, value in state.items() if name != "n_averaged"}
    stripped = True
    while stripped:
        stripped = False
        for prefix in WRAPPER_PREFIXES:
            foreign = not any(name.startswith(prefix) for name in wanted)
            if foreign and all(name.startswith(prefix) for name in state):
                notes.append(f"prefix `{prefix}` stripped from {len(state)} keys")
                state = {name.removeprefix(prefix): value for name, value in state.items()}
                stripped = True
    return state


def _converted(draft: Draft, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    if draft.convert is None:
        return None
    try:
        return dict(draft.convert(dict(state)))
    except Exception:  # a converter for one naming fails on another; the mismatch is reported by its keys
        return None


def _fits(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> bool:
    return not any((_missing(state, wanted), _unexpected(state, wanted), _reshaped(state, wanted)))


def _missing(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> list[str]:
    return [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]


def _unexpected(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> list[str]:
    return [name for name in state if name not in wanted]


def _reshaped(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> list[str]:
    return [name for name in wanted if name in state and state[name].shape != wanted[name].shape]


def _counters(wanted: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> list[str]:
    """Batch counters, which old checkpoints lack and no evaluation reads."""
    return [name for name in wanted if name not in state]


def _mismatch(
    state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], what: str, architecture: str
) -> InvalidModel:
    missing, unexpected, reshaped = _missing(state, wanted), _unexpected(state, wanted), _reshaped(state, wanted)
    shapes = [f"{name} {tuple(state[name].shape)} for {tuple(wanted[name].shape)}" for name in reshaped]
    detail = [
        _listed("missing from the file", missing),
        _listed("unexpected in the file", unexpected),
        _listed("of another shape", shapes),
    ]
    remedy = "another --arch, or --set model.<argument>=<value>"
    rows = {(state[name].shape[0], wanted[name].shape[0]) for name in reshaped if wanted[name].dim()}
    if not missing and not unexpected and len(rows) == 1 and len(reshaped) <= SHOWN:
        remedy = f"--set model.num_classes={next(iter(rows))[0]}   (the rows of {reshaped[-1]} in the file)"
    return InvalidModel(
        f"the weights of {what} do not fit {architecture}: {len(missing)} missing, {len(unexpected)} unexpected, "
        f"{len(reshaped)} of another shape",
        detail="\n".join(line for line in detail if line),
        remedy=remedy,
    )


def _listed(title: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return f"{title}: {', '.join(names[:SHOWN])}{more}"
