"""What `--reg` names: how the labels of a run are made soft."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from repaudit.errors import InvalidRecipe, nearest


class Mixing(StrEnum):
    """What is done to pairs of images."""

    NONE = "none"
    MIXUP = "mixup"
    CUTMIX = "cutmix"


class Smoothing(StrEnum):
    """What is done to each row of labels, mixed or not."""

    NONE = "none"
    LS = "ls"
    VS = "vs"


ONE_HOT = "onehot"
EXAMPLES = "onehot,ls,mixup,cutmix,vs"


@dataclass(frozen=True, slots=True)
class Method:
    """One mixing and one smoothing."""

    mixing: Mixing
    smoothing: Smoothing

    @property
    def name(self) -> str:
        """As `--reg` writes it, such as `vs` or `mixup+vs`."""
        parts = [part.value for part in (self.mixing, self.smoothing) if part.value != "none"]
        return "+".join(parts) or ONE_HOT


def parse_method(text: str) -> Method:
    """The method of `onehot`, `ls`, `mixup`, `cutmix`, `vs`, or of a mixing and a smoothing joined by `+`.

    Raises:
        InvalidRecipe: an unknown name, or two of a kind.
    """
    asked = text.strip().lower().split("+")
    if asked == [ONE_HOT]:
        return Method(Mixing.NONE, Smoothing.NONE)
    mixings = [part for part in asked if part in (Mixing.MIXUP, Mixing.CUTMIX)]
    smoothings = [part for part in asked if part in (Smoothing.LS, Smoothing.VS)]
    unknown = [part for part in asked if part not in mixings + smoothings]
    if unknown:
        known = [ONE_HOT, Smoothing.LS, Mixing.MIXUP, Mixing.CUTMIX, Smoothing.VS]
        near = nearest(unknown[0], known, 1)
        raise InvalidRecipe(
            f"`{unknown[0]}` is no way to make labels soft",
            detail=f"known: {', '.join(known)}; a mixing and a smoothing may be joined, as in mixup+vs",
            remedy=f"--reg {near[0] if near else EXAMPLES}",
        )
    if len(mixings) > 1 or len(smoothings) > 1:
        twice = mixings if len(mixings) > 1 else smoothings
        raise InvalidRecipe(
            f"`{text}` joins {' and '.join(twice)}, which are of one kind",
            remedy=f"--reg {','.join(dict.fromkeys(twice))}   (one run each)",
        )
    return Method(
        Mixing(mixings[0]) if mixings else Mixing.NONE, Smoothing(smoothings[0]) if smoothings else Smoothing.NONE
    )


def parse_methods(text: str) -> tuple[Method, ...]:
    """The methods of a comma-separated list, each once, in its order.

    Raises:
        InvalidRecipe: an empty list, or as `parse_method`.
    """
    names = [part for part in text.split(",") if part.strip()]
    if not names:
        raise InvalidRecipe("--reg names nothing", remedy=f"--reg {EXAMPLES}")
    return tuple(dict.fromkeys(parse_method(name) for name in names))
