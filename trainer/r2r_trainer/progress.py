"""How far the training is: lines on stderr and a JSON file that is always whole, for a sidecar or the operator."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Callable

from .files import write_json

FILE = "progress.json"
BETWEEN_LINES = 10.0
BETWEEN_FILES = 1.0


class Progress:
    """Silent where `folder` is None. `clock` counts seconds, `wall` since 1970."""

    def __init__(self, folder: Path | None, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._folder, self._clock, self._wall = folder, clock, wall
        self._line = self._file = -1e9
        self._state: dict[str, Any] = {}

    def phase(self, name: str, **more: Any) -> None:
        self._state.update(phase=name, **more)
        self._write()
        if self._folder:
            print(f"trainer: {name}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        if self._folder:
            print(f"trainer: {text}", file=sys.stderr, flush=True)

    def due(self) -> bool:
        """Whether `steps` would write something; asking it spares a look at the loss, for which a GPU has to be waited for."""
        return self._folder is not None and self._clock() - self._file >= BETWEEN_FILES

    def steps(self, epoch: int, epochs: int, step: int, steps: int, loss: float, rows_per_second: float, rows: int) -> None:
        """`rows` of an epoch. The time left is that of all epochs that may come; early stopping makes it shorter."""
        left = (rows * (epochs - epoch + 1) - rows * step / steps) / rows_per_second if rows_per_second > 0 else None
        self._state.update(
            phase="train",
            epoch=epoch,
            epochs=epochs,
            step=step,
            steps=steps,
            fraction=round((epoch - 1 + step / steps) / epochs, 4),
            loss=round(loss, 6),
            rowsPerSecond=round(rows_per_second, 1),
            secondsLeft=None if left is None else round(left),
        )
        self._write()
        if self._clock() - self._line >= BETWEEN_LINES:
            self._line = self._clock()
            estimate = "" if left is None else f"  at most {duration(left)} left"
            self.say(f"epoch {epoch}/{epochs}  batch {step}/{steps}  loss {loss:.4f}  {rows_per_second:,.0f} rows/s{estimate}")

    def epoch(self, record: dict[str, Any], epochs: int, better: bool) -> None:
        if "validationLoss" in record:
            self._state.update(validationLoss=round(record["validationLoss"], 6), recall=round(record["recall"], 4))
            if better:
                self._state.update(bestEpoch=record["epoch"])
        checked = (
            f"  validation {record['validationLoss']:.4f}  recall {record['recall']:.3f}  positive {record['positiveRate']:.3f}"
            if "validationLoss" in record
            else ""
        )
        self.say(f"epoch {record['epoch']}/{epochs}  loss {record['trainLoss']:.4f}{checked}{' *' if better else ''}")

    def _write(self) -> None:
        if self._folder:
            self._file = self._clock()
            write_json(self._folder / FILE, {**self._state, "updatedAt": round(self._wall(), 3)}, durable=False)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
