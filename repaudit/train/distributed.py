"""Several processes that train one network, as torchrun starts them."""

from __future__ import annotations

import inspect
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

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


def processes() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


def own_device(device: torch.device) -> torch.device:
    """Of several accelerators the one that belongs to this process."""
    local = os.environ.get("LOCAL_RANK")
    return torch.device("cuda", int(local)) if device.type == "cuda" and local is not None else device


def exchanging(network: nn.Module) -> nn.Module:
    """The network whose gradients are the mean over all processes; running statistics stay each process's own."""
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    # the newer name of the same switch; the older one warns where both are known
    if "forward_sync_buffers" in known:
        return DistributedDataParallel(network, forward_sync_buffers=False)
    return DistributedDataParallel(network, broadcast_buffers=False)


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The ranks that torchrun's environment tells of; alone without it.

    Yields:
        This process's place; the group is left at the end.
    """
    if processes() == 1:
        yield Ranks()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
