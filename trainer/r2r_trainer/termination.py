"""The last words of the step's container, in the shape of the pipeline's other steps (src/pipeline/outcome.ts)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import TrainerError

LONGEST = 4096  # bytes that a kubelet keeps
LONGEST_FIELD = 256  # characters that the operator takes


def succeeded(step_hash: str, result: dict[str, Any]) -> dict[str, Any]:
    """The digest is that of the `.pt`. `counts` are whole numbers, as in status.steps; `figures` are for people."""
    return {
        **_which(step_hash, True),
        "sealed": True,
        "digest": result["model"]["digest"].removeprefix("sha256:"),
        "rows": {name: facts["rows"] for name, facts in result["splits"].items()},
        "counts": _given(result, "epochs", "bestEpoch", "parameters"),
        "figures": _given(result, "threshold", "recall", "positiveRate", "auc", "seconds"),
    }


def failed(step_hash: str, error: Exception) -> dict[str, Any]:
    if isinstance(error, TrainerError):
        whose = {} if error.faulty_step is None else {"faultyStep": error.faulty_step}
        where = {"field": error.subject[:LONGEST_FIELD]}
        more = {"code": error.code, **whose, **where, "message": str(error), "fix": error.fix, "retryable": error.retryable}
    else:
        fix = "see the pod's log"
        more = {"code": "TRAINER_DEFECT", "message": f"{type(error).__name__}: {error}", "fix": fix, "retryable": True}
    return {**_which(step_hash, False), **more}


def write_last_words(path: Path, words: dict[str, Any]) -> None:
    text = json.dumps(words)
    while len(text.encode()) > LONGEST and words.get("message"):
        words = {**words, "message": words["message"][: len(words["message"]) // 2], "field": words.get("field", "")[:200]}
        text = json.dumps(words)
    path.write_text(text, encoding="utf-8")


def _given(result: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: result[name] for name in names if result[name] is not None}


def _which(step_hash: str, ok: bool) -> dict[str, Any]:
    return {"ok": ok, "step": "train", "hash": step_hash, "shard": 0}
