"""Several processes (gloo, on the CPU) train what one does."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest
import torch

TRAINER = Path(__file__).parents[1]


def together(arguments: list[str], processes: int = 2) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "r2r_trainer", "--processes", str(processes)]
    return subprocess.run([*start, *arguments], cwd=TRAINER, capture_output=True, text=True, timeout=120)


def test_two_processes_train_the_router_of_one(tmp_path: Path, trained: Callable[..., Path], command: Callable[..., list[str]]):
    still = {"model__init_args__dropout_rate": 0.0}
    one = trained("one", **still)
    done = together(command(tmp_path / "two", **still))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert result["processes"] == 2
    assert done.stdout.count('"model"') == 1, done.stdout
    expected, found = (torch.load(folder / "router.pt") for folder in (one, tmp_path / "two"))
    for name, weight in expected["state_dict"].items():
        assert torch.allclose(weight, found["state_dict"][name], atol=2e-4), name
    assert abs(expected["common_args"]["threshold"] - found["common_args"]["threshold"]) < 1e-3


def test_torchrun_trains_the_same(tmp_path: Path, command: Callable[..., list[str]]):
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    if subprocess.run([*torchrun, "--no_python", "true"], capture_output=True).returncode:
        pytest.skip("this PyTorch's torchrun does not start (Debian's 1.13 on Python 3.11)")
    log, start = tmp_path / "log", [*torchrun, "--standalone", "--nproc_per_node", "2", "-m", "r2r_trainer"]
    flags = command(tmp_path / "torchrun", "--progress-port", str(free_port()), "--termination-log", str(log))
    done = subprocess.run([*start, *flags], cwd=TRAINER, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(log.read_text())["sealed"] is True
    assert together(command(tmp_path / "own")).returncode == 0
    assert (tmp_path / "torchrun" / "router.pt").read_bytes() == (tmp_path / "own" / "router.pt").read_bytes()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_refuse_together(tmp_path: Path, command: Callable[..., list[str]]):
    done = together(command(tmp_path / "two", "--data", str(tmp_path / "nowhere")))
    assert done.returncode == 2
    assert done.stderr.count("LABEL_SET_INVALID") == 1, done.stderr
