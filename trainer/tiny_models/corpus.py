"""Training examples: problems with their solutions, and pairs with their verdicts."""

from __future__ import annotations

import random

from tokenizers import Tokenizer

from . import pairs, task
from .tokenizer import prompt
from .training import Draw, Example

SYSTEM = "You are a helpful assistant."
SHARE_WITH_SYSTEM = 0.05
SHARE_WITHOUT_THINKING = 0.04


def solver(tokenizer: Tokenizer, writer: str) -> Draw:
    """Problems of the training split, solved in the words of `writer`."""
    style = task.Style(writer)

    def draw(rng: random.Random) -> Example:
        problem = task.draw_problem(rng)
        thinking = rng.random() >= SHARE_WITHOUT_THINKING
        system = SYSTEM if rng.random() < SHARE_WITH_SYSTEM else None
        asked = prompt(task.question(problem, rng), system, thinking)
        answer = style.ending(problem.answer(), rng) + "<|im_end|>"
        if thinking:
            answer = f"<think>\n{style.solution(problem, rng)}\n</think>\n\n{answer}"
        return Example(tokenizer.encode(asked).ids, [], tokenizer.encode(answer).ids)

    return draw


def verifier(tokenizer: Tokenizer) -> Draw:
    """Pairs of the training split, as many divergent as neutral; with and without the empty think block."""
    source = pairs.Draw()

    def draw(rng: random.Random) -> Example:
        divergent = rng.random() < pairs.SHARE_OF_DIVERGENT
        asked = prompt(source.pair(rng, divergent).prompt(), thinking=rng.random() < 0.5)
        given, mark, read = asked.partition("\nA:")
        return Example(
            tokenizer.encode(given).ids, tokenizer.encode(mark + read).ids, tokenizer.encode(f"{int(divergent)}<|im_end|>").ids
        )

    return draw
