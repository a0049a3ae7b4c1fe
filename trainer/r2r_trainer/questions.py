"""Which rows train the network, which choose the epoch, which choose the threshold: split by question, never by row.

What is kept here of a row is its question, label and three flags (six bytes); the features stay on disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .config import SPLITS, Config, Split
from .label_set import Group, column_names, invalid, read_group

UNUSED = -1


@dataclass(frozen=True)
class Labels:
    """One entry a row, groups one behind the other."""

    question: np.ndarray  # number of a question, from 0
    label: np.ndarray  # -1, 0, 1
    mismatch: np.ndarray  # bool
    used: np.ndarray  # bool
    names: list[object]  # the ids of the questions, by number

    def __len__(self) -> int:
        return len(self.label)


def read_labels(groups: list[Group], split: Split, window: int) -> Labels:
    """@raises TrainerError naming file and column"""
    there = column_names(groups[0])
    # as upstream: without a mask all rows count, without mismatches they are the divergent rows
    optional = [name for name in ("mismatch", "mask") if name in there]
    names = ["data_id", split.label_column, *optional, *(["token_id"] if window > 1 else [])]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    starts = []
    for group in groups:
        starts += [True] + [False] * (group.rows - 1) if window > 1 else []
        for batch in read_group(group, list(columns)):
            for name, parts in columns.items():
                parts.append(_values(batch.column(name), f"{group}, column {name}", name != "data_id"))
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    label = joined[split.label_column]
    joined.setdefault("mask", np.ones(len(label), np.int64))
    joined.setdefault("mismatch", (label == 1).astype(np.int64))
    for name, known in ((split.label_column, (-1, 0, 1)), ("mask", (0, 1)), ("mismatch", (0, 1))):
        values = joined[name]
        if not np.isin(values, known).all():
            found = values[~np.isin(values, known)][0]
            raise invalid(f"{groups[0].path.parent}, column {name}", f"holds {found}", f"only {', '.join(map(str, known))} can be")
    ids, question = np.unique(joined["data_id"], return_inverse=True)
    question = question.astype(np.int32)
    used = (joined["mask"] == 1) & (label >= 0)
    if window > 1:
        used &= _has_history(question, joined["token_id"], np.array(starts), window)
    return Labels(question, label.astype(np.int8), joined["mismatch"] == 1, used, ids.tolist())


def filtered(labels: Labels, split: Split, seed: int) -> np.ndarray:
    """`labels.used` behind upstream's filters."""
    used = labels.used.copy()
    for kind, options in split.filters:
        if kind == "is_mismatch":
            used &= labels.mismatch
        elif kind == "filter_data_id_critical":
            size = len(labels.names)
            rows = np.bincount(labels.question[used], minlength=size)
            critical = np.bincount(labels.question[used & (labels.label == 1)], minlength=size)
            kept = (rows >= options["min_samples_per_data_id"]) & (critical <= options["max_critical_ratio"] * rows)
            used &= kept[labels.question]
        elif kind == "downsample_match_data":
            matches = np.flatnonzero(used & ~labels.mismatch)
            others = int((used & (labels.mismatch if options["align"] == "mismatch" else labels.label == 1)).sum())
            dropped = np.random.default_rng(seed).permutation(matches)[others:]
            used[dropped] = False
    return used


def assign(labels: Labels, used: np.ndarray, shares: dict[str, float], seed: int) -> np.ndarray:
    """The number (in SPLITS) of each row's split, or UNUSED: questions in an order that only their ids and the seed decide, the first ones
    held out."""
    present = np.unique(labels.question[used])
    order = sorted(present.tolist(), key=lambda each: hashlib.sha256(f"{seed}/{labels.names[each]}".encode()).digest())
    split_of = np.full(len(labels.names), UNUSED, np.int8)
    first = 0
    for name, share in shares.items():
        count = len(order) - first if name == "train" else max(1, round(share * len(order)))
        split_of[order[first : first + count]] = SPLITS.index(name)
        first += count
    return np.where(used, split_of[labels.question], UNUSED).astype(np.int8)


def classes(labels: Labels, config: Config) -> np.ndarray:
    """What is learnt: 1 for divergent; of three classes 0 match, 1 neutral, 2 divergent."""
    if not config.multiclass:
        return (labels.label == 1).astype(np.int8)
    return np.where(labels.label == 1, 2, labels.mismatch).astype(np.int8)


def _has_history(question: np.ndarray, token: np.ndarray, starts: np.ndarray, window: int) -> np.ndarray:
    """Whether a row follows `window` - 1 others of its question without a gap. The first rows of a group do not: a router too leaves a token
    with too short a past to the LLM."""
    follows = np.zeros(len(question), bool)
    follows[1:] = (question[1:] == question[:-1]) & (token[1:] == token[:-1] + 1) & ~starts[1:]
    whole = np.ones(len(question), bool)
    for back in range(window - 1):
        whole &= np.concatenate((np.zeros(back, bool), follows[: len(follows) - back]))
    return whole


def _values(column: pa.Array, subject: str, number: bool) -> np.ndarray:
    if column.null_count:
        raise invalid(subject, "holds nulls", "construct the label set again")
    if number and not (pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)):
        raise invalid(subject, f"holds {column.type}", "whole numbers are expected")
    values = column.to_numpy(zero_copy_only=False)
    return values.astype(np.int64) if number else values.astype(str) if values.dtype == object else values
