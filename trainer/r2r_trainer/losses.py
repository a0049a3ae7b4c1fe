"""Upstream's losses (r2r/train/loss.py). Each gives one value a row, so that batches may be shared out among processes and averaged exactly."""

from __future__ import annotations

from typing import Any, Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs [rows, 1 or 3], classes [rows] int64) -> [rows]"""


def make_loss(name: str, arguments: dict[str, Any], counts: list[int]) -> tuple[Loss, list[float]]:
    """The loss, and how much a row of each class weighs. `counts`: training rows of each class: two, or match, neutral, divergent."""
    if name == "BCEWithLogitsLoss":
        weight = positive_weight(counts, arguments["recall_factor"], arguments["pos_weight"])
        return (lambda outputs, classes: cross_entropy(outputs, classes, weight)), [1.0, weight]
    if name == "FocalLoss":
        alpha = arguments["alpha"]
        return (lambda outputs, classes: focal(outputs, classes, alpha, arguments["gamma"])), [1 - alpha, alpha]
    if name == "DPOLoss":
        return (lambda outputs, classes: preference(outputs, classes, arguments["beta"], arguments["positive_prob"])), [1.0, 1.0]
    weights = class_weights(counts, arguments["recall_factor"])
    return (lambda outputs, classes: three_way(outputs, classes, weights)), weights


def positive_weight(counts: list[int], recall_factor: float | None, given: float | None) -> float:
    """As many times as there are fewer positive rows, times `recall_factor`; null weighs all rows alike."""
    if given is not None:
        return given
    return 1.0 if recall_factor is None or counts[1] == 0 else counts[0] / counts[1] * recall_factor


def class_weights(counts: list[int], recall_factor: float | None) -> list[float]:
    match, neutral, divergent = counts
    if recall_factor is None:
        return [1.0, 1.0, 1.0]
    return [1.0, match / neutral if neutral else 1.0, match / divergent * recall_factor if divergent else 1.0]


def cross_entropy(outputs: Tensor, classes: Tensor, weight: float) -> Tensor:
    odds = outputs[:, 0]
    return F.binary_cross_entropy_with_logits(odds, classes.to(odds.dtype), pos_weight=odds.new_tensor(weight), reduction="none")


def focal(outputs: Tensor, classes: Tensor, alpha: float, gamma: float) -> Tensor:
    """a_t (1 - p_t)^gamma (-log p_t), with a_t = alpha for positive rows and 1 - alpha for the others."""
    plain = cross_entropy(outputs, classes, 1.0)
    share = torch.where(classes == 1, alpha, 1 - alpha).to(plain.dtype)
    return share * (1 - torch.exp(-plain)) ** gamma * plain


def preference(outputs: Tensor, classes: Tensor, beta: float, positive_prob: float) -> Tensor:
    """-log sigmoid(beta (log p_win / a_win - log p_lose / a_lose)); in logarithms, so nothing has to be added to keep them finite."""
    towards = torch.where(classes == 1, outputs[:, 0], -outputs[:, 0])
    prior = torch.where(classes == 1, positive_prob, 1 - positive_prob).to(outputs.dtype)
    return -F.logsigmoid(beta * (F.logsigmoid(towards) / prior - F.logsigmoid(-towards) / (1 - prior)))


def three_way(outputs: Tensor, classes: Tensor, weights: list[float]) -> Tensor:
    """Weighted, but divided by the number of rows, not by the sum of their weights, so that it stays one value a row."""
    return F.cross_entropy(outputs, classes, weight=outputs.new_tensor(weights), reduction="none")
