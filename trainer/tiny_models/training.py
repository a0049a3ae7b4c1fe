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
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch.nn import functional as F

from .model import Qwen2, Shape

CHUNK = 4  # batches drawn together and sorted by length, so that little is padding
CHECKPOINT_EVERY = 200
WARM_UP = 100

@dataclass(frozen=True)
class Example:
    """Token ids in three parts: `prompt` is given, `answer` is what the model learns to say.

    `read` belongs to what is given as well; after each of its tokens the model also learns to say the token of `notes`
    at that place (with as much weight in all as the answer): a denser hint than the answer alone.
    """

    prompt: list[int]
    answer: list[int]
    read: list[int] = field(default_factory=list)
    notes: list[int] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        return self.prompt + self.read + self.answer


Draw = Callable[[random.Random], Example]


@dataclass(frozen=True)
class Settings:
    steps: int  # the length of the cosine
    seed: int
    stop: int | None = None  # where training ends, if before the cosine does
    batch: int = 64
    rate: float = 2e-3
    weight_decay: float = 0.05

    @property
    def last(self) -> int:
        return self.steps if self.stop is None else self.stop

    def as_dict(self) -> dict[str, int | float | None]:
        return asdict(self)


def rate_at(step: int, settings: Settings) -> float:
    if step < WARM_UP:
        return settings.rate * (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, settings.steps - WARM_UP)
    return settings.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def batches(draw: Draw, settings: Settings, first_step: int):
    """What `collate` gives, a step."""
    for chunk in range(first_step // CHUNK, math.ceil(settings.last / CHUNK)):
        rng = random.Random(f"{settings.seed}/{chunk}")
        examples = sorted((draw(rng) for _ in range(CHUNK * settings.batch)), key=lambda e: len(e.ids))
        order = rng.sample(range(CHUNK), CHUNK)
        for i, part in enumerate(order):
            if first_step <= chunk * CHUNK + i < settings.last:
                yield collate(examples[part * settings.batch : (part + 1) * settings.batch])


def collate(examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """ids, targets (-100 where nothing is learnt), and which targets are answers: each [batch, width]."""
    width = max(len(e.ids) for e in examples) - 1
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    targets = torch.full((len(examples), width), -100, dtype=torch.long)
    answers = torch.zeros(len(examples), width, dtype=torch.bool)
    for row, example in enumerate(examples):
        tokens, given, end = torch.tensor(example.ids), len(example.prompt), len(example.ids)
        ids[row, : end - 1] = tokens[:-1]
        answer = given + len(example.read)
        targets[row, given : answer] = torch.tensor(example.notes, dtype=torch.long)
        targets[row, answer - 1 : end - 1] = tokens[answer:]
        answers[row, answer - 1 : end - 1] = True
    return ids, targets, answers


def train(
    name: str, shape: Shape, settings: Settings, draw: Draw, folder: Path, start: dict[str, torch.Tensor] | None = None
) -> Qwen2:
    """Train, or go on from `folder`/NAME.pt. `start` are weights to begin with in place of random
    ones; layers that it lacks do nothing at first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pt"
    torch.manual_seed(settings.seed)
    model = Qwen2(shape)
    if start is not None:
        model.load_state_dict({**model.without_effect(), **start})
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
    if step >= settings.last:
        return model
    begun, first, average = time.monotonic(), step, None
    for ids, targets, answers in batches(draw, settings, step):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, settings)
        states, _ = model.hidden(ids)
        learnt = targets.flatten() != -100
        logits = model.lm_head(states.flatten(0, 1)[learnt])
        each = F.cross_entropy(logits, targets.flatten()[learnt], reduction="none")
        is_answer = answers.flatten()[learnt]
        answered = each[is_answer].mean()
        loss = answered if is_answer.all() else answered + each[~is_answer].mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        average = answered.item() if average is None else 0.98 * average + 0.02 * answered.item()
        if step % 50 == 0 or step == settings.last:
            pace = (time.monotonic() - begun) / (step - first)
            left = pace * (settings.last - step)
            line = f"{name}: step {step}/{settings.last}  loss {average:.4f}  {pace:.2f} s/step  {left / 60:.1f} min left"
            print(line, file=sys.stderr, flush=True)
        if step % CHECKPOINT_EVERY == 0 or step == settings.last:
            partial = path.with_suffix(".partial")
            torch.save(
                {"recipe": recipe, "step": step, "model": model.state_dict(), "optimiser": optimiser.state_dict()},
                partial,
            )
            partial.replace(path)
    return model
