"""The model card, written from the figures so that it can't say anything else."""

from __future__ import annotations

from typing import Any

Figures = dict[str, Any]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def tables(figures: Figures) -> str:
    return "\n\n".join((_models(figures), _differences(figures), _routing(figures), _verdicts(figures)))


def _models(figures: Figures) -> str:
    accuracy = figures["accuracy"]
    lines = ["| | SLM | LLM | verifier |", "|---|---|---|---|"]
    names = ("slm", "llm", "verifier")
    models = [figures["models"][name] for name in names]

    def row(title: str, *cells: str) -> None:
        lines.append(f"| {title} | " + " | ".join(cells) + " |")

    row("parameters", *(f"{m['parameters']:,}" for m in models))
    row("layers x width", *(f"{m['layers']} x {m['hidden']}" for m in models))
    row("heads / key-value heads", *(f"{m['heads']} / {m['kv_heads']}" for m in models))
    row("vocab_size (padded)", *(str(m["vocabulary"]) for m in models))
    row("embeddings", *("tied" if m["tied"] else "untied" for m in models))
    row("training steps", *(str(t["stop"] or t["steps"]) for t in (figures["training"][name] for name in names)))
    row("right, held-out", f"**{percent(accuracy['slm'])}**", f"**{percent(accuracy['llm'])}**", "")
    row("... thinking off", percent(accuracy["slmWithoutThinking"]), percent(accuracy["llmWithoutThinking"]), "")
    row("agrees with the truth", "", "", f"**{percent(figures['verifier']['heldOutPairs']['agreement'])}**")
    return "\n".join(lines)


def _differences(figures: Figures) -> str:
    counts = figures["differences"]
    total = sum(counts.values())
    lines = ["| next token of the SLM on the LLM's text | tokens | share |", "|---|---|---|"]
    for kind in ("identical", "neutral", "divergent"):
        lines.append(f"| {kind} | {counts[kind]:,} | {percent(counts[kind] / total)} |")
    return "\n".join(lines)


def _routing(figures: Figures) -> str:
    lines = ["| entropy threshold (nats) | right | tokens from the LLM | above the SLM-LLM line |", "|---|---|---|---|"]
    for row in figures["entropyRouting"]:
        points = 100 * row["aboveLine"]
        lines.append(
            f"| {row['threshold']} | {percent(row['accuracy'])} | {percent(row['llmShare'])} | {points:+.1f} points |"
        )
    return "\n".join(lines)


def _verdicts(figures: Figures) -> str:
    lines = ["| pairs | number | agreement | neutral | divergent |", "|---|---|---|---|---|"]
    titles = {"heldOutPairs": "generated, balanced", "modelPairs": "where SLM and LLM really differ"}
    for key, title in titles.items():
        v = figures["verifier"][key]
        neutral = f"{percent(v['neutralAgreement'])} of {v['neutralPairs']}"
        divergent = f"{percent(v['divergentAgreement'])} of {v['divergentPairs']}"
        lines.append(f"| {title} | {v['pairs']} | {percent(v['agreement'])} | {neutral} | {divergent} |")
    return "\n".join(lines)


def _settings(figures: Figures) -> str:
    lines = []
    for name, t in figures["training"].items():
        stop = f", stopped at {t['stop']}" if t["stop"] else ""
        lines.append(
            f"- {name}: seed {t['seed']}, batch {t['batch']}, cosine from {t['rate']:g} over {t['steps']} steps{stop}, "
            f"weight decay {t['weight_decay']:g}"
        )
    return "\n".join(lines)


def card(figures: Figures) -> str:
    return f"""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

<!-- Written by trainer/tiny_models (card.py) from figures.json; change it there. -->

# The tiny models

A pair of real language models, small enough to live in this repository, for trying token-level routing on a laptop: the
LLM solves nearly every held-out problem, the SLM far fewer, and both read and write the same tokens. The verifier judges
whether two continuations differ in meaning. Ordinary Hugging Face folders (Qwen2ForCausalLM, bfloat16) for SGLang,
transformers, and our CPU engine. The router network that was trained for the pair has a card of its own:
[`router`](router/README.md).

{_models(figures)}

Measured on {figures['problems']} held-out problems, greedy decoding, published (bfloat16) weights, float32 arithmetic.
`figures.json` has every number of this card.

## The task

Arithmetic modulo 100 in three to five steps, one sentence a step:

    Start with 47. Add 85. Multiply by 3. Take away 12. What is the result modulo 100?

    <think>
    Now 47 + 85 = 32. So 32 * 3 = 96. So 96 - 12 = 84.
    </think>

    The answer is 84.

Each of a sentence's words is drawn at random, with other favourites in the SLM's corpus than in the LLM's: so the two
say the same thing in other words (*neutral* differences) as well as other things (*divergent* ones).

{_differences(figures)}

Counted as R2R labels its data: along the LLM's own answer; where the SLM's next token is another one, the LLM goes on
from either to the end of the sentence; divergent means that the two sentences name another operation, operand or result.

## Entropy routing

At each position the SLM's greedy token, unless its entropy (nats, top 100 and one bucket for the rest) is at least the
threshold: then the LLM's.

{_routing(figures)}

The last column compares with sending that share of whole problems to the LLM: the straight line between the two. Accuracy
does not simply rise with the LLM's share: at low thresholds the LLM is also asked for mere wording, and in the LLM's words
(say `=` where it would say `gives`) the SLM writes more wrong digits with confidence. Our router counts and computes the
same way; what it reaches is in `bench/results/quality.json`.

## The verifier

{_verdicts(figures)}

One user message, through the chat template with `enable_thinking: false` (true works as well); the answer is one token,
`1` if A and B differ in meaning, else `0`:

    {{question}}
    Shared: {{reasoning both have in common}}
    A: {{continuation A, to the end of its sentence}}
    B: {{continuation B, to the end of its sentence}}
    Do A and B differ in meaning? Answer 0 or 1.

White space around each part is stripped. For example:

    Start with 47. Add 85. Multiply by 3. Take away 12. What is the result modulo 100?
    Shared: Now 47 + 85 = 32. So 32
    A: * 3 = 96.
    B: times 3 gives 86.
    Do A and B differ in meaning? Answer 0 or 1.

is answered `1`. It judges whether A and B agree with each other, not whether either is right.

## Tokenizer and chat

One tokenizer, the same bytes in all three folders, {figures['tokenizer']['entries']} entries: Qwen2's byte-level BPE
(NFC, each digit its own token) with merges for the words of the task only; all other text falls back to bytes, so any
UTF-8 text can be encoded. `vocab_size` is padded, differently for SLM and LLM, as in Qwen2.5. ChatML template with
Qwen3's think rules: `enable_thinking: false` writes an empty think block; the reasoning of earlier turns is dropped.
End tokens: `<|im_end|>`, `<|endoftext|>`.

## Data and training

All data is generated by `trainer/tiny_models` from seeds. A hash of the problem (its numbers and operations, not its
words) puts it into one of four sets: 1/64 held-out, 1/64 label, 1/64 tuning, the rest training. `problems/held-out.jsonl`
(200) and `problems/train.jsonl` (1,000, for the labelling pipeline) come from the first two: no model was trained on any of
them in any wording. 5 % of training prompts have a system message, 4 % have thinking off.

AdamW (0.9, 0.98), gradient norm at most 1, 100 warm-up steps, loss on the answer only:

{_settings(figures)}

The verifier grows from the LLM in two steps (reader: same shape; verifier: two more layers, which at first do nothing). It
is trained on generated pairs, half of them divergent: a wrong digit in a result, operand or left value, another operation,
an early or late end; a fifth of the texts contain an earlier error; seven in ten are cut to the sentence in question.
Beside the verdict it learns, inside B, which digit A has at the same place and what the verdict is so far: with the verdict
alone, three layers had not learnt to compare after 850 steps. These hints are not needed, and not seen, when it is used.

Make them again: `trainer/tiny_models/make.sh` (50 minutes on an idle core; `--quick` is a smoke run). Same seeds and library
versions give the same data and tokenizer; weights may differ in their last bits between machines.

## Limits

They know nothing but this task: other questions get nonsense in the task's words. Prompts longer than about 200 tokens,
several turns, numbers other than two digits (factors: one) and more than five steps were not trained. Without thinking
the answer is a guess. The context length of 2,048 is what positions allow, not what was trained.

## Licence

Apache-2.0, models and data.
"""
