"""Floating-point operations of a network, counted as it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch


class OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts by torch's own formulas what runs while it is entered; gradients must be enabled.

    torch's FlopCounterMode does the same, and imports the compiler on its first call, which takes a second. Without
    gradients some products would pass before they are taken apart into those that have a formula.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # where it is true, the compiler is imported

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Runs the operator and adds what it costs."""
        given = dict(kwargs or {})
        answer: object = func(*args, **given)
        cost = flop_registry.get(func.overloadpacket)
        if cost is not None:
            self.operations += int(cost(*args, **given, out_val=answer))
        return answer
