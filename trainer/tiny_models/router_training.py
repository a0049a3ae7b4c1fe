"""Training of the router network and the choice of its threshold, as R2R does both.

AdamW; binary cross-entropy in which a divergent row weighs as much more as there are fewer of them; the epoch with the
least loss on validation rows is kept. The threshold is the one of the lowest positive rate that still finds a given
share of the divergent rows of a set that neither trained the network nor chose the epoch.
"""

from __future__ import annotations

import copy
import sys
import time
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .router_network import Network, Widths
from .router_rows import Rows

CANDIDATES = 100  # thresholds, evenly from LOWEST to HIGHEST
LOWEST, HIGHEST = 0.01, 0.99
SCORED_AT_ONCE = 8192


@dataclass(frozen=True)
class Settings:
    epochs: int  # the length of the cosine
    patience: int  # epochs without a better loss before it ends
    seed: int
    batch: int
    rate: float
    weight_decay: float
    minimum_recall: float

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)


@dataclass(frozen=True)
class Trained:
    network: Network
    epoch: int  # the one kept, from 1
    loss: float  # its loss on the validation rows


def train(widths: Widths, embedding: Tensor, settings: Settings, rows: Rows, validation: Rows) -> Trained:
    torch.manual_seed(settings.seed)
    network = Network(widths, embedding)
    optimiser = torch.optim.AdamW(
        [p for p in network.parameters() if p.requires_grad], lr=settings.rate, weight_decay=settings.weight_decay
    )
    steps = -(-len(rows) // settings.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs * steps)
    hidden, logits, truth = rows.hidden.float(), rows.logits.float(), rows.divergent().float()
    weight = (1 - truth).sum() / truth.sum()
    best: Trained | None = None
    for epoch in range(1, settings.epochs + 1):
        begun, total = time.monotonic(), 0.0
        network.train()
        for chosen in torch.randperm(len(rows)).split(settings.batch):
            odds = network(hidden[chosen], rows.token[chosen], logits[chosen])
            loss = F.binary_cross_entropy_with_logits(odds, truth[chosen], pos_weight=weight)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        checked = F.binary_cross_entropy(
            scores(network, validation), validation.divergent().float(), weights(validation, weight)
        ).item()
        better = best is None or checked < best.loss
        line = f"router: epoch {epoch}/{settings.epochs}  loss {total / len(rows):.4f}  validation {checked:.4f}"
        print(f"{line}{' *' if better else ''}  {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
        if better:
            best = Trained(copy.deepcopy(network).eval(), epoch, checked)
        elif epoch - best.epoch >= settings.patience:
            break
    return best


def weights(rows: Rows, of_divergent: Tensor) -> Tensor:
    return torch.where(rows.divergent(), of_divergent, torch.ones(()))


def scores(network: Network, rows: Rows) -> Tensor:
    """Probabilities [rows]."""
    parts = torch.arange(len(rows)).split(SCORED_AT_ONCE)
    return torch.cat(
        [network.probability(rows.hidden[p].float(), rows.token[p], rows.logits[p].float()) for p in parts]
    )


def recall(probabilities: Tensor, rows: Rows, threshold: float) -> float:
    """The share of divergent rows that are routed."""
    return (probabilities[rows.divergent()] >= threshold).float().mean().item()


def positive_rate(probabilities: Tensor, threshold: float) -> float:
    """The share of all rows that are routed."""
    return (probabilities >= threshold).float().mean().item()


def choose_threshold(probabilities: Tensor, rows: Rows, minimum_recall: float) -> float:
    """The highest candidate whose recall suffices. @raises ValueError if none does"""
    candidates = torch.linspace(LOWEST, HIGHEST, CANDIDATES, dtype=torch.float64).tolist()
    enough = [each for each in candidates if recall(probabilities, rows, each) >= minimum_recall]
    if not enough:
        raise ValueError(f"no threshold finds {minimum_recall:.0%} of the divergent rows")
    return max(enough)
