"""Files that are there as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Callable

import torch


def write_atomically(path: Path, write: Callable[[BinaryIO], None], durable: bool = True) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        write(file)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.replace(partial, path)
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()), durable)


def write_tensors(path: Path, value: Any) -> None:
    """To an open file, because torch.save puts a path's name into the file."""
    write_atomically(path, lambda file: torch.save(value, file))


def digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"
