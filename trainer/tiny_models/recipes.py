"""Shapes and training settings of the three models and of the router network, and where published folders differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from . import router_training
from .model import Shape
from .router_network import Widths
from .router_rows import LOGITS, Questions
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


@dataclass(frozen=True)
class RouterRecipe:
    """`written` and `routed` are trained on: texts of the LLM alone, and texts that a first network routed."""

    widths: Widths
    settings: router_training.Settings
    written: Questions
    routed: Questions
    validation: Questions  # choose the epoch; half of the texts are routed
    threshold: Questions  # choose the threshold; half of the texts are routed

    def as_dict(self, counts: dict[str, dict[str, int]]) -> dict[str, object]:
        """`counts`: of the rows of each set."""
        sets = {name: {**asdict(getattr(self, name)), **rows} for name, rows in counts.items()}
        return {"widths": asdict(self.widths), "settings": self.settings.as_dict(), "sets": sets}

    def quick(self) -> "RouterRecipe":
        few = {name: replace(getattr(self, name), count=20) for name in ("written", "routed", "validation", "threshold")}
        return replace(self, settings=replace(self.settings, epochs=2, minimum_recall=0.5), **few)


ROUTER = RouterRecipe(
    Widths(hidden=SLM.shape.hidden, logits=LOGITS, layers=(96, 96), expansion=4, dropout=0.1),
    router_training.Settings(
        epochs=12, patience=6, seed=21, batch=1024, rate=2e-3, weight_decay=0.01, minimum_recall=0.95
    ),
    written=Questions("label", 400, 1600),
    routed=Questions("label", 4000, 1600),
    validation=Questions("label", 0, 400),
    threshold=Questions("tuning", 0, 400),
)
