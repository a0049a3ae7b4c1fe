"""The figures of the model card: accuracy, differences between two models' texts, entropy routing, verdicts.

Everything runs on the published weights (rounded to bfloat16) in float32 arithmetic, greedily.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from . import pairs, task
from .decoding import Decoded, Route, decode
from .model import Qwen2
from .tokenizer import prompt

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 2.0)
BATCH = 200
LONGEST_CONTINUATION = 40


@dataclass(frozen=True)
class Asked:
    """A problem of a data file: its line and its prompt as token ids."""

    id: str
    question: str
    answer: str
    ids: list[int]
    ids_without_thinking: list[int]


class Bench:
    def __init__(self, tokenizer: Tokenizer, problems: list[dict[str, str]]) -> None:
        self._tokenizer = tokenizer
        self._end = self._id("<|im_end|>")
        self._stop = self._id(".")
        self._usable = tokenizer.get_vocab_size()
        self.problems = [
            Asked(
                p["id"],
                p["question"],
                p["answer"],
                tokenizer.encode(prompt(p["question"])).ids,
                tokenizer.encode(prompt(p["question"], thinking=False)).ids,
            )
            for p in problems
        ]

    def _id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"no token {token!r} in the tokenizer")
        return found

    def text(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False)

    def solve(
        self, slm: Qwen2, llm: Qwen2 | None = None, route: Route | None = None, thinking: bool = True
    ) -> Decoded:
        asked = [p.ids if thinking else p.ids_without_thinking for p in self.problems]
        return decode(asked, slm, llm, route, self._end, self._usable)

    def accuracy(self, decoded: Decoded) -> float:
        right = sum(
            task.final_answer(self.text(row)) == problem.answer
            for row, problem in zip(decoded.tokens, self.problems, strict=True)
        )
        return right / len(self.problems)

    def sweep(self, slm: Qwen2, llm: Qwen2, routes: dict[float, Route]) -> list[dict[str, float]]:
        """Token-level routing, a route a threshold: accuracy, LLM share, and the gain over mixing whole answers."""
        low, high = self.accuracy(self.solve(slm)), self.accuracy(self.solve(llm))
        rows = []
        for threshold, route in routes.items():
            decoded = self.solve(slm, llm, route)
            accuracy = self.accuracy(decoded)
            line = low + (high - low) * decoded.llm_share
            rows.append(
                {
                    "threshold": round(threshold, 4),
                    "accuracy": accuracy,
                    "llmShare": round(decoded.llm_share, 4),
                    "aboveLine": round(accuracy - line, 4),
                }
            )
        return rows

    def differences(self, slm: Qwen2, llm: Qwen2) -> tuple[Counter[str], list[pairs.Pair]]:
        """R2R's labels on the LLM's own answers: each token is identical, neutral or divergent.

        Where the SLM would have said another token, the LLM goes on from either to the end of the sentence, and the two
        sentences are compared. Returns the counts and the pairs behind the last two.
        """
        counts: Counter[str] = Counter(identical=0, neutral=0, divergent=0)
        starts: list[list[int]] = []
        places: list[tuple[Asked, list[int], int]] = []
        for problem, row in zip(self.problems, self.solve(llm).tokens, strict=True):
            for at, token in enumerate(self._next(slm, problem.ids, row)):
                if token == row[at]:
                    counts["identical"] += 1
                else:
                    starts.append([*problem.ids, *row[:at], token])
                    places.append((problem, row, at))
        found: list[pairs.Pair] = []
        for first in range(0, len(starts), BATCH):
            batch = starts[first : first + BATCH]
            decoded = decode(batch, llm, None, None, self._end, self._usable, LONGEST_CONTINUATION)
            for start, going_on, (problem, row, at) in zip(batch, decoded.tokens, places[first:], strict=False):
                theirs = self._sentence([start[-1], *going_on])
                shared = self.text(row[:at]).removeprefix("<think>\n")
                pair = pairs.Pair(problem.question, shared, self._sentence(row[at:]), theirs)
                counts["divergent" if pair.divergent() else "neutral"] += 1
                found.append(pair)
        return counts, found

    @torch.inference_mode()
    def _next(self, model: Qwen2, asked: list[int], row: list[int]) -> list[int]:
        """What `model` would say at each position of `row`."""
        states, _ = model.hidden(torch.tensor([asked + row]))
        logits = model.lm_head(states[0, len(asked) - 1 : -1])[:, : self._usable]
        return logits.argmax(-1).tolist()

    def _sentence(self, ids: list[int]) -> str:
        for i, token in enumerate(ids):
            if token in (self._stop, self._end):
                return self.text(ids[: i + 1])
        return self.text(ids)

    @torch.inference_mode()
    def verdicts(self, verifier: Qwen2, judged: list[pairs.Pair]) -> dict[str, float | int]:
        """How often the verifier says what is true, overall and for each kind."""
        right: Counter[bool] = Counter()
        total: Counter[bool] = Counter()
        for first in range(0, len(judged), BATCH):
            batch = judged[first : first + BATCH]
            ids = [self._tokenizer.encode(prompt(p.prompt(), thinking=False)).ids for p in batch]
            said = decode(ids, verifier, None, None, self._end, self._usable, 1).tokens
            for pair, tokens in zip(batch, said, strict=True):
                truth = pair.divergent()
                total[truth] += 1
                right[truth] += tokens[0] == self._id(str(int(truth)))
        share = {kind: right[kind] / total[kind] if total[kind] else 0.0 for kind in (False, True)}
        return {
            "pairs": sum(total.values()),
            "agreement": round(sum(right.values()) / max(1, sum(total.values())), 4),
            "neutralPairs": total[False],
            "neutralAgreement": round(share[False], 4),
            "divergentPairs": total[True],
            "divergentAgreement": round(share[True], 4),
        }


def drawn_pairs(count: int, split: str, seed: str) -> list[pairs.Pair]:
    """As many divergent as neutral pairs."""
    rng, source = random.Random(seed), pairs.Draw()
    return [source.pair(rng, i % 2 == 1, split) for i in range(count)]
