"""How far the training is: lines on stderr, a JSON file that is always whole, and the same by HTTP for the operator."""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Callable

from .errors import TrainerError
from .files import write_json

FILE = "progress.json"
BETWEEN_LINES = 10.0
BETWEEN_FILES = 1.0


class Progress:
    """Silent where `folder` is None. `clock` counts seconds, `wall` since 1970. What it reports has the keys of the pipeline's other steps
    (src/pipeline/progress.ts), with rows as its unit and epochs as its parts, and some of its own."""

    def __init__(
        self,
        folder: Path | None,
        step_hash: str = "",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._clock, self._wall = folder, clock, wall
        self._begun, self._line, self._file = clock(), -1e9, -1e9
        self._counts: dict[str, float] = {}
        self._state: dict[str, Any] = {
            "step": "train",
            "hash": step_hash,
            "shard": {"index": 0, "count": 1},
            "phase": "start",
            "unit": "rows",
            **dict.fromkeys(("done", "total", "resumed", "perSecond"), 0),
            "etaSeconds": None,
            **dict.fromkeys(("tokens", "tokensPerSecond", "callsInFlight", "engineUtilisation", "partsDone", "partsTotal"), 0),
        }

    def report(self) -> dict[str, Any]:
        return {
            **self._state,
            "counts": dict(self._counts),
            "startedSecondsAgo": round(self._clock() - self._begun, 3),
            "updatedAt": round(self._wall(), 3),
        }

    def phase(self, name: str) -> None:
        self._state.update(phase=name)
        self._write()
        self.say(name)

    def say(self, text: str) -> None:
        if self._folder:
            print(f"trainer: {text}", file=sys.stderr, flush=True)

    def resume(self, rows: int) -> None:
        """So many had been trained on before."""
        self._state.update(resumed=rows)

    def due(self) -> bool:
        """Whether `steps` would write something; asking it spares a look at the loss, for which a GPU has to be waited for."""
        return self._folder is not None and self._clock() - self._file >= BETWEEN_FILES

    def steps(self, epoch: int, epochs: int, seen: int, rows: int, loss: float, rows_per_second: float) -> None:
        """`seen` of the epoch's rows. The time left is that of all epochs that may come; early stopping makes it shorter."""
        done = rows * (epoch - 1) + seen
        left = (rows * epochs - done) / rows_per_second if rows_per_second > 0 else None
        self._state.update(
            done=done,
            total=rows * epochs,
            perSecond=round(rows_per_second, 1),
            etaSeconds=None if left is None else round(left),
            partsDone=epoch - 1,
            partsTotal=epochs,
        )
        self._counts["trainLoss"] = round(loss, 6)
        self._write()
        if self._clock() - self._line >= BETWEEN_LINES:
            self._line = self._clock()
            estimate = "" if left is None else f"  at most {duration(left)} left"
            self.say(f"epoch {epoch}/{epochs}  rows {seen:,}/{rows:,}  loss {loss:.4f}  {rows_per_second:,.0f} rows/s{estimate}")

    def epoch(self, record: dict[str, Any], epochs: int, rows: int, better: bool) -> None:
        number, checked = record["epoch"], ""
        self._state.update(partsDone=number, partsTotal=epochs, done=rows * number, total=rows * epochs)
        if "validationLoss" in record:
            self._counts.update({name: round(record[name], 6) for name in ("validationLoss", "recall", "positiveRate")})
            if better:
                self._counts["bestEpoch"] = number
            checked = f"  validation {record['validationLoss']:.4f}  recall {record['recall']:.3f}  positive {record['positiveRate']:.3f}"
        self._write()
        self.say(f"epoch {number}/{epochs}  loss {record['trainLoss']:.4f}{checked}{' *' if better else ''}")

    def done(self) -> None:
        self._state.update(etaSeconds=0, total=self._state["done"])
        self.phase("done")

    def _write(self) -> None:
        if self._folder:
            self._file = self._clock()
            write_json(self._folder / FILE, self.report(), durable=False)


def serve(progress: Progress, port: int) -> ThreadingHTTPServer:
    """Answers GET /progress with the report, as the pipeline's other steps do, until the process ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path in ("/progress", "/healthz")
            body = json.dumps(progress.report() if found else {"error": "GET /progress is all there is"}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    try:
        server = ThreadingHTTPServer(("", port), Handler)
    except (OSError, OverflowError) as error:
        raise TrainerError("CONFIG_INVALID", "--progress-port", f"{port} cannot be listened on ({error})", "give a free port") from error
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
