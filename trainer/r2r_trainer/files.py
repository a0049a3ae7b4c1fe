"""Files that are there as a whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator

import torch

from .errors import TrainerError


def write_atomically(path: Path, write: Callable[[BinaryIO], None], durable: bool = True) -> None:
    """@raises TrainerError NO_SPACE"""
    partial = path.with_name(f".{path.name}.partial")
    with where_there_is_room(path):
        try:
            with partial.open("wb") as file:
                write(file)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
        except Exception:
            partial.unlink(missing_ok=True)  # on a full disk it takes what the next attempt needs
            raise
        os.replace(partial, path)
        if durable:
            sync_folder(path.parent)


@contextmanager
def where_there_is_room(path: Path) -> Iterator[None]:
    """@raises TrainerError NO_SPACE in place of what a full disk makes whoever writes raise"""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        fix = "enlarge its claim or remove old steps; the same command goes on from the state that was saved"
        raise TrainerError("NO_SPACE", str(path), "the volume is full", fix) from error


def sync_folder(path: Path) -> None:
    """Makes new names in a folder, and those that are gone, durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()), durable)


def write_tensors(path: Path, value: Any) -> None:
    """To an open file, because torch.save puts a path's name into the file."""

    def write(file: BinaryIO) -> None:
        patient = _Patient(file)
        torch.save(value, patient)
        if patient.error is not None:
            raise patient.error

    write_atomically(path, write)


class _Patient:
    """Keeps an error of the disk to itself: torch.save ends the whole process (abort) where writing fails under it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes

    def flush(self) -> None:
        pass  # write_atomically does


def digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"
