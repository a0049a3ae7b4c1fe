"""What an interrupted run goes on from: weights, the optimizer, and where in which epoch it was.

Nothing else is needed: order and dropout are drawn from (seed, epoch, batch), the optimizer's settings from the configuration. Only tensors,
texts and whole numbers are stored, and read with weights_only (which in PyTorch 1.13 knows no other), so that not even a file that somebody
put there is executed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .errors import TrainerError
from .files import write_tensors

FILE = "state.pt"
FORMAT = 1


@dataclass
class Course:
    """Where a training is."""

    epoch: int = 1
    step: int = 0  # the next batch of the epoch
    loss_sum: float = 0.0  # over the rows of this epoch so far
    seconds: float = 0.0  # trained, without what was lost
    history: list[dict[str, Any]] = field(default_factory=list)  # a record an epoch
    best_epoch: int = 0
    best_loss: float | None = None
    stale: int = 0  # validations since the best one
    finished: bool = False


def best_file(folder: Path, epoch: int) -> Path:
    return folder / f"best-{epoch}.pt"


def save_best(folder: Path, epoch: int, weights: dict[str, Tensor]) -> None:
    """Under a name of its own, so that the state before it still finds what it names."""
    write_tensors(best_file(folder, epoch), dict(weights))


def save_state(folder: Path, identity: dict[str, Any], course: Course, network: dict[str, Tensor], optimizer: Optimizer) -> None:
    value = {
        "format": FORMAT,
        "identity": json.dumps(identity),
        "course": json.dumps(asdict(course)),
        "network": dict(network),
        "moments": optimizer.state_dict()["state"],
    }
    write_tensors(folder / FILE, value)
    for old in folder.glob("best-*.pt"):
        if old != best_file(folder, course.best_epoch):
            old.unlink()


def load_state(
    folder: Path, identity: dict[str, Any], device: torch.device
) -> tuple[Course, dict[str, Tensor], dict[int, dict[str, Tensor]]] | None:
    """Where it was, the network's weights and the optimizer's moments. None: there is no state. @raises TrainerError if it cannot be read, or belongs to another training"""
    path = folder / FILE
    if not path.exists():
        return None
    value = _load(path, device)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise _invalid(path, "has another format")
    compare(path, json.loads(value["identity"]), identity)
    return Course(**json.loads(value["course"])), value["network"], value["moments"]


def load_best(folder: Path, epoch: int, device: torch.device) -> dict[str, Tensor]:
    return _load(best_file(folder, epoch), device)


def compare(path: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    """@raises TrainerError naming what differs"""
    differing = [key for key in now if then.get(key) != now[key]]
    if differing:
        key = differing[0]
        raise _invalid(path, f"belongs to another training: {key} was {_short(then.get(key))}, is {_short(now[key])}")


def discard(folder: Path) -> None:
    for path in (folder / FILE, *folder.glob("best-*.pt"), *folder.glob(".*.partial")):
        path.unlink(missing_ok=True)


def _load(path: Path, device: torch.device) -> Any:
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # what a damaged file makes PyTorch raise is not listed anywhere
        raise _invalid(path, f"cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from error


def _invalid(path: Path, problem: str) -> TrainerError:
    return TrainerError("STATE_INVALID", str(path), problem, "pass --restart to train from the beginning, or give another --out")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
