"""python -m tiny_models [--quick] [--out FOLDER] [--cache FOLDER] [STAGE ...]

Stages: data, slm, llm, verifier, export, measure, router; all of them without a name. Each is restartable: training goes on from
its last checkpoint, and a finished one is not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from . import card, corpus, data, export, measuring, tokenizer
from .decoding import above
from .model import Qwen2
from .recipes import ALL, LLM, PUBLISHED, SLM, VERIFIER, Recipe
from .router import RouterStage
from .training import train

STAGES = ("data", "slm", "llm", "verifier", "export", "measure", "router")
QUICK_STEPS = 20
QUICK_THRESHOLDS = (0.5, 1.0)
HELD_OUT_PAIRS = 1000


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(prog="tiny_models", description="Make the models of examples/models.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--quick", action="store_true", help="a smoke run of a minute; its models can do nothing")
    parser.add_argument("--out", type=Path, default=root / "examples" / "models")
    parser.add_argument("--cache", type=Path, required=True, help="where checkpoints are kept")
    options = parser.parse_args()
    unknown = set(options.stages) - set(STAGES)
    if unknown:
        parser.error(f"no stage {', '.join(sorted(unknown))}; stages are {', '.join(STAGES)}")
    torch.set_num_threads(1)
    stages = options.stages or STAGES
    run = Run(options.out, options.cache, options.quick)
    for stage in STAGES:
        if stage in stages:
            print(f"== {stage}", file=sys.stderr, flush=True)
            run.stage(stage)


class Run:
    def __init__(self, out: Path, cache: Path, quick: bool) -> None:
        self._out, self._cache = out, cache
        self._checkpoints = cache / ("quick" if quick else "checkpoints")
        self._quick = quick
        self._tokenizer = tokenizer.build()

    def stage(self, name: str) -> None:
        if name == "data":
            data.write(self._out / "problems")
        elif name == "export":
            for recipe in PUBLISHED:
                export.export(self._out / recipe.name, self._model(recipe), self._tokenizer)
        elif name == "measure":
            self._measure()
        elif name == "router":
            RouterStage(self._out, self._cache / "router", self._tokenizer, self._quick).run()
        else:
            self._model(next(recipe for recipe in ALL if recipe.name == name))

    def _model(self, recipe: Recipe) -> Qwen2:
        settings = replace(recipe.settings, steps=QUICK_STEPS, stop=None) if self._quick else recipe.settings
        draw = corpus.solver(self._tokenizer, recipe.name) if recipe in (SLM, LLM) else corpus.verifier(self._tokenizer)
        start = next((self._model(other).state_dict() for other in ALL if other.name == recipe.start), None)
        return train(recipe.name, recipe.shape, settings, draw, self._checkpoints, start)

    def _measure(self) -> None:
        slm, llm, verifier = (self._model(recipe).rounded() for recipe in (SLM, LLM, VERIFIER))
        problems = data.read(self._out / "problems" / "held-out.jsonl")
        if self._quick:
            problems = problems[:20]
        bench = measuring.Bench(self._tokenizer, problems)
        counts, found = bench.differences(slm, llm)
        thresholds = QUICK_THRESHOLDS if self._quick else measuring.THRESHOLDS
        figures = {
            "problems": len(problems),
            "tokenizer": {"entries": self._tokenizer.get_vocab_size()},
            "models": {
                recipe.name: {
                    "parameters": model.parameter_count(),
                    **recipe.shape.as_dict(),
                }
                for recipe, model in zip(PUBLISHED, (slm, llm, verifier), strict=True)
            },
            "training": {recipe.name: recipe.settings.as_dict() for recipe in ALL},
            "accuracy": {
                "slm": bench.accuracy(bench.solve(slm)),
                "llm": bench.accuracy(bench.solve(llm)),
                "slmWithoutThinking": bench.accuracy(bench.solve(slm, thinking=False)),
                "llmWithoutThinking": bench.accuracy(bench.solve(llm, thinking=False)),
            },
            "differences": dict(counts),
            "entropyRouting": bench.sweep(slm, llm, {each: above(each) for each in thresholds}),
            "verifier": {
                "heldOutPairs": bench.verdicts(verifier, measuring.drawn_pairs(HELD_OUT_PAIRS, "held-out", "verdicts")),
                "modelPairs": bench.verdicts(verifier, found),
            },
        }
        path = self._out / "figures.json"
        if path.exists():  # the router's are measured by its own stage
            figures |= {k: v for k, v in json.loads(path.read_text(encoding="utf-8")).items() if k == "router"}
        export.write_json(path, figures)
        (self._out / "README.md").write_text(card.card(figures), encoding="utf-8")
        print(card.tables(figures))


if __name__ == "__main__":
    main()
