"""How good the router network is: on labelled rows, and at the wheel over the held-out problems."""

from __future__ import annotations

from torch import Tensor

from .decoding import Route
from .model import Qwen2
from .router_network import Network
from .router_rows import IDENTICAL, Rows, seen
from .router_training import positive_rate, recall

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)


def routed_by(network: Network, slm: Qwen2, usable: int, threshold: float) -> Route:
    """The LLM is asked where the network's probability reaches the threshold."""

    def route(states: Tensor, _: Tensor) -> Tensor:
        hidden, logits, token = seen(slm, states, usable)
        return network.probability(hidden.float(), token, logits.float()) >= threshold

    return route


def found(probabilities: Tensor, rows: Rows, threshold: float) -> dict[str, object]:
    differs = rows.kind != IDENTICAL
    return {
        "rows": len(rows),
        **rows.counts(),
        "recall": round(recall(probabilities, rows, threshold), 4),
        "positiveRate": round(positive_rate(probabilities, threshold), 4),
        "positiveRateWhereTheyDiffer": round(positive_rate(probabilities[differs], threshold), 4),
    }
