"""Killed at any instant and started again, a training ends with the very file of one that ran through."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest
import torch

from r2r_trainer import state, training
from r2r_trainer.__main__ import main

PROGRAM = [sys.executable, "-m", "r2r_trainer"]
TRAINER = Path(__file__).parents[1]
LONG = {"training__params__num_epochs": 6, "training__params__patience": 6}
Command = Callable[..., list[str]]


def finish(arguments: list[str]) -> str:
    done = subprocess.run([*PROGRAM, *arguments], cwd=TRAINER, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def written(out: Path) -> int | None:
    """When the state was written."""
    try:
        return (out / state.FILE).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def await_new_state(out: Path, process: subprocess.Popen, old: int | None, deadline_seconds: float = 60) -> None:
    until = time.monotonic() + deadline_seconds
    while written(out) in (None, old) and process.poll() is None:
        assert time.monotonic() < until, "no state was written"
        time.sleep(0.005)


def test_sigkill(tmp_path: Path, trained: Callable[..., Path], command: Command):
    expected = trained("through", **LONG)
    out, resumed, rng = tmp_path / "killed", 0, random.Random(4)
    arguments = command(out, "--checkpoint-seconds", "0.02", **LONG)
    for _ in range(4):
        old = written(out)
        process = subprocess.Popen([*PROGRAM, *arguments], cwd=TRAINER, stderr=subprocess.PIPE, text=True)
        await_new_state(out, process, old)
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        resumed += "going on" in process.communicate()[1]
    assert resumed >= 2
    finish(arguments)
    assert (out / "router.pt").read_bytes() == (expected / "router.pt").read_bytes()
    assert (out / "training_curves.csv").read_bytes() == (expected / "training_curves.csv").read_bytes()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("seed", range(4))
def test_at_any_write(tmp_path: Path, trained: Callable[..., Path], command: Command, monkeypatch: pytest.MonkeyPatch, seed: int):
    """Stops at random calls that change a file: before it, or when its content is only half there."""
    from r2r_trainer import files

    expected = trained("through")
    rng, left, replace = random.Random(seed), [0], files.os.replace

    def cut(source: Path, target: Path) -> None:
        left[0] -= 1
        if left[0] == 0:
            if rng.random() < 0.5:
                content = Path(source).read_bytes()
                Path(source).write_bytes(content[: len(content) // 2])
            else:
                replace(source, target)
            raise Killed
        replace(source, target)

    out, arguments = tmp_path / "cut", command(tmp_path / "cut", "--checkpoint-seconds", "0")
    monkeypatch.setattr(files.os, "replace", cut)
    for _ in range(8):
        left[0] = rng.randrange(1, 40)
        try:
            assert main(arguments) == 0
        except Killed:
            pass
    left[0] = 10_000
    assert main(arguments) == 0
    assert (out / "router.pt").read_bytes() == (expected / "router.pt").read_bytes()
    assert not list(out.glob(".*")) and not list(out.glob("best-*"))


def test_sigterm_saves_and_says_so(tmp_path: Path, trained: Callable[..., Path], command: Command):
    changes = {**LONG, "training__params__batch_size": 32}
    arguments = command(tmp_path / "out", "--checkpoint-seconds", "0.1", **changes)
    process = subprocess.Popen([*PROGRAM, *arguments], cwd=TRAINER, stderr=subprocess.PIPE, text=True)
    await_new_state(tmp_path / "out", process, None)
    process.send_signal(signal.SIGTERM)
    assert "terminated; the state is saved" in process.communicate(timeout=60)[1] and process.returncode == 143
    assert "going on at epoch" in finish(arguments)
    assert (tmp_path / "out" / "router.pt").read_bytes() == (trained("through", **changes) / "router.pt").read_bytes()


def test_an_error_that_may_pass_keeps_the_state(tmp_path: Path, trained: Callable[..., Path], command: Command, monkeypatch: pytest.MonkeyPatch):
    out, log, validate, left = tmp_path / "out", tmp_path / "log", training._validate, [2]

    def fail(*job: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("the device is gone")
        validate(*job)

    arguments = command(out, "--termination-log", str(log), "--hash", "abc")
    with monkeypatch.context() as patch:
        patch.setattr(training, "_validate", fail)
        with pytest.raises(RuntimeError):
            main(arguments)
    words = json.loads(log.read_text())
    assert (words["code"], words["retryable"]) == ("TRAINER_DEFECT", True) and "the device is gone" in words["message"]
    assert "going on at epoch 2" in finish(arguments)
    assert (out / "router.pt").read_bytes() == (trained("through") / "router.pt").read_bytes()


@pytest.mark.parametrize("error", (MemoryError("no room"), torch.cuda.OutOfMemoryError("no room")))
def test_a_lack_of_memory_is_for_a_person(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: Any, error: Exception):
    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(training, "_validate", fail)
        assert main(command(tmp_path / "out")) == 2
    assert "MEMORY_EXHAUSTED: process 0: ran out of memory (no room); give it more" in capsys.readouterr().err
    assert main(command(tmp_path / "out")) == 0


def test_sigterm_ends_it_at_once_where_there_is_nothing_to_save(tmp_path: Path, command: Command):
    """Also as the first process of a container, which the kernel keeps from signals that are not handled."""
    pipe, until = tmp_path / "config.json", time.monotonic() + 60
    os.mkfifo(pipe)
    process = subprocess.Popen([*PROGRAM, *command(tmp_path / "out", "--config", str(pipe))], cwd=TRAINER)
    while (writer := _writer_of_what_is_read(pipe)) is None:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    os.close(writer)


def _writer_of_what_is_read(pipe: Path) -> int | None:
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_a_state_that_would_execute_something_is_refused(tmp_path: Path, command: Command, capsys: Any):
    mark = tmp_path / "executed"
    out = tmp_path / "out"
    out.mkdir()

    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (mark,))

    torch.save({"format": 1, "course": Touch()}, out / state.FILE)
    assert main(command(out)) == 2
    assert "STATE_INVALID" in capsys.readouterr().err and not mark.exists()
    (out / state.FILE).write_bytes(pickle.dumps(Touch()))
    assert main(command(out)) == 2
    (out / state.FILE).write_bytes(b"torn")
    assert main(command(out)) == 2
    assert "pass --restart" in capsys.readouterr().err and not mark.exists()
    assert main(command(out, "--restart")) == 0


def test_the_state_of_another_training_is_refused_by_what_differs(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    def stop(*_: Any) -> None:
        raise Killed

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(training, "_validate", stop)
        with pytest.raises(Killed):
            main(command(out, "--checkpoint-seconds", "0"))
    assert (out / state.FILE).exists() and json.loads((out / "progress.json").read_text())["phase"] == "train"
    assert main(command(out, training__params__batch_size=32)) == 2
    assert "batch_rows was 64, is 32" in capsys.readouterr().err
    assert main(command(out)) == 0
