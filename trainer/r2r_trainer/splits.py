"""From the label set's files to the rows of the three splits: training, validation (early stopping), test (threshold)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .batches import Rows
from .config import SPLITS, Config
from .errors import TrainerError
from .label_set import Group, find_files, invalid, list_groups
from .questions import Labels, assign, classes, filtered, read_labels

ROLES = {"train": "training", "validation": "early stopping", "test": "the threshold"}


@dataclass(frozen=True)
class Divided:
    splits: dict[str, Rows]
    facts: dict[str, Any]  # rows, questions and classes of each split
    digest: str  # of all labels, and of which row is where


def locate(config: Config, data: Path | None) -> dict[str, list[Path]]:
    """Files by split, from --data or, without it, from the configuration's `local:` paths. @raises TrainerError"""
    if data is not None:
        return find_files(data)
    found: dict[str, list[Path]] = {}
    for name, split in config.splits.items():
        for path in split.paths:
            kind, colon, rest = path.partition(":")
            if colon and kind != "local":
                fix = "fetch the label set and give its folder as --data"
                raise TrainerError("CONFIG_INVALID", f"data.{name}.path", f"{path!r} is not on this machine", fix)
            inside = find_files(Path(rest if colon else path))
            found.setdefault(name, []).extend(file for files in inside.values() for file in files)
    if "train" not in found:
        raise TrainerError("CONFIG_INVALID", "data.train.path", "is missing", "give --data the label set's folder")
    return {"all": found["train"]} if len(found) == 1 else found


def divide(config: Config, files: dict[str, list[Path]], window: int, shared_ids: bool) -> Divided:
    """`shared_ids`: the same id in two given splits is two questions. @raises TrainerError"""
    if set(files) != {"all"} and "train" not in files:
        raise invalid(next(iter(files.values()))[0].parent, "has no training split", "name its files train*")
    parts: list[tuple[list[Group], Labels, np.ndarray]] = []
    for name, paths in files.items():
        groups, split = list_groups(paths), config.splits["train" if name == "all" else name]
        if not groups:
            raise invalid(paths[0].parent, f"{ROLES.get(name, 'the label set')} has no rows", "construct the label set again")
        labels = read_labels(groups, replace(split, label_column=config.splits["train"].label_column), window)
        used = filtered(labels, split, config.split_seed)
        parts.append((groups, labels, assign(labels, used, _shares(name, set(files), config.held_out_share), config.split_seed)))
    if not shared_ids:
        _refuse_shared(list(files), [labels for _, labels, _ in parts])
    digest, splits, facts = hashlib.sha256(), {}, {}
    for groups, labels, split_of in parts:
        for values in (labels.label, labels.mismatch, split_of, labels.question):
            digest.update(values.tobytes())
        digest.update("/".join(f"{group.path.name}:{group.path.stat().st_size}:{group.rows}" for group in groups).encode())
    for number, name in enumerate(SPLITS):
        splits[name] = _rows([part for part in parts if (part[2] == number).any()], number, config)
        facts[name] = _facts(name, splits[name], [(labels, split_of == number) for _, labels, split_of in parts], config)
    return Divided(splits, facts, digest.hexdigest())


def _shares(name: str, given: set[str], held_out: float) -> dict[str, float]:
    """How a given split is divided further."""
    if given == {"all"} or given == {"train"}:
        return {"validation": held_out / 2, "test": held_out / 2, "train": 1 - held_out}
    if name != "train" and len(given) == 2:
        return {"validation": 0.5, "test": 0.5}
    return {name: 1.0}


def _refuse_shared(names: list[str], parts: list[Labels]) -> None:
    for index, labels in enumerate(parts):
        for other in range(index):
            shared = set(labels.names) & set(parts[other].names)
            if shared:
                problem = f"{len(shared)} questions are in {names[other]} and in {names[index]}, such as {next(iter(shared))!r}"
                raise invalid("column data_id", problem, "split by question; if ids begin anew in each split, pass --ids-per-split")


def _rows(parts: list[tuple[list[Group], Labels, np.ndarray]], number: int, config: Config) -> Rows:
    groups: list[Group] = []
    chosen: list[np.ndarray] = []
    of_classes = []
    for own, labels, split_of in parts:
        at, learnt = 0, classes(labels, config)
        for group in own:
            here = np.flatnonzero(split_of[at : at + group.rows] == number)
            if len(here):
                groups.append(group)
                chosen.append(here)
                of_classes.append(learnt[at : at + group.rows][here])
            at += group.rows
    return Rows(groups, chosen, np.concatenate(of_classes) if of_classes else np.empty(0, np.int8))


def _facts(name: str, rows: Rows, parts: list[tuple[Labels, np.ndarray]], config: Config) -> dict[str, Any]:
    divergent = int((rows.classes == (2 if config.multiclass else 1)).sum())
    if not 0 < divergent < len(rows):
        found = "no row" if not len(rows) else "no divergent row" if not divergent else "only divergent rows"
        fix = "label more questions" if name == "train" else "label more questions, or hold out a larger share (data.test.test_size)"
        raise invalid(f"the split for {ROLES[name]}", f"has {found}", fix)
    mismatches = sum(int((labels.mismatch & here).sum()) for labels, here in parts)
    return {
        "rows": len(rows),
        "questions": sum(len(np.unique(labels.question[here])) for labels, here in parts),
        "identical": len(rows) - mismatches,
        "neutral": mismatches - sum(int((labels.mismatch & here & (labels.label == 1)).sum()) for labels, here in parts),
        "divergent": divergent,
    }
