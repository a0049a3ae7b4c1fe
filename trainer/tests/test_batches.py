"""Order of the rows: seeded, complete, the same from disk and from memory, from any batch on and for any number of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import torch

from making import HIDDEN, LOGITS, label_rows, write_parquet
from r2r_trainer.batches import Batch, Batches, Rows, from_disk, kept_in_memory
from r2r_trainer.config import parse_config
from r2r_trainer.features import Shape
from r2r_trainer.label_set import find_files
from r2r_trainer.splits import divide

SHAPE = Shape(("hidden_states", "token", "logits"), "small_", HIDDEN, LOGITS, 1, 40)


@pytest.fixture
def rows(labels: Path) -> Rows:
    return divide(parse_config({}), find_files(labels), 1, False).splits["train"]


def batches(rows: Rows, memory: bool = False, rank: int = 0, world: int = 1, shuffle_rows: int = 256, seed: int = 3) -> Batches:
    read = (kept_in_memory if memory else from_disk)(rows, SHAPE)
    return Batches(rows, read, SHAPE, 32, shuffle_rows, seed, rank, world)


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.classes, b.classes) and all(torch.equal(a.features[name], b.features[name]) for name in a.features)
        for a, b in zip(one, other)
    )


@pytest.mark.parametrize("shuffle_rows", (32, 100, 256, 10_000))
def test_from_disk_and_from_memory_the_batches_are_the_same(rows: Rows, shuffle_rows: int):
    assert same(list(batches(rows, shuffle_rows=shuffle_rows).epoch(2)), list(batches(rows, True, shuffle_rows=shuffle_rows).epoch(2)))


@pytest.mark.parametrize("shuffle_rows", (64, 10_000))
def test_an_epoch_is_every_row_once_with_its_own_features_and_class(rows: Rows, labels: Path, shuffle_rows: int):
    raw = [label_rows(range(20)), label_rows(range(20, 40))]
    expected = {}
    for group, chosen in zip(rows.groups, rows.chosen):
        part = raw[int(group.path.stem[-1])]
        for row in chosen + group.index * 100:
            expected[part["small_last_hidden_states"][row].tobytes()] = (part["divergent"][row], part["small_token"][row], part["small_logits"][row])
    seen = 0
    for batch in batches(rows, shuffle_rows=shuffle_rows).epoch(1):
        for index, state in enumerate(batch.features["hidden_states"]):
            label, token, logits = expected.pop(state.numpy().tobytes())
            assert (label, token) == (batch.classes[index], batch.features["token"][index])
            assert np.array_equal(logits, batch.features["logits"][index].numpy())
            seen += 1
    assert not expected and seen == len(rows)


def test_epochs_and_seeds_differ_and_repeat(rows: Rows):
    first = list(batches(rows).epoch(1))
    assert same(first, list(batches(rows).epoch(1)))
    assert not same(first, list(batches(rows).epoch(2))) and not same(first, list(batches(rows, seed=4).epoch(1)))


@pytest.mark.parametrize("shuffle_rows", (32, 256, 10_000))
def test_an_epoch_can_be_joined_at_any_batch(rows: Rows, shuffle_rows: int):
    whole = list(batches(rows, shuffle_rows=shuffle_rows).epoch(5))
    for first in range(0, len(whole) + 1, 3):
        assert same(whole[first:], list(batches(rows, shuffle_rows=shuffle_rows).epoch(5, first)))


@pytest.mark.parametrize("world", (2, 3))
def test_processes_share_out_the_very_batches_of_one(rows: Rows, world: int):
    whole = list(batches(rows).epoch(1))
    shares = [list(batches(rows, rank=rank, world=world).epoch(1)) for rank in range(world)]
    seen = torch.zeros(len(rows), dtype=torch.int64)
    for number, batch in enumerate(whole):
        start = number * 32
        for rank, share in enumerate(shares):
            part = share[number]
            assert part.rows == batch.rows
            positions = torch.arange(len(rows))[part.positions]
            assert torch.equal(part.features["hidden_states"], batch.features["hidden_states"][positions - start])
            seen[positions] += 1
    assert (seen == 1).all()


def test_windows_lie_side_by_side_the_judged_row_last(labels: Path):
    rows = divide(parse_config({}), find_files(labels), 3, False).splits["train"]
    shape = Shape(("logits",), "small_", 0, LOGITS, 3, None)
    loader = Batches(rows, from_disk(rows, shape), shape, 32, 10_000, 1, 0, 1, shuffled=False)
    found = torch.cat([batch.features["logits"] for batch in loader.epoch(0)])
    raw = [label_rows(range(20))["small_logits"], label_rows(range(20, 40))["small_logits"]]
    at = 0
    for group, chosen in zip(rows.groups, rows.chosen):
        for row in chosen + group.index * 100:
            assert np.array_equal(found[at].numpy().reshape(3, -1), raw[int(group.path.stem[-1])][row - 2 : row + 1])
            at += 1


def test_a_label_set_larger_than_the_buffer_trains_in_the_memory_of_the_buffer(tmp_path: Path):
    """Peak memory of reading an epoch, beyond the row group that is being decoded, does not grow with the label set."""
    import resource
    import subprocess
    import sys

    program = f"""
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from r2r_trainer.batches import Batches, from_disk
from r2r_trainer.config import parse_config
from r2r_trainer.features import Shape
from r2r_trainer.label_set import find_files
from r2r_trainer.splits import divide
shape = Shape(("hidden_states",), "small_", 1024, 0, 1, None)
def peak(folder):
    rows = divide(parse_config({{}}), find_files(Path(folder)), 1, False).splits["train"]
    for batch in Batches(rows, from_disk(rows, shape), shape, 256, 2048, 1, 0, 1).epoch(1): pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
small = peak(sys.argv[1])
print(small, peak(sys.argv[2]))
"""
    rows = label_rows(range(100), hidden=1024)
    write_parquet(tmp_path / "small" / "part-0.parquet", rows, group=1000)
    for number in range(16):
        rows["data_id"] = rows["data_id"] + 100
        write_parquet(tmp_path / "large" / f"part-{number}.parquet", rows, group=1000)
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "small"), str(tmp_path / "large")], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    small, large = map(float, done.stdout.split())
    # the large one's features are 190 MiB
    assert large - small < 40, (small, large)
