"""What the router network learns from: each token the SLM would have said, as the router sees it, and its label.

As R2R labels: along a text, the SLM says at each position what it would go on with. Where the LLM says another token, the
LLM goes on from either to the end of the sentence; the row is divergent when the two sentences claim different things,
neutral when not. Beside texts of the LLM alone there are texts that were routed: there the SLM stands where it will
stand in use, behind its own words.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from . import pairs, task
from .model import Cache, Qwen2, Shape

IDENTICAL, NEUTRAL, DIVERGENT = range(3)
KINDS = ("identical", "neutral", "divergent")
LOGITS = 100
LONGEST_CONTINUATION = 40


def published(folder: Path, shape: Shape) -> Qwen2:
    """The model of a folder that `export` wrote, to compute with in float32."""
    weights = {name: tensor.float() for name, tensor in load_file(str(folder / "model.safetensors")).items()}
    if shape.tied:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model = Qwen2(shape)
    model.load_state_dict(weights)
    return model.eval()


@dataclass(frozen=True)
class Rows:
    """A row a drafted token. What is bfloat16 here is so in the answers of the SLM's server."""

    hidden: Tensor  # [rows, hidden] bfloat16, behind the final norm
    logits: Tensor  # [rows, LOGITS] bfloat16, the largest, descending
    token: Tensor  # [rows] what the SLM says
    kind: Tensor  # [rows] IDENTICAL, NEUTRAL or DIVERGENT

    def __len__(self) -> int:
        return len(self.token)

    def divergent(self) -> Tensor:
        return self.kind == DIVERGENT

    def as_dict(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def counts(self) -> dict[str, int]:
        return {name: int((self.kind == i).sum()) for i, name in enumerate(KINDS)}


def joined(parts: list[Rows]) -> Rows:
    return Rows(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Rows)))


def seen(slm: Qwen2, states: Tensor, usable: int) -> tuple[Tensor, Tensor, Tensor]:
    """hidden, logits, token of `Rows` for hidden states [rows, hidden]. Padding ids have logits too, as on a server."""
    hidden = states.bfloat16()
    logits = slm.lm_head(hidden.float()).bfloat16()
    return hidden, logits.float().topk(LOGITS).values.bfloat16(), logits[:, :usable].float().argmax(-1)


@dataclass(frozen=True)
class Written:
    """A question and a text that answers it."""

    question: str
    asked: list[int]
    answer: list[int]


@dataclass(frozen=True)
class Questions:
    """Those with the numbers [first, first + count) of a split."""

    split: str
    first: int
    count: int

    def parts(self, size: int) -> list["Questions"]:
        end = self.first + self.count
        return [replace(self, first=i, count=min(size, end - i)) for i in range(self.first, end, size)]

    def halves(self) -> tuple["Questions", "Questions"]:
        first, second = self.parts(self.count // 2)
        return first, second

    def drawn(self) -> list[str]:
        found = []
        for number in range(self.first, self.first + self.count):
            rng = random.Random(f"router/{self.split}/{number}")
            found.append(task.question(task.draw_problem(rng, self.split), rng))
        return found


class Labeller:
    def __init__(self, tokenizer: Tokenizer, slm: Qwen2, llm: Qwen2) -> None:
        self._tokenizer, self._slm, self._llm = tokenizer, slm, llm
        self._usable = tokenizer.get_vocab_size()
        self._ends = torch.tensor([tokenizer.token_to_id(token) for token in (".", "<|im_end|>")])

    @torch.inference_mode()
    def label(self, texts: list[Written]) -> Rows:
        return joined([self._label(text) for text in texts])

    def _label(self, text: Written) -> Rows:
        ids, first = torch.tensor([text.asked + text.answer]), len(text.asked) - 1
        hidden, logits, token = seen(self._slm, self._slm.hidden(ids)[0][0, first:-1], self._usable)
        states, cache = self._llm.hidden(ids)
        theirs = self._say(states[0, first:-1])
        kind = torch.full_like(token, IDENTICAL)
        places = (token != theirs).nonzero()[:, 0]
        if len(places) > 0:
            said = torch.cat((token[places], theirs[places]))
            sentences = self._sentences(said, first + 1 + places.repeat(2), cache)
            for at, ours, other in zip(places.tolist(), sentences, sentences[len(places) :], strict=False):
                shared = self._tokenizer.decode(text.answer[:at], skip_special_tokens=False).removeprefix("<think>\n")
                kind[at] = DIVERGENT if pairs.Pair(text.question, shared, other, ours).divergent() else NEUTRAL
        return Rows(hidden, logits, token, kind)

    def _say(self, states: Tensor) -> Tensor:
        return self._llm.lm_head(states)[:, : self._usable].argmax(-1)

    def _sentences(self, said: Tensor, behind: Tensor, cache: Cache) -> list[str]:
        """Each token of `said` [starts], put behind that many tokens of a text, and what the LLM adds to it up to the
        end of the sentence. `cache` is the LLM's of the whole text: a mask hides what is not behind."""
        size = cache[0][0].shape[2]
        padding = (torch.arange(size) < behind[:, None]).long()
        past = [tuple(kept.expand(len(said), -1, -1, -1) for kept in layer) for layer in cache]
        steps, alive = [said], ~torch.isin(said, self._ends)
        while alive.any() and len(steps) < LONGEST_CONTINUATION:
            padding = torch.cat((padding, torch.ones_like(padding[:, :1])), 1)
            states, past = self._llm.hidden(steps[-1][:, None], padding, past)
            steps.append(self._say(states[:, 0]))
            alive &= ~torch.isin(steps[-1], self._ends)
        return [self._sentence(ids) for ids in torch.stack(steps, 1).tolist()]

    def _sentence(self, ids: list[int]) -> str:
        end = next((i for i, token in enumerate(ids) if token in self._ends), len(ids))
        return self._tokenizer.decode(ids[: end + 1], skip_special_tokens=False)
