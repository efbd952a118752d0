"""Several processes that train one network, as torchrun starts them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed, nn

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that writes files."""
        return self.rank == 0

    def part(self, rows: torch.Tensor) -> torch.Tensor:
        """This process's share of a global batch; all are of one size."""
        each = len(rows) // self.world
        return rows[self.rank * each : (self.rank + 1) * each]

    def every(self, count: int) -> range:
        """This process's share of `count` rows, none of them twice."""
        return range(self.rank, count, self.world)

    def share_buffers(self, network: nn.Module) -> None:
        """Gives all processes the running statistics of the first one."""
        if self.world > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The ranks that torchrun's environment tells of; alone without it.

    Yields:
        This process's place; the group is left at the end.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
