"""The processes that train together: one, those that `--processes` starts, or those that torchrun starts; each has its own device."""

from __future__ import annotations

import datetime
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch import Tensor

from .errors import TrainerError

LONGEST_WAIT = datetime.timedelta(minutes=30)  # for the slowest process: reading the label set, writing the state

LEFT_TO_SAVE = 20.0  # seconds that the first process has when another one failed


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


def start(count: int, arguments: list[str]) -> int:
    """Runs `count` processes with these arguments on this machine, as torchrun would (Debian's does not run on its Python 3.11), and gives
    the exit code of the first one that failed, or 0. When one fails, or SIGTERM comes, all are ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    children = [
        subprocess.Popen([sys.executable, "-m", __package__, *arguments], env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]
    signal.signal(signal.SIGTERM, lambda *_: children[0].terminate())
    try:
        while True:
            codes = [child.poll() for child in children]
            failed = [code for code in codes if code]
            if failed or None not in codes:
                return _exit_code(children[0].wait(LEFT_TO_SAVE) if failed and children[0].poll() is None else (failed or [0])[0])
            time.sleep(0.05)
    except subprocess.TimeoutExpired:
        return 1
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code
