"""Pairs of continuations: what the verifier reads, and what is true about them.

Two texts share their beginning up to a token and go on differently to the end of a sentence. They are *neutral* when
both sentences claim the same (operation, left value, operand, result), *divergent* when not. The truth is computed by
parsing (`task.claim`); the verifier has to read it off the words.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import task

QUESTION = "Do A and B differ in meaning? Answer 0 or 1."
SHARE_OF_DIVERGENT = 0.5
SHARE_AFTER_AN_ERROR = 0.2


@dataclass(frozen=True)
class Pair:
    question: str
    shared: str
    a: str
    b: str

    def prompt(self) -> str:
        """The user message; docs: examples/models/README.md."""
        return (
            f"{self.question}\nShared: {self.shared.strip()}\nA: {self.a.strip()}\nB: {self.b.strip()}\n{QUESTION}"
        )

    def shortened(self) -> "Pair":
        """Without the question and all sentences before this one: the verdict stays the same."""
        return Pair("", self._begun(), self.a, self.b)

    def divergent(self) -> bool:
        """Whether the two sentences claim different things; one that can't be read is like no other."""
        first, second = self._read()
        if first is None or second is None:
            return self.a != self.b
        return first.claim != second.claim

    def first_contradiction(self) -> int | None:
        """The letter of `b.strip()` with which B starts to contradict A; None if it never does."""
        first, second = self._read()
        if first is None or second is None or first.claim == second.claim:
            return None
        hidden = self._hidden()
        if "answer" in (first.claim[0], second.claim[0]) and first.claim[0] != second.claim[0]:
            return 0
        found = [second.places[0]] if first.claim[0] != second.claim[0] else []
        for place, ours, theirs in zip(second.places[1:], first.claim[1:], second.claim[1:], strict=True):
            for i, (one, other) in enumerate(zip(ours, theirs, strict=False)):
                if one != other:
                    found.append(place + i)
                    break
        return max(0, min(found) - hidden) if found else 0

    def agreeing_digits(self) -> dict[int, str]:
        """At each letter of `b.strip()` where B has a digit of its claim: the digit that A has in the same role."""
        first, second = self._read()
        if first is None or second is None:
            return {}
        hidden = self._hidden()
        return {
            place + i - hidden: ours
            for place, one, other in zip(second.places[1:], first.claim[1:], second.claim[1:], strict=True)
            for i, (ours, _) in enumerate(zip(one, other, strict=False))
            if place + i >= hidden
        }

    def _hidden(self) -> int:
        """How many letters of B's sentence lie before `b.strip()`."""
        return len(self._begun()) + len(self.b) - len(self.b.lstrip())

    def _begun(self) -> str:
        """The part of the sentence that both share."""
        return self.shared[self.shared.rfind(".") + 1 :]

    def _read(self) -> tuple[task.Sentence | None, task.Sentence | None]:
        begun = self._begun()
        return task.read(begun + self.a), task.read(begun + self.b)


def _tokens(text: str) -> list[str]:
    """Where two texts may part: before a space, and before each digit or stop."""
    pieces: list[str] = []
    for letter in text:
        if letter in " .\n" or letter.isdigit() or not pieces:
            pieces.append(letter)
        else:
            pieces[-1] += letter
    return pieces


def part(question: str, before: str, first: str, second: str) -> Pair:
    """Split two sentences that follow `before` at the first piece in which they differ."""
    a, b = _tokens(first), _tokens(second)
    same = 0
    while same < min(len(a), len(b)) and a[same] == b[same]:
        same += 1
    return Pair(question, before + "".join(a[:same]), "".join(a[same:]), "".join(b[same:]))


def _other_number(text: str, rng: random.Random) -> str:
    """The number with one digit changed, as a model that miscounts writes it."""
    at = rng.randrange(len(text))
    digit = rng.choice([d for d in "0123456789" if d != text[at]])
    return text[:at] + digit + text[at + 1 :]


def _other_operation(operation: task.Operation, rng: random.Random) -> task.Operation:
    if operation.kind == "multiply" or rng.random() < 0.6:
        return task.Operation(operation.kind, int(_other_number(operation.written(), rng)))
    return task.Operation("subtract" if operation.kind == "add" else "add", operation.operand)


class Draw:
    """Draws pairs of the wanted kind; each sentence in the words of either writer."""

    def __init__(self, writers: tuple[str, ...] = ("slm", "llm")) -> None:
        self._styles = [task.Style(writer) for writer in writers]

    def pair(self, rng: random.Random, divergent: bool, split: str = "train") -> Pair:
        while True:
            pair = self._once(rng, divergent, split)
            if pair.a != pair.b and pair.divergent() == divergent:
                return pair

    def _once(self, rng: random.Random, divergent: bool, split: str) -> Pair:
        problem = task.draw_problem(rng, split)
        question = task.question(problem, rng)
        count = len(problem.operations)
        at = rng.randrange(count + 1)
        value, sentences = problem.start, []
        for i, operation in enumerate(problem.operations[:at]):
            result = operation.apply(value)
            if rng.random() < SHARE_AFTER_AN_ERROR / count:
                result = int(_other_number(f"{result:02d}", rng))
            sentences.append(rng.choice(self._styles).sentence(i == 0, value, operation, result, rng))
            value = result
        before = " ".join(sentences)

        def sentence(operation: task.Operation, left: int, result: str) -> str:
            text = rng.choice(self._styles).sentence(at == 0, left, operation, 0, rng)
            return (" " if before else "") + text.replace("00.", f"{result}.")

        def end(result: str) -> str:
            return "\n</think>\n\n" + rng.choice(self._styles).ending(result, rng)

        if at == count:
            first = end(f"{value:02d}")
            if not divergent:
                return part(question, before, first, end(f"{value:02d}"))
            if rng.random() < 0.7:
                return part(question, before, first, end(_other_number(f"{value:02d}", rng)))
            extra = task.draw_operation(rng)  # one model ends, the other calculates on
            return self._either(rng, question, before, first, sentence(extra, value, f"{extra.apply(value):02d}"))
        operation = problem.operations[at]
        result = f"{operation.apply(value):02d}"
        first = sentence(operation, value, result)
        if not divergent:
            return part(question, before, first, sentence(operation, value, result))
        fault = rng.random()
        if fault < 0.55:
            second = sentence(operation, value, _other_number(result, rng))
        elif fault < 0.75:
            other = _other_operation(operation, rng)
            second = sentence(other, value, f"{other.apply(value):02d}")
        elif fault < 0.9:
            left = int(_other_number(f"{value:02d}", rng))
            second = sentence(operation, left, f"{operation.apply(left):02d}")
        elif at > 0:
            second = end(f"{value:02d}")
        else:
            second = sentence(operation, value, _other_number(result, rng))
        return self._either(rng, question, before, first, second)

    @staticmethod
    def _either(rng: random.Random, question: str, before: str, first: str, second: str) -> Pair:
        return part(question, before, *((first, second) if rng.random() < 0.5 else (second, first)))
