"""Shapes and training settings of the three models, and where published folders differ from each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .model import Shape
from .training import Settings

# The tokenizer has 466 entries. Both vocabularies are padded, each to another size, as Qwen2.5's are: equal token maps
# under different vocab_size is what a router has to cope with.
SLM_VOCABULARY = 480
LLM_VOCABULARY = 512
CONTEXT_LENGTH = 2048


@dataclass(frozen=True)
class Recipe:
    name: str
    shape: Shape
    settings: Settings
    start: str | None = None  # the model whose weights it begins with; random ones otherwise


SLM = Recipe(
    "slm",
    Shape(layers=2, hidden=64, heads=2, kv_heads=1, intermediate=160, vocabulary=SLM_VOCABULARY, tied=True),
    Settings(steps=4000, seed=11),
)
LLM = Recipe(
    "llm",
    Shape(layers=3, hidden=128, heads=4, kv_heads=2, intermediate=256, vocabulary=LLM_VOCABULARY, tied=False),
    Settings(steps=3000, seed=12, stop=1600),
)
# The verifier needs depth more than width: find what A says at the same place, compare, collect. It grows in two steps:
# the reader is the LLM taught to find, the verifier is the reader with two more layers, which at first do nothing.
READER = Recipe("reader", LLM.shape, Settings(steps=2400, seed=13, stop=1000, batch=32, rate=1e-3), start="llm")
VERIFIER = Recipe(
    "verifier", replace(LLM.shape, layers=5), Settings(steps=1500, seed=14, batch=32, rate=1e-3), start="reader"
)
PUBLISHED = (SLM, LLM, VERIFIER)
ALL = (SLM, LLM, READER, VERIFIER)
