"""A full disk is said to be one, and the training goes on when there is room."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
import torch

from r2r_trainer import files
from r2r_trainer.errors import TrainerError

TRAINER = Path(__file__).parents[1]
SCRIPT = """
mount -t tmpfs -o size="$SIZE" tmpfs "$DISK" || exit 99
"$@"; echo "first $?"; cp "$WORDS" "$WORDS.first"; ls -A "$DISK/out"
mount -o remount,size=64m "$DISK" || exit 98
"$@"; code=$?; cp -r "$DISK/out" "$COPY"; exit $code
"""


def unshares() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


@pytest.mark.parametrize("size", ("12k", "24k", "40k"))
def test_a_full_disk(tmp_path: Path, trained: Callable[..., Path], command: Callable[..., list[str]], size: str):
    """On a file system of its own, which only these processes see: full at one file or another."""
    if not unshares():
        pytest.skip("mounting needs root")
    expected = trained("through")
    disk, words = tmp_path / "disk", tmp_path / "words"
    disk.mkdir()
    arguments = command(disk / "out", "--checkpoint-seconds", "0", "--termination-log", str(words))
    more = {"SIZE": size, "DISK": str(disk), "WORDS": str(words), "COPY": str(tmp_path / "copy")}
    run = ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", sys.executable, "-m", "r2r_trainer", *arguments]
    done = subprocess.run(run, cwd=TRAINER, env={**os.environ, **more}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "first 1\n" in done.stdout and ".partial" not in done.stdout
    first = json.loads(Path(f"{words}.first").read_text())
    assert (first["code"], first["retryable"]) == ("NO_SPACE", True) and first["field"].startswith(str(disk / "out"))
    assert "enlarge its claim or remove old steps" in first["fix"] and "TRAINER_DEFECT" not in done.stderr
    assert (tmp_path / "copy" / "router.pt").read_bytes() == (expected / "router.pt").read_bytes()


@pytest.mark.parametrize("number", (errno.ENOSPC, errno.EDQUOT))
@pytest.mark.parametrize("writes", (0, 1, 5))
def test_torch_does_not_end_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, writes: int):
    """Which it does (abort) when its file's `write` raises."""
    left = [writes]

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(number, os.strerror(number))
            return super().write(data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode: Full(path, mode))
        with pytest.raises(TrainerError, match="the volume is full; enlarge its claim") as caught:
            files.write_tensors(tmp_path / "state.pt", {"a": torch.zeros(100_000)})
    assert caught.value.code == "NO_SPACE" and caught.value.retryable and not list(tmp_path.iterdir())
    

def test_other_errors_of_the_disk_stay_what_they_are(tmp_path: Path):
    def fail(_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        files.write_atomically(tmp_path / "state.pt", fail)
