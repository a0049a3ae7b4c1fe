"""Losses against their formulas, worked out in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from r2r_trainer.losses import class_weights, make_loss, positive_weight

ODDS = [-3.0, -0.4, 0.0, 0.9, 2.5]
LABELS = [0, 1, 0, 1, 0]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def per_row(name: str, arguments: dict, counts: list[int]) -> list[float]:
    loss, _ = make_loss(name, arguments, counts)
    return loss(torch.tensor(ODDS, dtype=torch.float64)[:, None], torch.tensor(LABELS)).tolist()


def test_cross_entropy_weighs_positive_rows_by_their_rarity_times_the_factor():
    weight = 90 / 10 * 1.5
    expected = [-weight * math.log(sigmoid(x)) if y else -math.log(1 - sigmoid(x)) for x, y in zip(ODDS, LABELS)]
    assert per_row("BCEWithLogitsLoss", {"recall_factor": 1.5, "pos_weight": None}, [90, 10]) == pytest.approx(expected)


def test_a_weight_of_ones_own_and_none():
    assert positive_weight([90, 10], 1.0, 4.0) == 4.0
    assert positive_weight([90, 10], None, None) == 1.0
    assert positive_weight([90, 10], 1.0, None) == 9.0


def test_focal_loss():
    alpha, gamma = 0.7, 2.0
    expected = []
    for x, y in zip(ODDS, LABELS):
        right = sigmoid(x) if y else 1 - sigmoid(x)
        expected.append((alpha if y else 1 - alpha) * (1 - right) ** gamma * -math.log(right))
    assert per_row("FocalLoss", {"alpha": alpha, "gamma": gamma}, [3, 2]) == pytest.approx(expected)


def test_preference_loss():
    beta, prior = 0.8, 0.3
    expected = []
    for x, y in zip(ODDS, LABELS):
        win, a_win = (sigmoid(x), prior) if y else (1 - sigmoid(x), 1 - prior)
        margin = beta * (math.log(win) / a_win - math.log(1 - win) / (1 - a_win))
        expected.append(-math.log(sigmoid(margin)))
    assert per_row("DPOLoss", {"beta": beta, "positive_prob": prior}, [3, 2]) == pytest.approx(expected)


def test_preference_loss_stays_finite_far_out():
    loss, _ = make_loss("DPOLoss", {"beta": 1.0, "positive_prob": 0.5}, [1, 1])
    odds = torch.tensor([[-300.0], [300.0]], requires_grad=True)
    value = loss(odds, torch.tensor([1, 0]))
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(odds.grad).all()


def test_three_classes_are_weighted_by_their_rarity():
    weights = class_weights([80, 16, 4], 2.0)
    assert weights == [1.0, 5.0, 40.0]
    outputs = torch.tensor([[0.2, -1.0, 0.4], [1.0, 0.0, 3.0]], dtype=torch.float64)
    loss, _ = make_loss("CrossEntropyLoss", {"recall_factor": 2.0}, [80, 16, 4])
    expected = []
    for row, target in zip(outputs.tolist(), (1, 2)):
        expected.append(-weights[target] * math.log(math.exp(row[target]) / sum(map(math.exp, row))))
    assert loss(outputs, torch.tensor([1, 2])).tolist() == pytest.approx(expected)
