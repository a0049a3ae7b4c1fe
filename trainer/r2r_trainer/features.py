"""What a network looks at, from a label set's columns, as float32 and int64 tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import torch
from torch import Tensor

from .label_set import Group, invalid, read_group

COLUMNS = {"hidden_states": "last_hidden_states", "token": "token", "logits": "logits"}


@dataclass(frozen=True)
class Shape:
    """Of one row of features. `logits` of the row's are looked at, the largest."""

    inputs: tuple[str, ...]
    prefix: str
    hidden: int
    logits: int
    window: int
    vocabulary: int | None  # tokens the embedding has; None: tokens are not looked at

    def columns(self) -> list[str]:
        return [self.prefix + COLUMNS[name] for name in self.inputs]

    def row_bytes(self) -> int:
        return 4 * self.window * (self.hidden + self.logits) + 16


Features = dict[str, Tensor]
"""By input: hidden_states [rows, window * hidden], token [rows], logits [rows, window * logits]"""


def empty(shape: Shape, rows: int) -> Features:
    widths = {"hidden_states": shape.hidden, "logits": shape.logits}
    return {
        name: torch.empty(rows, dtype=torch.int64) if name == "token" else torch.empty(rows, shape.window * widths[name])
        for name in shape.inputs
    }


def chunks(group: Group, shape: Shape):
    """Yields (first row of the group, features of the rows from there on). @raises TrainerError naming file and column"""
    first, past = 0, None
    for batch in read_group(group, shape.columns()):
        rows = {name: _tensor(batch.column(shape.prefix + COLUMNS[name]), name, group, shape) for name in shape.inputs}
        if shape.window > 1:
            rows, past = _windows(rows, past, shape.window)
        yield first, rows
        first += batch.num_rows


def widths(group: Group, prefix: str, inputs: tuple[str, ...]) -> tuple[int, int]:
    """How many values a hidden state, and how many logits a row has; 0 for what is not looked at."""
    found = {"hidden_states": 0, "logits": 0}
    for name in found:
        if name in inputs:
            column = prefix + COLUMNS[name]
            batch = next(read_group(group, [column]))
            found[name] = _width(batch.column(0), f"{group}, column {column}")
    return found["hidden_states"], found["logits"]


def _tensor(column: pa.Array, name: str, group: Group, shape: Shape) -> Tensor:
    subject = f"{group}, column {shape.prefix}{COLUMNS[name]}"
    if column.null_count:
        raise invalid(subject, "holds nulls", "construct the label set again")
    if name == "token":
        if not pa.types.is_integer(column.type):
            raise invalid(subject, f"holds {column.type}", "token ids are expected")
        tokens = torch.from_numpy(np.array(column.to_numpy(zero_copy_only=False), np.int64))
        if shape.vocabulary is not None and len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < shape.vocabulary:
            raise invalid(subject, f"holds {int(tokens.max())}, the SLM has {shape.vocabulary} tokens", "give the SLM that drafted them")
        return tokens
    width = {"hidden_states": shape.hidden, "logits": shape.logits}[name]
    found = _width(column, subject)
    if found < width:
        raise invalid(subject, f"has {found} values a row, others have {width}", "construct the label set again")
    flat = np.array(column.flatten().to_numpy(zero_copy_only=False), np.float32)
    if not np.isfinite(flat).all():
        raise invalid(subject, "holds a value that is no finite number", "run the prefill step again")
    return torch.from_numpy(flat.reshape(len(column), found))[:, :width]


def _width(column: pa.Array, subject: str) -> int:
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise invalid(subject, f"holds {kind}", "lists of float32 are expected")
    lengths = np.unique(compute.list_value_length(column).to_numpy(zero_copy_only=False))
    if len(lengths) != 1 or column.null_count or column.flatten().null_count:
        raise invalid(subject, "has rows of different lengths, or nulls", "construct the label set again")
    return int(lengths[0])


def _windows(rows: Features, past: Features | None, window: int) -> tuple[Features, Features]:
    """Each row behind the window - 1 before it, side by side; rows without such a past get zeros, and are never used."""
    joined, kept = {}, {}
    for name, values in rows.items():
        before = values.new_zeros(window - 1, values.shape[1]) if past is None else past[name]
        run = torch.cat((before, values))
        kept[name] = run[len(run) - window + 1 :]
        joined[name] = torch.cat([run[back : back + len(values)] for back in range(window)], 1)
    return joined, kept
