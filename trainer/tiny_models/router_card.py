"""The router network's card, written from the figures so that it can't say anything else."""

from __future__ import annotations

from typing import Any

from .card import percent

Figures = dict[str, Any]
Sweep = list[dict[str, float]]


def tables(figures: Figures, entropy: Sweep) -> str:
    return "\n\n".join((_sets(figures), _found(figures), _routing(figures, entropy)))


def _sets(figures: Figures) -> str:
    titles = {
        "written": "trains: texts of the LLM",
        "routed": "trains: routed texts",
        "validation": "chooses the epoch: half of each",
        "threshold": "chooses the threshold: half of each",
    }
    lines = ["| | questions | identical | neutral | divergent |", "|---|---|---|---|---|"]
    for name, title in titles.items():
        s = figures["sets"][name]
        lines.append(f"| {title} | {s['count']:,} | {s['identical']:,} | {s['neutral']:,} | {s['divergent']:,} |")
    return "\n".join(lines)


def _found(figures: Figures) -> str:
    titles = {
        "threshold": "the set that chose the threshold",
        "heldOutWritten": "held-out problems, texts of the LLM",
        "heldOutRouted": "held-out problems, texts routed by this network",
    }
    lines = ["| at the threshold | rows | divergent | recall | positive rate |", "|---|---|---|---|---|"]
    for name, title in titles.items():
        f = figures["found"][name]
        share = percent(f["divergent"] / f["rows"])
        lines.append(
            f"| {title} | {f['rows']:,} | {share} | {percent(f['recall'])} | {percent(f['positiveRate'])} |"
        )
    return "\n".join(lines)


def _routing(figures: Figures, entropy: Sweep) -> str:
    lines = ["| threshold | right | tokens from the LLM | entropy needs for as many |", "|---|---|---|---|"]
    for row in figures["routing"]:
        own = row["threshold"] == figures["threshold"]
        threshold = f"**{row['threshold']}**" if own else row["threshold"]
        lines.append(
            f"| {threshold} | {percent(row['accuracy'])} | {percent(row['llmShare'])} | {_needed(row, entropy)} |"
        )
    return "\n".join(lines)


def _needed(row: dict[str, float], entropy: Sweep) -> str:
    share = _least_share(row["accuracy"], entropy)
    return "never gets there" if share is None else percent(share)


def _least_share(accuracy: float, entropy: Sweep) -> float | None:
    """The least LLM share with which the entropy strategy is as accurate."""
    return min((each["llmShare"] for each in entropy if each["accuracy"] >= accuracy), default=None)


def _better(figures: Figures, entropy: Sweep) -> str:
    """Where entropy is."""
    shares = [(row, _least_share(row["accuracy"], entropy)) for row in figures["routing"]]
    beaten = [row["accuracy"] for row, share in shares if share is not None and share <= row["llmShare"]]
    return f" Up to {percent(max(beaten))} right, entropy does as well or better." if beaten else ""


def card(figures: Figures, entropy: Sweep) -> str:
    """`entropy`: the sweep of the entropy strategy over the same problems, to compare with."""
    widths, settings = figures["widths"], figures["settings"]
    return f"""---
license: apache-2.0
library_name: pytorch
---

<!-- Written by trainer/tiny_models (router_card.py) from figures.json; change it there. -->

# The tiny pair's router network

`router.pt` is R2R's default router network, small, and trained for the [tiny models](../README.md): a
{figures['class']} with {figures['parameters']:,} parameters in float32, layers
{list(widths['layers'])}, threshold {figures['threshold']}. The file is what R2R saves: `torch.save` of `model_type`, `init_args`, `common_args`,
`model_specific_args` and a `state_dict` without the embedding, which is the SLM's.

{_routing(figures, entropy)}

Token by token over the {figures['problems']} held-out problems, as the entropy table of the [model card](../README.md): greedy,
published weights, float32 arithmetic, hidden states and logits rounded to bfloat16 as a server gives them. The row in bold
is the checkpoint's own threshold. The last column is the least share at which a threshold of the entropy strategy solves as
many.{_better(figures, entropy)}

## How it was made

{_sets(figures)}

Rows are labelled as R2R labels its own: where the SLM's greedy token is not the LLM's, the LLM goes on from either to the
end of the sentence, and the row is *divergent* when the two sentences claim different things. The claims are parsed, not
judged by the verifier (which agrees with the parser on 100 % of such pairs here). Three things differ from R2R: a row is also
made for the token before `<think>` and for the one where the LLM ends its thinking; and half of the texts are routed, by a
network that learned from the LLM's texts alone, because behind its own words the SLM errs less often and elsewhere than
behind the LLM's. No problem that chose the threshold or is held out was trained on in any wording: a hash keeps them apart.

The network sees the SLM's last hidden state (behind the final norm), the embedding of the token it says, and its {widths['logits']}
largest raw logits. It was trained with AdamW, {settings['rate']:g} falling as a cosine over {settings['epochs']} epochs, weight decay {settings['weight_decay']:g}, batch
{settings['batch']}, seed {settings['seed']}; with binary cross-entropy, in which a divergent row weighs as much more as there are fewer. The epoch of
the least validation loss was kept ({figures['epoch']}). The threshold is the highest with a recall of at least {percent(settings['minimum_recall'])}.

{_found(figures)}

Make it again: `trainer/tiny_models/make.sh router`, from the published SLM and LLM. Same seeds and library versions give the same
data; weights may differ in their last bits between machines.
"""
