"""The threshold rule against an exhaustive search, and what is measured against counting."""

from __future__ import annotations

import numpy as np
import pytest

from r2r_trainer.scoring import area, best_objective, candidates, choose_threshold, curve, measure


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(200) < 0.2
    probabilities = np.clip(rng.normal(0.3 + 0.3 * positive, 0.2), 0.001, 0.999)
    return (probabilities.round(2) if seed % 2 else probabilities), positive


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("min_recall", (0.5, 0.9, 0.95, 1.0))
def test_no_other_threshold_with_this_recall_routes_less(seed: int, min_recall: float):
    probabilities, positive = drawn(seed)
    chosen = measure(probabilities, positive, choose_threshold(probabilities, positive, min_recall))
    assert chosen["recall"] >= min_recall
    others = [measure(probabilities, positive, each) for each in np.unique(np.concatenate((probabilities, candidates(100))))]
    assert chosen["positiveRate"] == min(each["positiveRate"] for each in others if each["recall"] >= min_recall)


def test_it_keeps_its_distance_from_the_probabilities_on_either_side():
    probabilities, positive = np.array([0.9, 0.8, 0.4, 0.1]), np.array([True, True, False, False])
    assert choose_threshold(probabilities, positive, 1.0) == pytest.approx(0.6)
    assert choose_threshold(probabilities, positive, 0.5) == pytest.approx(0.85)


def test_on_upstreams_grid_it_is_upstreams_choice():
    probabilities, positive = drawn(2)
    found = [(measure(probabilities, positive, each), each) for each in np.linspace(0.01, 0.99, 100)]
    rate = min(each["positiveRate"] for each, _ in found if each["recall"] >= 0.9)
    threshold = choose_threshold(probabilities, positive, 0.9, grid=100)
    assert threshold in np.linspace(0.01, 0.99, 100)
    assert measure(probabilities, positive, threshold)["positiveRate"] == rate


def test_a_grid_that_does_not_reach_down_is_refused():
    with pytest.raises(ValueError, match="no candidate"):
        choose_threshold(np.array([0.001, 0.5]), np.array([True, False]), 1.0, grid=100)


@pytest.mark.parametrize("seed", range(4))
def test_area_counts_pairs(seed: int):
    probabilities, positive = drawn(seed)
    above, below = probabilities[positive][:, None], probabilities[~positive][None]
    assert area(probabilities, positive) == pytest.approx(((above > below) + 0.5 * (above == below)).mean())


def test_measures():
    found = measure(np.array([0.9, 0.6, 0.4, 0.2]), np.array([True, False, True, False]), 0.5)
    assert found["confusion"] == {"truePositive": 1, "falsePositive": 1, "falseNegative": 1, "trueNegative": 1}
    assert (found["recall"], found["precision"], found["accuracy"], found["f1"], found["positiveRate"]) == (0.5,) * 5


def test_the_curve_is_what_is_measured_at_each_candidate():
    probabilities, positive = drawn(3)
    for threshold, rate, recall in curve(probabilities, positive)[::9]:
        found = measure(probabilities, positive, threshold)
        assert (rate, recall) == pytest.approx((found["positiveRate"], found["recall"]))


def test_objective():
    probabilities, positive = np.array([0.95, 0.72, 0.65, 0.1]), np.array([True, True, False, False])
    assert best_objective(probabilities, positive, "f1") == pytest.approx(0.7)
