"""Marks of a workspace's folders: which R2RRouter uses them, and since when last (src/pipeline/workspace/owners.ts, leaving.ts).

A mark is made before anything in a folder is read or written, so that a cleaning of another router that goes on at the same time sees it.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from .errors import TrainerError
from .files import sync_folder

MARKS = "owners"
TRIES = 3
LEAVING = re.compile(r"\.leaving\.([a-z]+-[0-9a-f]{16})\.[-a-z0-9]+\.[-a-z0-9]+\.[0-9]+")
_LABEL = r"([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)"


def mark_name(owner: str) -> str:
    """`namespace.name` of `namespace/name`. @raises TrainerError"""
    found = re.fullmatch(f"{_LABEL}/{_LABEL}", owner)
    if found is None:
        raise TrainerError("CONFIG_INVALID", "--owner", f"is {owner!r}", "give NAMESPACE/NAME of an R2RRouter")
    return f"{found[1]}.{found[2]}"


def mark(folder: Path, name: str, makes: bool) -> None:
    """Durable when it returns. `makes`: the folder is made where it is missing; else nothing is done then. @raises OSError"""
    marks = folder / MARKS
    for left in range(TRIES, -1, -1):
        try:
            os.close(os.open(marks / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666))
            os.utime(marks / name)
            sync_folder(marks)
            return
        except FileNotFoundError:  # never marked before, or a cleaning is just taking it away
            if left == 0:
                raise
        if _take_back(folder):
            continue
        if not makes and not folder.exists():
            return
        marks.mkdir(parents=True, exist_ok=True)
        sync_folder(folder)


def is_marked(folder: Path, name: str) -> bool:
    return (folder / MARKS / name).exists()


def _take_back(folder: Path) -> bool:
    """Puts a folder back under its name, if it is on its way out and whole."""
    try:
        names = sorted(os.listdir(folder.parent))
    except FileNotFoundError:
        return False
    for name in names:
        found = LEAVING.fullmatch(name)
        if found is None or found[1] != folder.name:
            continue
        try:
            os.rename(folder.parent / name, folder)
            return True
        except OSError as error:  # somebody else was faster
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
    return False
