"""Several processes (gloo, on the CPU) train what one does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Callable

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


def test_two_processes_refuse_together(tmp_path: Path, command: Callable[..., list[str]]):
    done = together(command(tmp_path / "two", "--data", str(tmp_path / "nowhere")))
    assert done.returncode == 2
    assert done.stderr.count("LABEL_SET_INVALID") == 1, done.stderr
