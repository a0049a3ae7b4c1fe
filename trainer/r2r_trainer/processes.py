"""The processes that train together: one, or those that torchrun started, each with its own device."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch import Tensor

from .errors import TrainerError

LONGEST_WAIT = datetime.timedelta(minutes=30)  # for the slowest process: reading the label set, writing the state


@dataclass(frozen=True)
class Processes:
    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def meet(self) -> None:
        if self.world > 1:
            distributed.barrier()

    def leave(self) -> None:
        if self.world > 1:
            distributed.destroy_process_group()


def join(device: str) -> Processes:
    """`device`: auto, cpu or cuda. @raises TrainerError if it is not there"""
    rank, world, local = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    kind = device.split(":")[0]
    if kind not in ("auto", "cpu", "cuda"):
        raise TrainerError("DEVICE_INVALID", "training.params.device", f"is {device!r}", "use auto, cpu or cuda")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and not torch.cuda.is_available():
        raise TrainerError("DEVICE_INVALID", "training.params.device", "cuda is not available here", "ask for a GPU, or pass --device cpu")
    if kind == "cuda":
        if local >= torch.cuda.device_count():
            fix = f"start at most {torch.cuda.device_count()} processes a node (torchrun --nproc-per-node)"
            raise TrainerError("DEVICE_INVALID", "torchrun", f"process {local} has no GPU of its own", fix)
        torch.cuda.set_device(local)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if world > 1:
        distributed.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=LONGEST_WAIT)
    return Processes(rank, world, torch.device("cuda", local) if kind == "cuda" else torch.device("cpu"))
