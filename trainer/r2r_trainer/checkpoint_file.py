"""The `.pt` as upstream's `save_model` writes it (r2r/models/router.py): the same keys, so that its `load_model` loads it strictly.

A frozen embedding is the SLM's and left out, as upstream does. One that was trained stays, which upstream forgets: it would load the SLM's
in its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .files import write_tensors
from .network_arguments import Arguments
from .networks import RouterNetwork


def write_checkpoint(
    path: Path, network: RouterNetwork, threshold: float, input_type: list[str] | None, specific: dict[str, Any], embedding: bool = False
) -> None:
    """`embedding`: keep a frozen one too (upstream's `*_all.pt`). The network is on the CPU."""
    arguments = network.arguments
    write_tensors(
        path,
        {
            "model_type": arguments.name,
            "init_args": arguments.given,
            "common_args": {"threshold": float(threshold), "input_type": input_type or inputs_of(arguments)},
            "model_specific_args": specific,
            "state_dict": network.state_dict() if embedding else network.trained_state(),
        },
    )


def inputs_of(arguments: Arguments) -> list[str]:
    return list(arguments.kind.inputs)
