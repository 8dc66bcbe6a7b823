"""Processes that share the work of one fit: each has a part of every minibatch, and all take the same steps.

Started by `torchrun --nproc-per-node N -m train_daemon RUN`. The first process is the trainer; the others serve it: they get what
a fit needs, run the same fit on their parts, and wait for the next. The loss is not a sum over structures (alpha_mix has roots
of means), so residuals are gathered before it is evaluated, everywhere, over the whole minibatch; gradients are summed after it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

CPU = torch.device("cpu")
LONGEST_WAIT = timedelta(days=30)  # of a process for the next fit


@dataclass(frozen=True)
class Group:
    """This process among `size`; alone, everything is what it is given."""

    rank: int = 0
    size: int = 1

    def part(self, count: int) -> slice:
        """This process's part of so many structures."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def whole(self, part: Sequence[Any] | None, count: int, like: Any) -> Sequence[Any]:
        """So many columns (B,) of a minibatch from those of its parts, None for an empty one.  like: (B,) of the same kind."""
        if self.size == 1:
            assert part is not None
            return part
        plain = isinstance(like, np.ndarray)
        every = torch.zeros(count, len(like), dtype=torch.float64, device="cpu" if plain else like.device)
        if part is not None:
            for row, column in zip(every, part, strict=True):
                row[self.part(len(like))] = torch.as_tensor(column)
        dist.all_reduce(every)
        return [row.numpy() if plain else row.to(like.dtype) for row in every]

    def add(self, gradient: torch.Tensor) -> None:
        """Sum the gradients (P,) of all parts, in place."""
        if self.size > 1:
            dist.all_reduce(gradient)

    def lead(self, compute: Callable[[], float]) -> float:
        """A number that the first process computes, for all."""
        if self.size == 1:
            return compute()
        told = torch.tensor([compute() if self.rank == 0 else 0.0], dtype=torch.float64)
        dist.broadcast(told, 0)
        return float(told)

    def tell(self, word: Any) -> None:
        """Give the other processes something to do."""
        if self.size > 1:
            dist.broadcast_object_list([word], 0, device=CPU)

    def hear(self) -> Any:
        """Wait for the first process to `tell`."""
        word = [None]
        dist.broadcast_object_list(word, 0, device=CPU)
        return word[0]


ALONE = Group()


def join() -> Group:
    """The group that torchrun has made this process part of, by its environment; one process alone without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Group()
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=LONGEST_WAIT)
    return Group(dist.get_rank(), size)


def leave() -> None:
    """End this process's part in the group; a process that exits as a member may abort: its threads still run."""
    if dist.is_initialized():
        dist.destroy_process_group()


def serve(group: Group, work: Callable[[Any], None]) -> None:
    """Do what the first process tells until it says None; it alone heeds signals."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    while (word := group.hear()) is not None:
        work(word)
