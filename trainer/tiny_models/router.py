"""The stage that makes examples/models/router from the published SLM and LLM: label, train, route, label, train again.

The second network also learns from texts that the first one routed: there the SLM stands where it will stand in use.
Rows are kept in the cache in parts, so a run that was interrupted goes on where it was. Held-out problems only measure.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from . import data, export, router_card, router_measuring
from .decoding import Route, decode
from .measuring import Bench
from .recipes import LLM, ROUTER, SLM, RouterRecipe
from .router_network import CLASS, Network, save
from .router_rows import Labeller, Questions, Rows, Written, joined, published
from .router_training import Trained, choose_threshold, scores, train
from .tokenizer import prompt

PART = 200  # questions a file of the cache
QUICK_PROBLEMS = 20
SLM_FOLDER = "examples/models/slm"  # as a reader in the root of this repository finds it


@dataclass(frozen=True)
class Router:
    network: Network
    threshold: float


class RouterStage:
    def __init__(self, out: Path, cache: Path, tokenizer: Tokenizer, quick: bool) -> None:
        self._out, self._cache, self._tokenizer, self._quick = out, cache, tokenizer, quick
        self._recipe: RouterRecipe = ROUTER.quick() if quick else ROUTER
        self._slm, self._llm = published(out / "slm", SLM.shape), published(out / "llm", LLM.shape)
        self._labeller = Labeller(tokenizer, self._slm, self._llm)
        self._usable, self._end = tokenizer.get_vocab_size(), tokenizer.token_to_id("<|im_end|>")

    def run(self) -> None:
        recipe = self._recipe
        (early, late), (low, high) = recipe.validation.halves(), recipe.threshold.halves()
        written, validation, held_back = map(self._rows, (recipe.written, early, low))
        first = self._train(written, validation)
        router = Router(first.network, self._threshold(first, held_back))
        routed = self._rows(recipe.routed, router)
        validation = joined([validation, self._rows(late, router)])
        held_back = joined([held_back, self._rows(high, router)])
        trained = self._train(joined([written, routed]), validation)
        threshold = self._threshold(trained, held_back)
        sets = {"written": written, "routed": routed, "validation": validation, "threshold": held_back}
        folder = self._out / "router"
        save(folder / "router.pt", trained.network, threshold, SLM_FOLDER)
        figures = {
            **recipe.as_dict({name: rows.counts() for name, rows in sets.items()}),
            "class": CLASS,
            "parameters": trained.network.parameter_count(),
            "epoch": trained.epoch,
            "threshold": round(threshold, 4),
            **self._measure(Router(trained.network, threshold), held_back),
        }
        path = self._out / "figures.json"
        pair = json.loads(path.read_text(encoding="utf-8"))
        export.write_json(path, {**pair, "router": figures})
        (folder / "README.md").write_text(router_card.card(figures, pair["entropyRouting"]), encoding="utf-8")
        print(router_card.tables(figures, pair["entropyRouting"]))

    def _train(self, rows: Rows, validation: Rows) -> Trained:
        embedding = self._slm.model.embed_tokens.weight.detach()
        return train(self._recipe.widths, embedding, self._recipe.settings, rows, validation)

    def _threshold(self, trained: Trained, rows: Rows) -> float:
        return choose_threshold(scores(trained.network, rows), rows, self._recipe.settings.minimum_recall)

    def _measure(self, router: Router, held_back: Rows) -> dict[str, object]:
        problems = data.read(self._out / "problems" / "held-out.jsonl")
        bench = Bench(self._tokenizer, problems[:QUICK_PROBLEMS] if self._quick else problems)
        asked = [problem.question for problem in bench.problems]
        judged = {
            "threshold": held_back,
            "heldOutWritten": self._labeller.label(self._texts(asked)),
            "heldOutRouted": self._labeller.label(self._texts(asked, self._route(router))),
        }
        thresholds = tuple(sorted({*router_measuring.THRESHOLDS, router.threshold}))
        routes = {threshold: self._route(replace(router, threshold=threshold)) for threshold in thresholds}
        return {
            "problems": len(bench.problems),
            "found": {
                name: router_measuring.found(scores(router.network, rows), rows, router.threshold)
                for name, rows in judged.items()
            },
            "routing": bench.sweep(self._slm, self._llm, routes),
        }

    def _route(self, router: Router) -> Route:
        return router_measuring.routed_by(router.network, self._slm, self._usable, router.threshold)

    def _rows(self, questions: Questions, router: Router | None = None) -> Rows:
        """Of the LLM's texts, or of texts that `router` routed."""
        folder = self._cache / self._digest(router)
        return joined([self._part(part, folder, router) for part in questions.parts(PART)])

    def _part(self, questions: Questions, folder: Path, router: Router | None) -> Rows:
        path = folder / f"{questions.split}-{questions.first}-{questions.count}.pt"
        if path.exists():
            return Rows(**torch.load(path))
        begun = time.monotonic()
        rows = self._labeller.label(self._texts(questions.drawn(), self._route(router) if router else None))
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(rows.as_dict(), partial)
        partial.replace(path)
        line = f"router: {path.stem} {'routed' if router else 'by the LLM'}  {rows.counts()}"
        print(f"{line}  {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
        return rows

    def _texts(self, questions: list[str], route: Route | None = None) -> list[Written]:
        asked = [self._tokenizer.encode(prompt(question)).ids for question in questions]
        if route is None:
            decoded = decode(asked, self._llm, None, None, self._end, self._usable)
        else:
            decoded = decode(asked, self._slm, self._llm, route, self._end, self._usable)
        return [Written(*each) for each in zip(questions, asked, decoded.tokens, strict=True)]

    def _digest(self, router: Router | None) -> str:
        """Names what rows depend on beside their questions."""
        found = hashlib.sha256(str(router and router.threshold).encode())
        for model in (self._slm, self._llm, *((router.network,) if router else ())):
            for name, tensor in sorted(model.state_dict().items()):
                found.update(name.encode() + tensor.numpy().tobytes())
        return found.hexdigest()[:16]
