"""The loop: epochs of batches, validation, early stopping; interruptible after any batch.

As upstream trains (r2r/train): AdamW with PyTorch's betas 0.9 and 0.999, no schedule, no clipping, float32, the weights of the epoch with the
least validation loss. Early stopping looks at the validation split only, the threshold is chosen on another one.
"""

from __future__ import annotations

import hashlib
import math
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from .batches import Batch, Batches
from .config import Config
from .errors import TrainerError
from .losses import Loss
from .networks import RouterNetwork
from .processes import Processes
from .progress import Progress
from .scoring import measure
from .state import Course, load_best, load_state, save_best, save_state


class Interrupted(Exception):
    """SIGTERM came, and the state is saved."""


@dataclass(frozen=True)
class Job:
    config: Config
    network: RouterNetwork  # on the device of `processes`
    loss: Loss
    train: Batches
    validation: Batches
    rows: int  # of the training split
    processes: Processes
    folder: Path
    identity: dict[str, Any]  # of the training: what it must have in common with the state it goes on from
    save_every: float  # seconds
    progress: Progress
    log: Callable[[dict[str, Any]], None]  # what else wants to know of an epoch


def train(job: Job) -> Course:
    """Leaves the best weights in the network. @raises TrainerError, Interrupted"""
    config, network, processes = job.config, job.network, job.processes
    optimizer = torch.optim.AdamW(
        [each for each in network.parameters() if each.requires_grad], lr=config.lr, betas=(0.9, 0.999), weight_decay=config.weight_decay
    )
    course = Course()
    resumed = load_state(job.folder, job.identity, processes.device)
    if resumed:
        course, weights, moments = resumed
        network.load_trained_state(weights)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        job.progress.resume(job.rows * (course.epoch - 1) + min(course.step * config.batch_rows, job.rows))
        job.progress.say(f"going on at epoch {course.epoch}, batch {course.step + 1}")
    model = DistributedDataParallel(network, broadcast_buffers=False) if processes.world > 1 else network
    with _termination(processes) as asked_to_stop:
        while not course.finished:
            _epoch(job, model, optimizer, course, asked_to_stop)
            _validate(job, course)
            if processes.first:
                save_state(job.folder, job.identity, course, network.trained_state(), optimizer)
    processes.meet()
    network.load_trained_state(load_best(job.folder, course.best_epoch, processes.device))
    return course


def _epoch(job: Job, model: torch.nn.Module, optimizer: torch.optim.Optimizer, course: Course, asked_to_stop: list[int]) -> None:
    processes, progress = job.processes, job.progress
    total = torch.tensor(course.loss_sum, dtype=torch.float64, device=processes.device)
    begun, before, first = time.monotonic(), course.seconds, course.step
    saved = begun
    model.train()
    for batch in job.train.epoch(course.epoch, course.step):
        torch.manual_seed(_seed(job.config.seed, course.epoch, course.step, processes.rank))
        per_row = job.loss(_outputs(model, batch, processes.device), batch.classes.to(processes.device))
        local = per_row.sum()
        optimizer.zero_grad(set_to_none=True)
        # the gradients of several processes are averaged
        (local * (processes.world / batch.rows)).backward()
        optimizer.step()
        total += processes.total(local.detach().double())
        course.step += 1
        now = time.monotonic()
        course.seconds = before + now - begun
        stop, save = bool(asked_to_stop), processes.first and now - saved >= job.save_every
        if stop or save or progress.due():
            done = min(course.step * job.config.batch_rows, job.rows)
            course.loss_sum = _finite(total.item(), course)
            speed = (done - first * job.config.batch_rows) / (time.monotonic() - begun)
            progress.steps(course.epoch, job.config.epochs, done, job.rows, course.loss_sum / done, speed)
        if (stop or save) and processes.first:
            save_state(job.folder, job.identity, course, job.network.trained_state(), optimizer)
            saved = time.monotonic()
        if stop:
            raise Interrupted
    course.loss_sum = _finite(total.item(), course)


def _validate(job: Job, course: Course) -> None:
    """Ends the epoch: its record, the best weights, whether to go on."""
    config, begun = job.config, time.monotonic()
    record: dict[str, Any] = {"epoch": course.epoch, "trainLoss": course.loss_sum / job.rows}
    better = False
    if course.epoch % config.validate_every == 0 or course.epoch == config.epochs:
        outputs, classes = outputs_of(job.network, job.validation, job.processes)
        loss = _finite(job.loss(outputs.double(), classes).mean().item(), course)
        probabilities = job.network.probability(outputs.double()).numpy()
        found = measure(probabilities, classes.numpy() == job.network.arguments.divergent, 0.5)
        record.update(validationLoss=loss, **{key: found[key] for key in ("accuracy", "f1", "recall", "positiveRate")})
        better = course.best_loss is None or loss < course.best_loss
        course.stale = 0 if better else course.stale + 1
        if better:
            course.best_epoch, course.best_loss = course.epoch, loss
            if job.processes.first:
                save_best(job.folder, course.epoch, job.network.trained_state())
    course.seconds += time.monotonic() - begun
    job.progress.epoch(record, config.epochs, job.rows, better)
    job.log(record)
    course.history.append(record)
    course.finished = course.epoch >= config.epochs or course.stale >= config.patience
    course.epoch, course.step, course.loss_sum = course.epoch + 1, 0, 0.0


@torch.no_grad()
def outputs_of(network: RouterNetwork, batches: Batches, processes: Processes) -> tuple[Tensor, Tensor]:
    """The outputs [rows, 1 or 3] and classes [rows] of a whole split on the CPU, the same in every process."""
    network.eval()
    size = batches.rows()
    outputs = torch.zeros(size, network.arguments.outputs, device=processes.device)
    classes = torch.zeros(size, dtype=torch.int64, device=processes.device)
    for batch in batches.epoch(0):
        outputs[batch.positions] = _outputs(network, batch, processes.device)
        classes[batch.positions] = batch.classes.to(processes.device)
    return processes.total(outputs).cpu(), processes.total(classes).cpu()


def probabilities_of(network: RouterNetwork, batches: Batches, processes: Processes) -> tuple[np.ndarray, np.ndarray]:
    """Probability of divergence, in float64, and class of each row."""
    outputs, classes = outputs_of(network, batches, processes)
    return network.probability(outputs).double().numpy(), classes.numpy()


def _outputs(model: torch.nn.Module, batch: Batch, device: torch.device) -> Tensor:
    features = {name: values.to(device, non_blocking=True) for name, values in batch.features.items()}
    return model(features.get("hidden_states"), features.get("token"), features.get("logits"))


def _seed(*of: int) -> int:
    return int.from_bytes(hashlib.blake2b("/".join(map(str, of)).encode(), digest_size=8).digest(), "little") >> 1


def _finite(loss: float, course: Course) -> float:
    if not math.isfinite(loss):
        place = f"epoch {course.epoch}, batch {course.step}"
        raise TrainerError("TRAINING_DIVERGED", place, f"the loss is {loss}", "set a smaller training.optimizer.lr and pass --restart")
    return loss


@contextmanager
def _termination(processes: Processes) -> Iterator[list[int]]:
    """Collects SIGTERM. Only the first process acts on it, as it saves the state; the others end with it."""
    caught: list[int] = []
    before = signal.signal(signal.SIGTERM, (lambda number, _: caught.append(number)) if processes.first else signal.SIG_IGN)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGTERM, before)
