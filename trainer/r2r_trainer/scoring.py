"""What a network's probabilities are worth, and the threshold. All arrays are numpy's, one entry a row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LOWEST, HIGHEST = 0.01, 0.99
CURVE_POINTS = 100  # upstream's


def candidates(count: int) -> np.ndarray:
    return np.linspace(LOWEST, HIGHEST, count)


def choose_threshold(probabilities: np.ndarray, positive: np.ndarray, min_recall: float, grid: int = 0) -> float:
    """The threshold of the lowest positive rate whose recall is at least `min_recall`: both rates fall as it rises, so it is the highest one.

    It lies in the middle between the last probability that it must let through and the next lower one, so that the last bits of another
    runtime's arithmetic do not decide. With a grid, the best of that many candidates (upstream's rule).

    @raises ValueError if no candidate of the grid reaches the recall
    """
    found = np.sort(probabilities[positive].astype(np.float64))[::-1]
    if not len(found):
        raise ValueError("no row is positive")
    needed = next(count for count in range(math.floor(min_recall * len(found)), len(found) + 1) if count / len(found) >= min_recall)
    last = found[max(needed, 1) - 1]
    if grid:
        enough = candidates(grid)[candidates(grid) <= last]
        if not len(enough):
            raise ValueError(f"no candidate from {LOWEST} to {HIGHEST} reaches a recall of {min_recall}")
        return float(enough[-1])
    lower = probabilities[probabilities < last]
    return float((last + (lower.max() if len(lower) else 0.0)) / 2)


def best_objective(probabilities: np.ndarray, positive: np.ndarray, metric: str) -> float:
    """Upstream's other rule: of 0.1, 0.2 … 0.9 the first that is best by `metric`."""
    tried = np.linspace(0.1, 0.9, 9)
    return float(max(tried, key=lambda threshold: (measure(probabilities, positive, threshold)[metric], -threshold)))


def measure(probabilities: np.ndarray, positive: np.ndarray, threshold: float) -> dict[str, Any]:
    """Rates are shares; one of nothing is 0."""
    routed = probabilities >= threshold
    tp, fp = int((routed & positive).sum()), int((routed & ~positive).sum())
    fn, tn = int((~routed & positive).sum()), int((~routed & ~positive).sum())
    rows = len(positive)
    return {
        "rows": rows,
        "positives": tp + fn,
        "recall": _share(tp, tp + fn),
        "positiveRate": _share(tp + fp, rows),
        "precision": _share(tp, tp + fp),
        "accuracy": _share(tp + tn, rows),
        "f1": _share(2 * tp, 2 * tp + fp + fn),
        "confusion": {"truePositive": tp, "falsePositive": fp, "falseNegative": fn, "trueNegative": tn},
    }


def area(probabilities: np.ndarray, positive: np.ndarray) -> float | None:
    """Under the ROC curve: how often a positive row scores above another one, ties by half. None: one class only."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def curve(probabilities: np.ndarray, positive: np.ndarray) -> list[tuple[float, float, float]]:
    """(threshold, positive rate, recall) at upstream's candidates."""
    everything, found = np.sort(probabilities), np.sort(probabilities[positive])
    above = lambda values, threshold: 1 - np.searchsorted(values, threshold, side="left") / max(len(values), 1)  # noqa: E731
    return [(float(t), float(above(everything, t)), float(above(found, t))) for t in candidates(CURVE_POINTS)]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
