"""Training batches in a seeded order that does not depend on how the rows are read, and can be joined at any batch.

An epoch goes through the groups of the label set in a random order, cut into windows of `shuffle_rows` rows, each shuffled. Order is drawn
from (seed, epoch, window) alone, so a run that goes on at batch k makes the very batches that it would have made. Only one window is in
memory, and while it is used the next one is read. Each process keeps its own rows of a window: row i of a batch is that of process
i modulo their number.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from .features import Features, Shape, chunks, empty
from .label_set import Group


@dataclass(frozen=True)
class Rows:
    """The rows of one split, where they lie."""

    groups: list[Group]
    chosen: list[np.ndarray]  # of each group: the numbers of its rows that belong to the split, ascending
    classes: np.ndarray  # of all those, group by group

    def __len__(self) -> int:
        return len(self.classes)

    def starts(self) -> np.ndarray:
        return np.concatenate(([0], np.cumsum([len(each) for each in self.chosen]))).astype(np.int64)


Reader = Callable[[int], Iterator[Features]]
"""The features of a group's chosen rows, in order."""


def from_disk(rows: Rows, shape: Shape) -> Reader:
    def read(number: int) -> Iterator[Features]:
        chosen = rows.chosen[number]
        for first, part in chunks(rows.groups[number], shape):
            count = len(next(iter(part.values())))
            low, high = np.searchsorted(chosen, (first, first + count))
            index = torch.from_numpy(chosen[low:high] - first)
            if len(index):
                yield {name: values[index] for name, values in part.items()}

    return read


def kept_in_memory(rows: Rows, shape: Shape) -> Reader:
    starts = rows.starts()
    everything, read = empty(shape, len(rows)), from_disk(rows, shape)
    for number in range(len(rows.groups)):
        at = int(starts[number])
        for part in read(number) if len(rows.chosen[number]) else ():
            count = len(next(iter(part.values())))
            for name, values in part.items():
                everything[name][at : at + count] = values
            at += count
    return lambda number: iter(
        [{name: values[int(starts[number]) : int(starts[number + 1])] for name, values in everything.items()}]
    )


@dataclass(frozen=True)
class Batch:
    features: Features  # this process's share
    classes: Tensor  # of the same rows, int64
    rows: int  # of all processes
    positions: slice  # where this process's rows stand among all of the split, in the order of the epoch


class Batches:
    """`seed`, `batch_rows`, `shuffle_rows` as configured; the order is that of the groups, unshuffled, where `shuffled` is false."""

    def __init__(
        self, rows: Rows, read: Reader, shape: Shape, batch_rows: int, shuffle_rows: int, seed: int, rank: int, world: int, shuffled: bool = True
    ) -> None:
        self._rows, self._read, self._shape, self._batch, self._seed = rows, read, shape, batch_rows, seed
        self._window = max(1, shuffle_rows // batch_rows) * batch_rows
        self._rank, self._world, self._shuffled, self._starts = rank, world, shuffled, rows.starts()

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._rows) // self._batch)

    def rows(self) -> int:
        return len(self._rows)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches from number `first` on."""
        count = len(self._rows.groups)
        order = self._random(epoch, 0).permutation(count) if self._shuffled else np.arange(count)
        ends = np.cumsum([len(self._rows.chosen[number]) for number in order])
        windows = -(-len(self._rows) // self._window)
        start = first * self._batch // self._window
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._fill, epoch, start, order, ends) if start < windows else None
            for window in range(start, windows):
                features, classes = ahead.result()
                ahead = pool.submit(self._fill, epoch, window + 1, order, ends) if window + 1 < windows else None
                rows = min(self._window, len(self._rows) - window * self._window)
                for low in range(0, rows, self._batch):
                    if window * self._window + low >= first * self._batch:
                        high = min(low + self._batch, rows)
                        mine = slice(*(-(-(edge - self._rank) // self._world) for edge in (low, high)))
                        at = window * self._window + self._rank
                        positions = slice(at + mine.start * self._world, window * self._window + high, self._world)
                        yield Batch({name: values[mine] for name, values in features.items()}, classes[mine], high - low, positions)

    def _fill(self, epoch: int, window: int, order: np.ndarray, ends: np.ndarray) -> tuple[Features, Tensor]:
        begin, end = window * self._window, min((window + 1) * self._window, len(self._rows))
        size = end - begin
        place = self._random(epoch, window + 1).permutation(size) if self._shuffled else np.arange(size)
        features = empty(self._shape, len(range(self._rank, size, self._world)))
        classes = torch.empty(len(range(self._rank, size, self._world)), dtype=torch.int64)
        at = int(np.searchsorted(ends, begin, side="right"))
        while at < len(order) and (position := int(ends[at] - len(self._rows.chosen[order[at]]))) < end:
            number = int(order[at])
            group_classes = self._rows.classes[self._starts[number] : self._starts[number + 1]]
            done = 0
            for part in self._read(number) if len(group_classes) else ():
                count = len(next(iter(part.values())))
                low, high = max(begin - position - done, 0), min(end - position - done, count)
                if low < high:
                    places = place[position + done + low - begin : position + done + high - begin]
                    mine = np.flatnonzero(places % self._world == self._rank)
                    into, taken = torch.from_numpy(places[mine] // self._world), torch.from_numpy(mine + low)
                    for name, values in part.items():
                        features[name][into] = values[taken]
                    classes[into] = torch.from_numpy(group_classes[done + low : done + high][mine].astype(np.int64))
                done += count
                if position + done >= end:
                    break
            at += 1
        return features, classes

    def _random(self, epoch: int, window: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._seed, epoch, window])))
