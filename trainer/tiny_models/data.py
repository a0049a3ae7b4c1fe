"""The problem files that benchmarks and the labelling pipeline read."""

from __future__ import annotations

import json
import random
from pathlib import Path

from . import task

HELD_OUT = 200
LABEL = 1000


def problems(split: str, prefix: str, count: int) -> list[dict[str, str]]:
    """`count` different problems of a split, as {id, question, answer}."""
    rng = random.Random(f"data/{split}")
    found: dict[str, dict[str, str]] = {}
    while len(found) < count:
        problem = task.draw_problem(rng, split)
        if problem.key() not in found:
            found[problem.key()] = {
                "id": f"{prefix}-{len(found) + 1:03d}",
                "question": task.question(problem, rng),
                "answer": problem.answer(),
            }
    return list(found.values())


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, split, prefix, count in (
        ("held-out", "held-out", "held-out", HELD_OUT),
        ("train", "label", "train", LABEL),
    ):
        lines = [json.dumps(problem) for problem in problems(split, prefix, count)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
