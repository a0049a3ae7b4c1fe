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
SHARE_SHORTENED = 0.7  # of the pairs; most of a pair's text does not matter, but all of it costs time


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
        return Example(tokenizer.encode(asked).ids, tokenizer.encode(answer).ids)

    return draw


def verifier(tokenizer: Tokenizer) -> Draw:
    """Pairs of the training split, as many divergent as neutral; most of them shortened, with and without the empty think block."""
    source = pairs.Draw()
    verdicts = [tokenizer.token_to_id("0"), tokenizer.token_to_id("1")]
    end = tokenizer.token_to_id("<|im_end|>")

    digits = {digit: tokenizer.token_to_id(digit) for digit in "0123456789"}

    def notes(pair: pairs.Pair, start: int, offsets: list[tuple[int, int]]) -> list[int]:
        """Before a digit of B the one that A has there, elsewhere the verdict so far: find it, then compare."""
        expected, contradiction = pair.agreeing_digits(), pair.first_contradiction()
        return [
            digits[expected[until - start]]
            if until - start in expected
            else verdicts[contradiction is not None and until > start + contradiction]
            for _, until in offsets
        ]

    def draw(rng: random.Random) -> Example:
        divergent = rng.random() < pairs.SHARE_OF_DIVERGENT
        pair = source.pair(rng, divergent)
        if rng.random() < SHARE_SHORTENED:
            pair = pair.shortened()
        asked = prompt(pair.prompt(), thinking=rng.random() < 0.5)
        given, mark, rest = asked.partition("\nB: ")
        read = tokenizer.encode(mark + rest)
        return Example(tokenizer.encode(given).ids, [verdicts[divergent], end], read.ids, notes(pair, len(mark), read.offsets))

    return draw
