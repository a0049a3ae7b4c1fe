"""One training loop for all three models: AdamW, warm-up then cosine, checkpoints, a progress line with the time left.

Everything a step uses is drawn from (seed, step), so a run that was killed and goes on from its last checkpoint is the
run that was never killed (up to the last bits of floating-point sums).
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from .model import Qwen2, Shape

CHUNK = 4  # batches drawn together and sorted by length, so that little is padding
CHECKPOINT_EVERY = 200
WARM_UP = 100

Example = tuple[list[int], list[int]]  # prompt ids, completion ids: only the completion is learnt
Draw = Callable[[random.Random], Example]


@dataclass(frozen=True)
class Settings:
    steps: int
    seed: int
    batch: int = 64
    rate: float = 2e-3
    weight_decay: float = 0.05

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)


def rate_at(step: int, settings: Settings) -> float:
    if step < WARM_UP:
        return settings.rate * (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, settings.steps - WARM_UP)
    return settings.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def batches(draw: Draw, settings: Settings, first_step: int):
    """(ids, targets) a step; targets are -100 where nothing is learnt."""
    for chunk in range(first_step // CHUNK, math.ceil(settings.steps / CHUNK)):
        rng = random.Random(f"{settings.seed}/{chunk}")
        examples = sorted((draw(rng) for _ in range(CHUNK * settings.batch)), key=lambda e: len(e[0]) + len(e[1]))
        order = rng.sample(range(CHUNK), CHUNK)
        for i, part in enumerate(order):
            if chunk * CHUNK + i >= first_step:
                yield collate(examples[part * settings.batch : (part + 1) * settings.batch])


def collate(examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(p) + len(c) for p, c in examples) - 1
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    targets = torch.full((len(examples), width), -100, dtype=torch.long)
    for row, (prompt, completion) in enumerate(examples):
        tokens = torch.tensor(prompt + completion)
        ids[row, : len(tokens) - 1] = tokens[:-1]
        targets[row, len(prompt) - 1 : len(tokens) - 1] = tokens[len(prompt) :]
    return ids, targets


def train(
    name: str, shape: Shape, settings: Settings, draw: Draw, folder: Path, start: dict[str, torch.Tensor] | None = None
) -> Qwen2:
    """Train, or go on from `folder`/NAME.pt. `start` are weights to begin with in place of random ones."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pt"
    torch.manual_seed(settings.seed)
    model = Qwen2(shape)
    if start is not None:
        model.load_state_dict(start)
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.dim() == 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in model.parameters() if p.dim() != 2], "weight_decay": 0.0},
        ],
        lr=settings.rate,
        betas=(0.9, 0.98),
    )
    step = 0
    recipe = {"shape": shape.as_dict(), "settings": settings.as_dict()}
    if path.exists():
        saved = torch.load(path)
        if saved["recipe"] == recipe:
            step = saved["step"]
            model.load_state_dict(saved["model"])
            optimiser.load_state_dict(saved["optimiser"])
    if step >= settings.steps:
        return model
    begun, first, average = time.monotonic(), step, None
    for ids, targets in batches(draw, settings, step):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, settings)
        states, _ = model.hidden(ids)
        learnt = targets.flatten() != -100
        logits = model.lm_head(states.flatten(0, 1)[learnt])
        loss = F.cross_entropy(logits, targets.flatten()[learnt])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if step % 50 == 0 or step == settings.steps:
            pace = (time.monotonic() - begun) / (step - first)
            left = pace * (settings.steps - step)
            line = f"{name}: step {step}/{settings.steps}  loss {average:.4f}  {pace:.2f} s/step  {left / 60:.1f} min left"
            print(line, file=sys.stderr, flush=True)
        if step % CHECKPOINT_EVERY == 0 or step == settings.steps:
            partial = path.with_suffix(".partial")
            torch.save(
                {"recipe": recipe, "step": step, "model": model.state_dict(), "optimiser": optimiser.state_dict()},
                partial,
            )
            partial.replace(path)
    return model
