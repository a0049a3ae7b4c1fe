"""The task: step-by-step arithmetic modulo 100, put into words that are drawn at random.

A problem is a start number and three to five operations. Its text comes from `question`, a correct solution in
words from `solution`. Everything is a function of a `random.Random`, so a seed fixes a corpus.

Which corpus a problem may appear in is decided by a hash of the problem itself (`split`), not by what was drawn
before: a held-out problem can therefore never be trained on, whatever its wording.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass

MODULUS = 100
SPLITS = {0: "held-out", 1: "label", 2: "tuning"}
SPLIT_BUCKETS = 64


@dataclass(frozen=True)
class Operation:
    kind: str  # "add", "subtract" or "multiply"
    operand: int

    def apply(self, value: int) -> int:
        if self.kind == "add":
            return (value + self.operand) % MODULUS
        if self.kind == "subtract":
            return (value - self.operand) % MODULUS
        return (value * self.operand) % MODULUS

    def written(self) -> str:
        return str(self.operand) if self.kind == "multiply" else f"{self.operand:02d}"


@dataclass(frozen=True)
class Problem:
    start: int
    operations: tuple[Operation, ...]

    def key(self) -> str:
        return f"{self.start} " + " ".join(f"{o.kind}{o.operand}" for o in self.operations)

    def values(self) -> list[int]:
        """The start and the value after each operation."""
        values = [self.start]
        for operation in self.operations:
            values.append(operation.apply(values[-1]))
        return values

    def answer(self) -> str:
        return f"{self.values()[-1]:02d}"

    def split(self) -> str:
        bucket = int.from_bytes(hashlib.sha256(self.key().encode()).digest()[:4], "big") % SPLIT_BUCKETS
        return SPLITS.get(bucket, "train")


def draw_operation(rng: random.Random) -> Operation:
    kind = rng.choice(("add", "subtract", "multiply"))
    return Operation(kind, rng.randint(2, 9) if kind == "multiply" else rng.randint(10, 99))


def draw_problem(rng: random.Random, split: str = "train") -> Problem:
    while True:
        count = rng.randint(3, 5)
        problem = Problem(rng.randint(10, 99), tuple(draw_operation(rng) for _ in range(count)))
        if problem.split() == split:
            return problem


OPENINGS = ("Start with {0}.", "Begin with {0}.", "Take the number {0}.")
CLOSINGS = (
    "What is the result modulo 100?",
    "Which number do you get modulo 100?",
    "What number is left modulo 100?",
)
REQUESTS = {
    "add": ("Add {0}.", "Then add {0}.", "Increase it by {0}."),
    "subtract": ("Subtract {0}.", "Take away {0}.", "Decrease it by {0}."),
    "multiply": ("Multiply by {0}.", "Then multiply by {0}.", "Multiply it by {0}."),
}
SHORT_REQUESTS = {2: "Double it.", 3: "Triple it."}


def question(problem: Problem, rng: random.Random) -> str:
    sentences = [rng.choice(OPENINGS).format(f"{problem.start:02d}")]
    for operation in problem.operations:
        short = SHORT_REQUESTS.get(operation.operand) if operation.kind == "multiply" else None
        if short is not None and rng.random() < 0.5:
            sentences.append(short)
        else:
            sentences.append(rng.choice(REQUESTS[operation.kind]).format(operation.written()))
    sentences.append(rng.choice(CLOSINGS))
    return " ".join(sentences)


CONNECTORS = {"first": ("First", "Here", "So", "Now"), "later": ("Then", "Next", "Now", "So")}
FORMS = {
    "add": ("{a} plus {b} {verb} {r}.", "add {b} to {a} to get {r}.", "{a} + {b} = {r}."),
    "subtract": ("{a} minus {b} {verb} {r}.", "subtract {b} from {a} to get {r}.", "{a} - {b} = {r}."),
    "multiply": ("{a} times {b} {verb} {r}.", "multiply {a} by {b} to get {r}.", "{a} * {b} = {r}."),
}
VERBS = ("is", "gives", "makes")
ENDINGS = ("The answer is {0}.", "The result is {0}.", "We get {0}.")
WEIGHTS = {3: (0.7, 0.2, 0.1), 4: (0.6, 0.2, 0.12, 0.08)}


class Style:
    """How often one writer uses each wording. Two writers mean the same and differ in their favourite words.

    The favourites of a writer are a permutation drawn from its name, one for each place where there is a choice.
    """

    def __init__(self, writer: str) -> None:
        self.writer = writer
        self._weights: dict[str, list[float]] = {}

    def _draw(self, place: str, options: tuple[str, ...], rng: random.Random) -> str:
        weights = self._weights.get(place)
        if weights is None:
            weights = list(WEIGHTS[len(options)])
            random.Random(f"{self.writer}/{place}").shuffle(weights)
            self._weights[place] = weights
        return rng.choices(options, weights)[0]

    def sentence(self, first: bool, value: int, operation: Operation, result: int, rng: random.Random) -> str:
        place = "first" if first else "later"
        kind = operation.kind
        body = self._draw(f"form {kind}", FORMS[kind], rng)
        verb = self._draw(f"verb {kind}", VERBS, rng)
        text = body.format(a=f"{value:02d}", b=operation.written(), r=f"{result:02d}", verb=verb)
        return f"{self._draw(place, CONNECTORS[place], rng)} {text}"

    def solution(self, problem: Problem, rng: random.Random) -> str:
        """The reasoning: one sentence an operation, on one line."""
        values = problem.values()
        return " ".join(
            self.sentence(i == 0, values[i], operation, values[i + 1], rng)
            for i, operation in enumerate(problem.operations)
        )

    def ending(self, answer: str, rng: random.Random) -> str:
        return self._draw("ending", ENDINGS, rng).format(answer)


def every_text() -> list[str]:
    """Each wording, at the start of a text and behind a space: what the tokenizer takes its words from."""
    texts = [*OPENINGS, *CLOSINGS, *SHORT_REQUESTS.values(), *VERBS, *ENDINGS]
    for group in (REQUESTS, CONNECTORS, FORMS):
        for options in group.values():
            texts.extend(options)
    texts = [re.sub(r"\{\w*\}", "0", text) for text in texts]
    return texts + [f" {text}" for text in texts]


Claim = tuple[str, str, str, str]  # operation, left value, operand, result; "" where the sentence does not say

_PATTERNS = [
    (re.compile(rf"(\d+) {word} (\d+) (?:is|gives|makes|=) (\d+)\."), kind, (1, 2, 3))
    for kind, words in {"add": ("plus", r"\+"), "subtract": ("minus", "-"), "multiply": ("times", r"\*")}.items()
    for word in words
] + [
    (re.compile(r"add (\d+) to (\d+) to get (\d+)\."), "add", (2, 1, 3)),
    (re.compile(r"subtract (\d+) from (\d+) to get (\d+)\."), "subtract", (2, 1, 3)),
    (re.compile(r"multiply (\d+) by (\d+) to get (\d+)\."), "multiply", (1, 2, 3)),
]
_ENDING = re.compile(r"(?:The answer is|The result is|We get) (\d+)\.")


@dataclass(frozen=True)
class Sentence:
    """What a sentence asserts, and where in it each part of the claim has been said (the index of its first letter)."""

    claim: Claim
    places: tuple[int, int, int, int]


def read(sentence: str) -> Sentence | None:
    """None where it is not a sentence of the task."""
    for pattern, kind, (a, b, r) in _PATTERNS:
        match = pattern.search(sentence)
        if match:
            first, second = sorted((match.start(a), match.start(b)))
            said = (first if pattern.pattern.startswith(kind) else second) - 1  # the space after the operation's word
            return Sentence((kind, match[a], match[b], match[r]), (said, match.start(a), match.start(b), match.start(r)))
    match = _ENDING.search(sentence)
    return Sentence(("answer", "", "", match[1]), (0, 0, 0, match.start(1))) if match else None


_NUMBER = re.compile(r"\d+")


def final_answer(text: str) -> str | None:
    """The first number after the reasoning, or None: unfinished reasoning is no answer."""
    _, closed, rest = text.rpartition("</think>")
    if not closed and "<think>" in text:
        return None
    match = _NUMBER.search(rest)
    return match[0] if match else None
