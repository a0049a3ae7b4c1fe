"""Greedy decoding of many prompts at once: one model alone, or token by token from two models.

Prompts are padded on the left; both key/value caches see every emitted token, as both servers' prefix caches do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .model import Cache, Qwen2

MAX_NEW_TOKENS = 160


class Stepper:
    """One model's side of a batch: feeds tokens, gives the last hidden state and the logits of the next position."""

    def __init__(self, model: Qwen2, usable: int) -> None:
        self._model = model
        self._usable = usable  # ids from here on are vocabulary padding
        self._cache: Cache | None = None

    def feed(self, ids: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        states, self._cache = self._model.hidden(ids, padding, self._cache)
        return states[:, -1], self._model.lm_head(states[:, -1])[:, : self._usable]


def entropy(logits: Tensor) -> Tensor:
    """In nats, over the 100 likeliest tokens and one bucket for all others, as the router's entropy strategy has it."""
    top = logits.softmax(-1).topk(100).values
    rest = (1 - top.sum(-1, keepdim=True)).clamp(min=0)
    p = torch.cat((top, rest), -1)
    return -(p * p.clamp(min=1e-12).log()).sum(-1)


@dataclass(frozen=True)
class Decoded:
    tokens: list[list[int]]  # a row a prompt; the end token is the last one
    from_llm: int
    total: int

    @property
    def llm_share(self) -> float:
        return self.from_llm / self.total


# The SLM's last hidden states [batch, hidden] and logits [batch, vocabulary] -> True where the LLM is asked.
Route = Callable[[Tensor, Tensor], Tensor]


def above(threshold: float) -> Route:
    return lambda _, logits: entropy(logits) >= threshold


@torch.inference_mode()
def decode(
    prompts: list[list[int]],
    slm: Qwen2,
    llm: Qwen2 | None,
    route: Route | None,
    end: int,
    usable: int,
    longest: int = MAX_NEW_TOKENS,
) -> Decoded:
    """Decode greedily; with `llm` and `route`, each token whose SLM logits `route` picks is the LLM's."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    padding = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    steppers = [Stepper(m, usable) for m in (slm, llm) if m is not None]
    rows: list[list[int]] = [[] for _ in prompts]
    alive = torch.ones(len(prompts), dtype=torch.bool)
    asked = 0
    for _ in range(longest):
        fed = [s.feed(ids, padding) for s in steppers]
        chosen = fed[0][1].argmax(-1)
        if llm is not None and route is not None:
            consult = route(*fed[0])
            asked += int((consult & alive).sum())
            chosen = torch.where(consult, fed[1][1].argmax(-1), chosen)
        for i, token in enumerate(chosen.tolist()):
            if alive[i]:
                rows[i].append(token)
        alive &= chosen != end
        if not alive.any():
            break
        ids = chosen[:, None]
        padding = torch.cat((padding, torch.ones_like(ids)), 1)
    return Decoded(rows, asked, sum(map(len, rows)))
